# Completes driver_stand_in.c (-v own=FILE) with every other function that `nm -D` lists on standard input.
BEGIN {
  while ((getline line < own) > 0) {
    print line
    split(line, part, /[ (]/)
    have[part[2]] = 1
  }
}
$2 == "T" && !have[$3] { print "int " $3 "(void) { return 34; }  // CUDA_ERROR_STUB_LIBRARY" }

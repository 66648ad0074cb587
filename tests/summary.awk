# Reads a JUnit file of ctest and prints passed, failed and skipped tests, the skipped ones grouped by reason.
function attribute(line, name) {
  return match(line, " " name "=\"[^\"]*\"") ? substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : ""
}
function text(s) {
  gsub(/&lt;/, "<", s); gsub(/&gt;/, ">", s); gsub(/&quot;/, "\"", s); gsub(/&apos;/, "'", s); gsub(/&amp;/, "\\&", s)
  return s
}
/<testcase / {
  name = text(attribute($0, "name")); status = attribute($0, "status"); reason = ""; take_next = 0
  ran += attribute($0, "time")
}
# GoogleTest prints "FILE:LINE: Skipped" and the reason in the next line.
take_next && reason == "" { reason = text($0); take_next = 0 }
/: Skipped$/ { take_next = 1 }
/<\/testcase>/ {
  if (status == "run") passed++
  else if (status == "fail") { failed++; failures = failures "  " name "\n" }
  else if (status == "disabled") { skipped++; add("disabled in the source") }
  else { skipped++; add(reason == "" ? "no reason given" : reason) }
}
function add(why) {
  if (!(why in count)) order[++reasons] = why
  count[why]++
  if (count[why] <= 3) names[why] = names[why] (count[why] > 1 ? ", " : "") name
  else if (count[why] == 4) names[why] = names[why] ", ..."
}
END {
  printf "%d passed, %d failed, %d skipped; %.0f s of test time\n", passed, failed, skipped, ran
  if (failed) printf "Failed:\n%s", failures
  if (skipped) print "Skipped:"
  for (i = 1; i <= reasons; i++) printf "  %d: %s (%s)\n", count[order[i]], order[i], names[order[i]]
}

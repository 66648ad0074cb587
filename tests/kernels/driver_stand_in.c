// What cuDNN asks of the driver while it builds an engine that is compiled at run time. The build adds all
// other functions of the driver, which refuse as on a machine without a GPU; nothing can be run with this.
static long object;  // whatever is loaded

int cuInit(unsigned flags) {
  (void)flags;
  return 0;
}
int cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
int cuLibraryLoadData(void** library) {
  *library = &object;
  return 0;
}
int cuLibraryUnload(void* library) {
  (void)library;
  return 0;
}
int cuLibraryGetKernel(void** kernel) {
  *kernel = &object;
  return 0;
}

#include <cstdio>

#include "app/version.hpp"

int main() {
  std::puts(raincell::app::version());
  return 0;
}

// Reading from a mapped file whose pages the kernel may be unable to supply.
#pragma once

#include <type_traits>

namespace raincell::io {

bool read_mapped(void (*copy)(void* context), void* context);

/// Runs `copy`, which reads mapped memory, neither allocates nor throws, and holds nothing that must be
/// destroyed. False when a page could not be had, because the file was cut short or its disk fails; without
/// this the process would end by SIGBUS. What was written by then is of no use.
template <class Copy>
bool read_mapped(Copy&& copy) {
  return read_mapped([](void* context) { (*static_cast<std::remove_reference_t<Copy>*>(context))(); }, &copy);
}

}  // namespace raincell::io

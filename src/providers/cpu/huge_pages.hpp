/// \file
/// Large pages for memory that is read as a stream: the fewer translations it needs, the faster it is read.
#pragma once

#include <cstddef>

namespace moegemm::cpu {

/// Asks the system to hold the whole large pages within these bytes as such, those that are in use already, too. A
/// wish: where the system does not grant it, nothing changes.
void prefer_huge_pages(void* data, std::size_t bytes) noexcept;

}  // namespace moegemm::cpu

// Sizes of memory as people write and read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace netc {

/// The bytes of "512M", "2GiB" or "1.5e9": K, M, G and T, also as KiB or kB … TB. With a B alone behind the letter it
/// counts in thousands, otherwise in 1024s. None where it is no size, or is not between 1 byte and 2^62.
std::optional<std::int64_t> parse_memory_size(std::string_view text);

/// "941.3 MiB", "3.2 KiB", "64 bytes".
std::string memory_text(std::int64_t bytes);

}  // namespace netc

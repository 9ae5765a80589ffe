// Whole files of text, or of bytes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace netc {

/// Nothing where the file cannot be read: `errno` says why, but of a folder, which is none.
std::optional<std::string> read_text(const std::filesystem::path& file);

}  // namespace netc

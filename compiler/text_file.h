// Whole files of text, or of bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace netc {

/// Nothing where the file cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& file);

/// At most `most` bytes of a file that somebody named, which may have no end. Nothing where it cannot be read; then
/// `problem` says why.
std::optional<std::string> read_some(const std::filesystem::path& file, std::size_t most, std::string& problem);
/// The same of a regular file alone, for what files name: others would make netc wait.
std::optional<std::string> read_regular_text(const std::filesystem::path& file, std::size_t most, std::string& problem);

}  // namespace netc

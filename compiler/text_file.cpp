#include "compiler/text_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

namespace netc {

namespace fs = std::filesystem;

std::optional<std::string> read_text(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream || fs::is_directory(file)) return {};
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

std::optional<std::string> read_regular_text(const fs::path& file, std::size_t most, std::string& problem) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!error && (fs::is_regular_file(status) || fs::is_directory(status))) return read_some(file, most, problem);
  problem = error ? error.message() : "not a regular file";
  return {};
}

std::optional<std::string> read_some(const fs::path& file, std::size_t most, std::string& problem) {
  if (fs::is_directory(file)) {
    problem = "Is a directory";
    return {};
  }
  std::ifstream stream(file, std::ios::binary);
  std::string text(most, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(most));
  if (!stream.is_open() || stream.bad()) {
    problem = std::strerror(errno);
    return {};
  }
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

}  // namespace netc

#include "compiler/text_file.h"

#include <fstream>
#include <iterator>

namespace netc {

std::optional<std::string> read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream || std::filesystem::is_directory(file)) return {};
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

}  // namespace netc

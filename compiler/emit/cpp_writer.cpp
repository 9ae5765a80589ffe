#include "compiler/emit/cpp_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

namespace netc::cpp {

namespace {

bool word_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}
bool digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

std::string identifier(std::string_view path) {
  std::string name(path);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !word_character(c); }, '_');
  return name.empty() || digit(name[0]) ? "_" + name : name;
}

bool is_identifier(std::string_view word) {
  return !word.empty() && !digit(word[0]) && std::all_of(word.begin(), word.end(), word_character);
}

std::string Names::unique(std::string_view wish) {
  std::string name = identifier(wish);
  const int uses = ++used_[name];
  if (uses == 1) return name;
  return unique(fmt::format("{}{}{}", name, digit(name.back()) ? "_" : "", uses));
}

std::string c_type(DType type) {
  switch (type) {
    case DType::f32:
      return "float";
    case DType::i32:
      return "int32_t";
    case DType::u8:
      return "uint8_t";
    case DType::bf16:
      return "uint16_t";
  }
  return "";
}

std::string literal(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string literal(double value) {
  std::string text = fmt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string braces(const std::vector<std::string>& items) {
  return fmt::format("{{{}}}", fmt::join(items, ", "));
}
std::string braces(const std::vector<std::int64_t>& items) {
  return fmt::format("{{{}}}", fmt::join(items, ", "));
}

std::string list(const std::string& head, const std::vector<std::string>& items, const std::string& tail) {
  const std::string margin(head.size(), ' ');
  std::string text = head;
  std::size_t column = head.size();
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string item = items[i] + (i + 1 == items.size() ? tail : ",");
    if (i > 0 && column + 1 + item.size() > columns) {
      text += "\n" + margin;
      column = margin.size();
    } else if (i > 0) {
      text += ' ';
      ++column;
    }
    text += item;
    column += item.size();
  }
  return text + (items.empty() ? tail : "") + "\n";
}

std::string wrapped(const std::string& first, const std::string& next, const std::string& text,
                    const std::string& tail) {
  std::string lines;
  std::string line = first;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (line.size() + 1 + end - begin + tail.size() > columns) {
      lines += line + "\n";
      line = next;
    }
    line += " " + text.substr(begin, end - begin);
    begin = end + 1;
  }
  return lines + line + tail + "\n";
}

std::string constant(const std::string& name, std::int64_t value, const std::string& comment) {
  return fmt::format("{:<60}  // {}\n", fmt::format("constexpr std::int64_t {} = {};", name, value), comment);
}

}  // namespace netc::cpp

// Writing C++ that looks written: identifiers, literals, calls that break where a line ends.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "netc/tensor.h"

namespace netc::cpp {

/// "head.linear" -> "head_linear"; a digit in front gets a "_" before it.
std::string identifier(std::string_view path);

/// Whether `word` can be a member's name.
bool is_identifier(std::string_view word);

/// Gives each key an identifier of its own: the first is called as it wishes, the next ones name2, name3, …
class Names {
 public:
  std::string unique(std::string_view wish);

 private:
  std::map<std::string, int> used_;
};

/// C's type of an element: "float", "int32_t".
std::string c_type(DType type);

/// A string literal.
std::string literal(std::string_view text);
/// A double literal that reads back exactly: 0.9, 1e-05, 2.0.
std::string literal(double value);

/// "{1, 28, 28}"
std::string braces(const std::vector<std::string>& items);
std::string braces(const std::vector<std::int64_t>& items);

/// "a, b" of what `text` makes of each item.
template <class Items, class Text>
std::string joined(const Items& items, const Text& text) {
  std::string all;
  for (const auto& item : items) all += (all.empty() ? "" : ", ") + std::string(text(item));
  return all;
}

/// A line's columns.
constexpr std::size_t columns = 120;

/// "`head`a, b`tail`", with what does not fit into a line on further ones, aligned behind `head`, which may begin with
/// blanks.
std::string list(const std::string& head, const std::vector<std::string>& items, const std::string& tail);

/// The words of `text` in lines that begin with `first`, the further ones with `next`, and leave room for `tail` at the
/// end.
std::string wrapped(const std::string& first, const std::string& next, const std::string& text,
                    const std::string& tail = "");

/// "constexpr std::int64_t name = value;  // comment", the comments of such lines below each other.
std::string constant(const std::string& name, std::int64_t value, const std::string& comment);

}  // namespace netc::cpp

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

/// "f(a, b)" at `indent`, with what does not fit into 120 columns on further lines, aligned behind the bracket.
std::string call(const std::string& function, const std::vector<std::string>& arguments, int indent);

}  // namespace netc::cpp

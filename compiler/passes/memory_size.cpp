#include "compiler/passes/memory_size.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>

namespace netc {

namespace {

/// What one of the unit counts: 1 for none, 1024^2 for "M" and "MiB", 1000^2 for "MB"; none for other words.
std::optional<double> factor(std::string unit) {
  for (char& c : unit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (unit.empty() || unit == "b") return 1;
  const std::size_t power = std::string_view("kmgt").find(unit[0]);
  if (power == std::string_view::npos) return {};
  const std::string behind = unit.substr(1);
  if (behind != "" && behind != "b" && behind != "ib") return {};
  return std::pow(behind == "b" ? 1000 : 1024, static_cast<double>(power) + 1);
}

}  // namespace

std::optional<std::int64_t> parse_memory_size(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return {};
  const std::optional<double> unit = factor(std::string(end, text.data() + text.size()));
  if (!unit) return {};
  const double bytes = std::floor(number * *unit);
  if (!(bytes >= 1 && bytes <= 0x1p62)) return {};
  return static_cast<std::int64_t>(bytes);
}

std::string memory_text(std::int64_t bytes) {
  if (bytes < 1 << 10) return fmt::format("{} bytes", bytes);
  if (bytes < 1 << 20) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / (1 << 10));
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace netc

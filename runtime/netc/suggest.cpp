// Edit distance over candidate names.
#include "netc/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace netc {

namespace {

/// Levenshtein's distance, one row at a time.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

const std::string* nearest(std::string_view name, std::span<const std::string> candidates) {
  constexpr std::size_t longest = 256;  // names from files may be of any length
  std::size_t best = std::max<std::size_t>((name.size() + 1) / 3, 1) + 1;
  const std::string* found = nullptr;
  for (const std::string& candidate : candidates) {
    if (name.size() > longest || candidate.size() > longest) continue;
    const std::size_t edits = distance(name, candidate);
    if (edits >= best) continue;
    best = edits;
    found = &candidate;
  }
  return found;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> candidates) {
  const std::string* found = nearest(name, candidates);
  return found == nullptr ? "" : fmt::format("; did you mean '{}'?", *found);
}

}  // namespace netc

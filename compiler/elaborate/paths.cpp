#include "compiler/elaborate/paths.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

namespace netc {

PathPlace PathPlace::segment(const std::string& name) const {
  return {.prefix = prefix + name + ".", .label = "", .number = nullptr, .instance = instance, .again = again};
}

PathPlace PathPlace::inside() const {
  if (label.empty()) return *this;
  if (number != nullptr) ++*number;
  return segment(label);
}

PathPlace PathPlace::inside_module() const {
  if (!label.empty() || number == nullptr) return inside();
  return segment(std::to_string((*number)++));
}

PathPlace PathPlace::branches() const {
  PathPlace place = label.empty() ? *this : segment(label);
  place.number = nullptr;
  return place;
}

Leaf PathPlace::leaf(const std::string& operator_name) const {
  const int position = number == nullptr ? -1 : (*number)++;
  if (!label.empty()) return {prefix, label, !again, instance, has_branches && !again};
  return {prefix, position < 0 ? operator_name : std::to_string(position), false, instance};
}

namespace {

/// Hands out paths. Remembers for each which leaf has it (no leaf for a segment), and for a taken one the next number.
class Claims {
 public:
  void reserve_segments(const std::string& prefix) {
    for (std::size_t dot = prefix.rfind('.'); dot != std::string::npos && dot > 0; dot = prefix.rfind('.', dot - 1)) {
      if (!owners_.emplace(prefix.substr(0, dot), -1).second) return;  // then those before it are there, too
    }
  }

  Path claim(const Leaf& leaf, int index) {
    const std::string wanted = leaf.prefix + leaf.name;
    if (claim(wanted, leaf, index)) return {wanted, -1};
    const bool digit = std::isdigit(static_cast<unsigned char>(leaf.name.back())) != 0;
    int& number = numbers_.emplace(wanted, 2).first->second;
    std::string text;
    do {
      text = wanted + (digit ? "_" : "") + std::to_string(number++);
    } while (!claim(text, leaf, index));
    return {text, owners_[wanted]};
  }

 private:
  /// False where `path` is taken. Branches of the leaf must not have the paths of its parameters.
  bool claim(const std::string& path, const Leaf& leaf, int index) {
    if (!owners_.emplace(path, index).second) return false;
    for (const std::string& name : leaf.owned) owners_.emplace(path + "." + name, index);
    return true;
  }

  std::map<std::string, int> owners_;
  std::map<std::string, int> numbers_;
};

}  // namespace

std::vector<Path> assign_paths(const std::vector<Leaf>& leaves) {
  Claims claims;
  std::set<std::string> segments;
  for (const Leaf& leaf : leaves) segments.insert(leaf.prefix);
  const auto owns_segment = [&](const Leaf& leaf) {  // a parameter of it would lie in front of its branches
    const auto is_segment = [&](const std::string& name) {
      return segments.contains(leaf.prefix + leaf.name + "." + name + ".");
    };
    return std::any_of(leaf.owned.begin(), leaf.owned.end(), is_segment);
  };
  std::vector<Path> paths(leaves.size());
  const auto claim = [&](const auto& is_next) {
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (paths[i].text.empty() && is_next(leaves[i])) paths[i] = claims.claim(leaves[i], static_cast<int>(i));
    }
  };
  claim([&](const Leaf& leaf) { return leaf.is_segment && !owns_segment(leaf); });  // before its branches do
  for (const Leaf& leaf : leaves) claims.reserve_segments(leaf.prefix);
  claim([](const Leaf& leaf) { return leaf.written; });
  claim([](const Leaf&) { return true; });
  return paths;
}

}  // namespace netc

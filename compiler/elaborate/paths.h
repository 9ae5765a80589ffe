// The paths of layers and their parameters: "layer1.0.conv2", from labels, repeat indices and operators' names.
#pragma once

#include <string>
#include <vector>

namespace netc {

/// A layer's own name and what stands before it.
struct Leaf {
  std::string prefix;                // "layer1.0." or ""
  std::string name;                  // its label, its number in a `sequential`, or its operator's name
  bool written = false;              // a label: claims its path before unlabelled layers do
  int instance = -1;                 // which unlabelled block call or repeat it belongs to
  bool is_segment = false;           // a label that stands before the paths of its branches, too
  std::vector<std::string> owned{};  // what else has a path behind its own: "weight"
};

/// Where an element stands while the model is unrolled.
struct PathPlace {
  std::string prefix;
  std::string label;      // of exactly this element; "" for none
  int* number = nullptr;  // the next number of the `sequential` around it, if it stands in one
  int instance = -1;
  bool again = false;         // a later use of a shared layer: its labels do not claim
  bool has_branches = false;  // this element is labelled, and an operator of several inputs

  /// What stands inside a chain, group, `if` or `repeat` here: a label becomes a segment, otherwise they add none.
  PathPlace inside() const;
  /// What stands inside a block, `sequential`, `add` or `concat` here: these count as one in a `sequential` around
  /// them.
  PathPlace inside_module() const;
  /// What stands in the braces of an operator here, which is named by itself.
  PathPlace branches() const;
  /// One operator here.
  Leaf leaf(const std::string& operator_name) const;

 private:
  PathPlace segment(const std::string& name) const;
};

struct Path {
  std::string text;
  int taken_by = -1;  // the leaf that has the path without a number, where this one had to be numbered
};

/// A path for each leaf, in their order; no two are equal, and none is the prefix of what stands inside another
/// segment, but that of an operator in front of its own branches'. Labels claim first; a taken path is numbered from
/// 2: conv, conv2; after a digit bn1_2.
std::vector<Path> assign_paths(const std::vector<Leaf>& leaves);

}  // namespace netc

// What tests of the language's meaning share: a model from its text, and the first values of its parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/elaborate/elaborate.h"

namespace netc::test {

/// A model of a `.net` text, which must be without errors; warnings are let pass.
class Elaboration {
 public:
  explicit Elaboration(const std::string& text, const ElaborateOptions& options = {});
  /// The model of a file, with the options that follow it on netc's command line.
  static Elaboration of_file(const std::string& file, const std::string& model = "",
                             const std::vector<std::pair<std::string, std::string>>& set = {});

  const Graph& graph() const { return graph_; }
  const Recipe& recipe() const { return graph_.recipe; }
  /// The parameter or buffer of that path; fails the test when there is none.
  const Value& value(const std::string& path) const;
  /// The paths of all parameters, in order.
  std::vector<std::string> parameters() const;
  /// What a program that starts with `seed` finds in a parameter or buffer.
  std::vector<float> initial(const std::string& path, std::uint64_t seed = 1) const;

 private:
  std::unique_ptr<Source> source_;
  std::vector<std::unique_ptr<Source>> imported_;
  Graph graph_;
};

}  // namespace netc::test

#include "tests/elaboration.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "netc/initializer.h"
#include "tests/runtime_support.h"

namespace netc::test {

Elaboration::Elaboration(const std::string& text, const ElaborateOptions& options)
    : source_(std::make_unique<Source>("m.net", text)) {
  Diagnostics diagnostics;
  const ast::Node tree = parse(*source_, diagnostics);
  if (!diagnostics.has_errors()) graph_ = elaborate(tree, *source_, options, imported_, diagnostics);
  REQUIRE_MESSAGE(!diagnostics.has_errors(), diagnostics.text());
}

Elaboration Elaboration::of_file(const std::string& file, const std::string& model,
                                 const std::vector<std::pair<std::string, std::string>>& set) {
  return Elaboration(read_text(file), {.set = set, .std_folder = "models/std", .model = model});
}

const Value& Elaboration::value(const std::string& path) const {
  const auto found = std::find_if(graph_.values.begin(), graph_.values.end(), [&](const Value& value) {
    return value.name == path && (value.role == Role::parameter || value.role == Role::buffer);
  });
  REQUIRE_MESSAGE(found != graph_.values.end(), path);
  return *found;
}

std::vector<std::string> Elaboration::parameters() const {
  std::vector<std::string> paths;
  for (const Value& value : graph_.values) {
    if (value.is_parameter()) paths.push_back(value.name);
  }
  return paths;
}

std::vector<float> Elaboration::initial(const std::string& path, std::uint64_t seed) const {
  const Value& of = value(path);
  Tensor<float> tensor(Extents(of.shape.extents()));
  initialize(tensor.view(), of.initializer, {of.fan_in, of.fan_out}, seed, path);
  return tensor.view().to_vector();
}

}  // namespace netc::test

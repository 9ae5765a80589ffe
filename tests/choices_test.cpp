// Whatever a schedule lets choose, the results are the rule's.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "operator_cases.h"

namespace netc::test {
namespace {

/// Numbers without a pattern, never 0.
std::vector<double> numbers(std::int64_t count, std::size_t seed) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i)
    result.push_back(static_cast<double>((i * 37 + static_cast<std::int64_t>(seed) * 11) % 101) / 50 - 1.003);
  return result;
}

/// The output and all gradients of an operator in training, computed in doubles.
std::vector<std::vector<double>> results(const Case& c, int lanes, std::optional<Extreme> extreme) {
  constexpr int batch = 5;
  Experiment e = training(c);
  const auto run = runner(e, batch, lanes, Halide::Float(64), Inputs::activations, extreme);
  for (const auto& [name, value] : e.given) {
    const Shape& shape = e.graph[value].shape;
    const std::int64_t count = shape.elements() * (shape.has_batch() ? batch : 1);
    run->set(value, numbers(count, name.size()));
  }
  run->run();
  std::vector<std::vector<double>> all{run->get(e.output)};
  for (const auto& [value, gradient] : e.graph.gradients) all.push_back(run->get(gradient));
  return all;
}

void check_equal(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double largest = 0;
  double error = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    error = std::isnan(found[i]) ? found[i] : std::max(error, std::abs(found[i] - expected[i]));
  }
  CHECK(error <= largest * 1e-12);
}

TEST_CASE("the smallest and the largest of all choices give the rule's results") {
  const std::vector<std::string> names{"conv.wide",    "conv.wide_five", "conv.padded_strided", "linear.wide",
                                       "linear.plain", "maxpool.halves", "maxpool.overlapping", "conv.without_bias"};
  int found = 0;
  for (const Case& c : cases()) {
    if (std::find(names.begin(), names.end(), c.name()) == names.end()) continue;
    ++found;
    for (int lanes : {1, 16}) {
      CAPTURE(c.name());
      CAPTURE(lanes);
      const auto expected = results(c, lanes, std::nullopt);
      for (const Extreme extreme : {Extreme::smallest, Extreme::largest}) {
        CAPTURE(static_cast<int>(extreme));
        const auto chosen = results(c, lanes, extreme);
        REQUIRE(chosen.size() == expected.size());
        for (std::size_t i = 0; i < chosen.size(); ++i) check_equal(chosen[i], expected[i]);
      }
    }
  }
  CHECK(found == static_cast<int>(names.size()));
}

}  // namespace
}  // namespace netc::test

// The rules of torch.nn.init, and mixtures.
#include "netc/initializer.h"

#include <fmt/format.h>

#include <cmath>

#include "netc/random.h"

namespace netc {

namespace {

using Rule = Initializer::Rule;

void fill_uniform(View<float> parameter, double low, double high, RandomStream& random) {
  parameter.for_each([&](float& element) { element = random.uniform(low, high); });
}

void fill_normal(View<float> parameter, double mean, double deviation, RandomStream& random) {
  parameter.for_each([&](float& element) { element = static_cast<float>(mean + deviation * random.normal()); });
}

void fill_mixture(View<float> parameter, const std::vector<MixturePart>& parts, RandomStream& random) {
  if (parts.empty()) throw Error(ErrorKind::usage, "a mixture needs at least one part");
  double total = 0;
  for (const MixturePart& part : parts) total += part.weight;
  parameter.for_each([&](float& element) {
    double remaining = random.uniform() * total;
    std::size_t chosen = 0;
    while (chosen + 1 < parts.size() && remaining >= parts[chosen].weight) remaining -= parts[chosen++].weight;
    element = random.uniform(parts[chosen].low, parts[chosen].high);
  });
}

/// The variance that keeps a layer's signal: gain^2 / fan.
double deviation(const Initializer& rule, Fan fan) {
  const auto in = static_cast<double>(fan.in);
  const auto both = static_cast<double>(fan.in + fan.out);
  switch (rule.rule) {
    case Rule::xavier_uniform:
    case Rule::xavier_normal:
      return rule.a * std::sqrt(2 / both);
    case Rule::kaiming_uniform:
    case Rule::kaiming_normal:
      return std::sqrt(2 / ((1 + rule.a * rule.a) * in));
    default:
      return rule.b;
  }
}

}  // namespace

void initialize(View<float> parameter, const Initializer& rule, Fan fan, std::uint64_t seed, std::string_view path) {
  RandomStream random(seed, fmt::format("init/{}", path));
  switch (rule.rule) {
    case Rule::constant:
      return parameter.fill(static_cast<float>(rule.a));
    case Rule::uniform:
      return fill_uniform(parameter, rule.a, rule.b, random);
    case Rule::xavier_uniform:
    case Rule::kaiming_uniform: {
      const double bound = std::sqrt(3.0) * deviation(rule, fan);
      return fill_uniform(parameter, -bound, bound, random);
    }
    case Rule::fan_in_uniform: {
      const double bound = 1 / std::sqrt(static_cast<double>(fan.in));
      return fill_uniform(parameter, -bound, bound, random);
    }
    case Rule::normal:
      return fill_normal(parameter, rule.a, rule.b, random);
    case Rule::xavier_normal:
    case Rule::kaiming_normal:
      return fill_normal(parameter, 0, deviation(rule, fan), random);
    case Rule::mixture:
      return fill_mixture(parameter, rule.parts, random);
  }
}

}  // namespace netc

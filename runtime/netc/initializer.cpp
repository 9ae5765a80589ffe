// The rules of torch.nn.init, and mixtures.
#include "netc/initializer.h"

#include <fmt/format.h>

#include <cmath>

#include "netc/random.h"

namespace netc {

namespace {

using Rule = Initializer::Rule;

/// What a rule comes to for one parameter.
struct Distribution {
  enum class Kind { constant, uniform, normal } kind;
  double a;  // the constant, the lower bound, the mean
  double b;  // the upper bound, the standard deviation
};

/// A spread of mean 0; a uniform one reaches sqrt(3) times its standard deviation.
Distribution centred(bool uniform, double deviation) {
  const double bound = std::sqrt(3.0) * deviation;
  return uniform ? Distribution{Distribution::Kind::uniform, -bound, bound}
                 : Distribution{Distribution::Kind::normal, 0, deviation};
}

/// Of an Initializer or a MixturePart.
template <class Rules>
Distribution resolve(const Rules& rule, Fan fan) {
  const auto in = static_cast<double>(fan.in);
  const auto out = static_cast<double>(fan.out);
  switch (rule.rule) {
    case Rule::uniform:
      return {Distribution::Kind::uniform, rule.a, rule.b};
    case Rule::normal:
      return {Distribution::Kind::normal, rule.a, rule.b};
    case Rule::xavier_uniform:
    case Rule::xavier_normal:
      return centred(rule.rule == Rule::xavier_uniform, rule.a * std::sqrt(2 / (in + out)));
    case Rule::kaiming_uniform:
    case Rule::kaiming_normal:
      return centred(rule.rule == Rule::kaiming_uniform, rule.a / std::sqrt(rule.by_fan_out ? out : in));
    case Rule::fan_in_uniform:
      return {Distribution::Kind::uniform, -1 / std::sqrt(in), 1 / std::sqrt(in)};
    case Rule::mixture:
      throw Error(ErrorKind::usage, "a mixture cannot be a part of a mixture");
    case Rule::constant:
      break;
  }
  return {Distribution::Kind::constant, rule.a, rule.a};
}

float draw(const Distribution& from, RandomStream& random) {
  switch (from.kind) {
    case Distribution::Kind::uniform:
      return random.uniform(from.a, from.b);
    case Distribution::Kind::normal:
      return static_cast<float>(from.a + from.b * random.normal());
    case Distribution::Kind::constant:
      break;
  }
  return static_cast<float>(from.a);
}

void fill_mixture(View<float> parameter, const std::vector<MixturePart>& parts, Fan fan, RandomStream& random) {
  if (parts.empty()) throw Error(ErrorKind::usage, "a mixture needs at least one part");
  double total = 0;
  std::vector<Distribution> distributions;
  for (const MixturePart& part : parts) {
    total += part.weight;
    distributions.push_back(resolve(part, fan));
  }
  parameter.for_each([&](float& element) {
    double remaining = random.uniform() * total;
    std::size_t chosen = 0;
    while (chosen + 1 < parts.size() && remaining >= parts[chosen].weight) remaining -= parts[chosen++].weight;
    element = draw(distributions[chosen], random);
  });
}

}  // namespace

void initialize(View<float> parameter, const Initializer& rule, Fan fan, std::uint64_t seed, std::string_view path) {
  RandomStream random(seed, fmt::format("init/{}", path));
  if (rule.rule == Rule::mixture) return fill_mixture(parameter, rule.parts, fan, random);
  const Distribution distribution = resolve(rule, fan);
  parameter.for_each([&](float& element) { element = draw(distribution, random); });
}

}  // namespace netc

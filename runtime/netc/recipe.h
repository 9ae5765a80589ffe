// How a model is initialised and trained: plain data, written by the compiler from `init` and `train`, read by the
// runtime.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace netc {

/// The rules of torch.nn.init; what their numbers a and b mean.
enum class InitializerRule {
  constant,         // a
  uniform,          // [a, b)
  normal,           // mean a, standard deviation b
  xavier_uniform,   // gain a: bound = a sqrt(6 / (fan_in + fan_out))
  xavier_normal,    // gain a: standard deviation = a sqrt(2 / (fan_in + fan_out))
  kaiming_uniform,  // gain a: bound = a sqrt(3 / fan_in)
  kaiming_normal,   // gain a: standard deviation = a / sqrt(fan_in)
  fan_in_uniform,   // +-1 / sqrt(fan_in): PyTorch's default
  mixture,          // one of the parts for each element
};

/// A part of a mixture: with probability `weight`, an element is drawn by this rule, which is no mixture.
struct MixturePart {
  double weight = 1;
  InitializerRule rule = InitializerRule::constant;
  double a = 0;
  double b = 0;
  bool by_fan_out = false;
};

/// How a parameter gets its first values.
struct Initializer {
  using Rule = InitializerRule;
  Rule rule = Rule::constant;
  double a = 0;
  double b = 0;
  bool by_fan_out = false;  // kaiming: fan_out in place of fan_in
  std::vector<MixturePart> parts{};
};

struct DataRecipe {
  std::string name;  // "fashion_mnist"; empty: the model has no `train` clause
  int resize = 0;    // pixels a side after Pillow's bilinear resize; 0: as stored
};

struct OptimizerRecipe {
  std::string name = "sgd";
  double lr = 0.1;
  double momentum = 0;
  double weight_decay = 0;
  bool nesterov = false;
};

struct Recipe {
  DataRecipe data;
  int batch = 32;
  int epochs = 10;
  OptimizerRecipe optimizer;
  std::uint64_t seed = 0;
};

}  // namespace netc

// How a model is initialised and trained: plain data, written by the compiler from `init` and `train`, read by the
// runtime.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace netc {

/// One piece of a mixture: with probability `weight`, uniform in [low, high) (a constant where they are equal).
struct MixturePart {
  double weight = 1;
  double low = 0;
  double high = 0;
};

/// How a parameter gets its first values. Rules and defaults are PyTorch's (torch.nn.init).
struct Initializer {
  enum class Rule {
    constant,         // a
    uniform,          // [a, b)
    normal,           // mean a, standard deviation b
    xavier_uniform,   // gain a
    xavier_normal,    // gain a
    kaiming_uniform,  // negative slope a; bound = sqrt(6 / ((1 + a^2) fan_in))
    kaiming_normal,   // negative slope a; standard deviation = sqrt(2 / ((1 + a^2) fan_in))
    fan_in_uniform,   // +-1 / sqrt(fan_in): PyTorch's default for biases
    mixture,          // parts
  };
  Rule rule = Rule::constant;
  double a = 0;
  double b = 0;
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

// How a model is initialised and trained: plain data, written by the compiler from `init` and `train`, read by the
// runtime.
#pragma once

#include <array>
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

// What a `train` clause says. Members are named as its settings and their arguments; settings.h has what each means,
// and its range.

struct DataRecipe {
  std::string name{};  // "fashion_mnist"; empty: the model has no `train` clause
  int resize = 0;      // pixels a side after Pillow's bilinear resize; 0: as stored
};

struct OptimizerRecipe {
  std::string name = "sgd";
  double lr = 1e-3;
  double momentum = 0;
  double weight_decay = 0;
  bool nesterov = false;
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
};

struct ScheduleRecipe {
  std::string name = "constant";
  int step_size = 0;
  double gamma = 0.1;
  int t_max = 0;  // 0: the epochs behind the warm-up
  double eta_min = 0;
};

/// Changes that training images undergo at random; each is off at 0.
struct AugmentRecipe {
  struct Flip {
    double p = 0;
  };
  struct Crop {
    int pad = 0;
  };
  struct Color {
    double brightness = 0;
    double contrast = 0;
  };
  Flip flip{};
  Crop crop{};
  Color color{};
};

struct Recipe {
  DataRecipe data{};
  int batch = 32;
  int epochs = 10;
  OptimizerRecipe optimizer{};
  ScheduleRecipe schedule{};
  double warmup = 0;  // epochs
  double warmup_start_factor = 1.0 / 3;
  double clip_grad_norm = 0;   // 0: no clipping
  double clip_grad_value = 0;  // 0: no clipping
  AugmentRecipe augment{};
  double validation = 0;  // a share of the training data, or a number of examples from 1 on
  int early_stop = 0;     // epochs; 0: off
  std::uint64_t seed = 0;
};

}  // namespace netc

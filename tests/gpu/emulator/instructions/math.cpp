// Square roots, reciprocals and approximations. Where the device approximates, the emulator rounds correctly or nearly
// so: comparisons need the device's tolerance anyway.
#include <cmath>

#include "elementwise.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

struct SquareRoot {
  template <class T>
  static T apply(T a) {
    return std::sqrt(a);
  }
};

struct ReciprocalSquareRoot {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(1 / std::sqrt(static_cast<double>(a)));
  }
};

struct Reciprocal {
  template <class T>
  static T apply(T a) {
    return 1 / a;
  }
};

struct Exp2 {
  static float apply(float a) { return std::exp2(a); }
};

struct Log2 {
  static float apply(float a) { return std::log2(a); }
};

struct Sine {
  static float apply(float a) { return std::sin(a); }
};

struct Cosine {
  static float apply(float a) { return std::cos(a); }
};

struct HyperbolicTangent {
  static float apply(float a) { return std::tanh(a); }
};

template <class Operation>
void translate_root(Decoder& decoder) {
  const Type type = decoder.statement().type();
  emit_uniform(decoder,
               type == Type::f32   ? elementwise<Operation, float, float>
               : type == Type::f64 ? elementwise<Operation, double, double>
                                   : nullptr,
               1);
}

template <class Operation>
void translate_approximation(Decoder& decoder) {
  emit_uniform(decoder, decoder.statement().type() == Type::f32 ? elementwise<Operation, float, float> : nullptr, 1);
}

}  // namespace

std::vector<InstructionEntry> math_instructions() {
  return {{"sqrt", translate_root<SquareRoot>, "rn approx ftz"},
          {"rsqrt", translate_root<ReciprocalSquareRoot>, "approx ftz"},
          {"rcp", translate_root<Reciprocal>, "rn approx ftz"},
          {"ex2", translate_approximation<Exp2>, "approx ftz"},
          {"lg2", translate_approximation<Log2>, "approx ftz"},
          {"sin", translate_approximation<Sine>, "approx ftz"},
          {"cos", translate_approximation<Cosine>, "approx ftz"},
          {"tanh", translate_approximation<HyperbolicTangent>, "approx"}};
}

}  // namespace netc::emulator

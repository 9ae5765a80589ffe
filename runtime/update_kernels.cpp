// A tool of the build: writes object files with the optimizers' steps for CUDA. Every model's parameters are one flat
// array, so one kernel serves all of them; formulas are those of netc/optimizer.cpp.
#include <Halide.h>

#include <iostream>
#include <string>
#include <vector>

namespace {

using Halide::Argument;
using Halide::cast;
using Halide::Expr;
using Halide::Float;
using Halide::Func;
using Halide::ImageParam;
using Halide::TailStrategy;
using Halide::Tuple;
using Halide::Var;

const Var i("i");

/// An element of the gradient, clamped; what is no number stays none.
Expr clamped(const Expr& gradient, const Expr& limit) {
  return select(gradient < -limit, -limit, select(gradient > limit, limit, gradient));
}

/// What all steps have: arguments are numbers, the gradients' factor, gradients; then parameters and states, which are
/// moved where they lie. The numbers are in the GPU's memory, in the order of netc/cuda_steps.cpp.
struct Step {
  ImageParam numbers{Float(32), 1, "numbers"};
  ImageParam scale{Float(32), 1, "scale"};
  ImageParam gradients{Float(32), 1, "gradients"};

  Expr lr() const { return numbers(0); }
  Expr gradient() const { return clamped(gradients(i), numbers(1)) * scale(0); }
  std::vector<Argument> arguments() const { return {numbers, scale, gradients}; }
};

class Writer {
 public:
  explicit Writer(std::string folder) : folder_(std::move(folder)) {}

  /// `step` has an update that moves its elements. Its pure definition computes nothing, but must not do so on the CPU.
  void write(Func step, const std::string& name, const std::vector<Argument>& arguments) const {
    const Var block("block");
    const Var thread("thread");
    step.gpu_tile(i, block, thread, 256, TailStrategy::GuardWithIf);
    step.update().gpu_tile(i, block, thread, 256, TailStrategy::GuardWithIf);
    compile(step, name, arguments);
  }

  void compile(Func func, const std::string& name, const std::vector<Argument>& arguments) const {
    const Halide::Target target("x86-64-linux-sse41-cuda-cuda_capability_80-no_bounds_query-no_runtime");
    func.compile_to({{Halide::OutputFileType::object, folder_ + "/" + name + ".o"}}, arguments, "netc_cuda_" + name,
                    target);
  }

 private:
  std::string folder_;
};

void write_plain(const Writer& writer) {
  const Step step;
  const Expr decay = step.numbers(3);
  Func next("next");
  next(i) = Halide::undef<float>();
  next(i) = next(i) - step.lr() * (step.gradient() + decay * next(i));
  writer.write(next, "plain_step", step.arguments());
}

void write_momentum(const Writer& writer) {
  const Step step;
  const Expr decay = step.numbers(3), momentum = step.numbers(4), nesterov = step.numbers(5) != 0.0f;
  const Expr unset = Halide::undef<float>();
  Func next("next");
  next(i) = Tuple(unset, unset);
  const Expr parameter = next(i)[0];
  const Expr g = step.gradient() + decay * parameter;
  const Expr velocity = momentum * next(i)[1] + g;
  next(i) = Tuple(parameter - step.lr() * select(nesterov, g + momentum * velocity, velocity), velocity);
  writer.write(next, "momentum_step", step.arguments());
}

void write_adam(const Writer& writer) {
  const Step step;
  const Expr decay = step.numbers(3), mean_share = step.numbers(4), square_kept = step.numbers(5),
             square_share = step.numbers(6), square_correction = step.numbers(7), eps = step.numbers(8),
             kept = step.numbers(9);
  const Expr unset = Halide::undef<float>();
  Func next("next");
  next(i) = Tuple(unset, unset, unset);
  const Expr parameter = next(i)[0];
  const Expr g = step.gradient() + decay * parameter;
  const Expr mean = next(i)[1] + mean_share * (g - next(i)[1]);
  const Expr square = square_kept * next(i)[2] + square_share * g * g;
  const Expr along = mean / (sqrt(square) / square_correction + eps);
  next(i) = Tuple(kept * parameter - step.lr() * along, mean, square);
  writer.write(next, "adam_step", step.arguments());
}

/// The factor that brings the norm of the clamped gradients down to `largest`, as one element. The sums are doubles and
/// always of the same elements, whatever the GPU: of every 2^14th, then of 128 of these, then of all.
void write_clip_scale(const Writer& writer) {
  constexpr int groups = 128;
  constexpr int sums = groups * 128;
  const ImageParam numbers(Float(32), 1, "numbers"), gradients(Float(32), 1, "gradients");
  const Expr limit = numbers(0), largest = numbers(1);
  const Expr count = gradients.dim(0).extent();
  Halide::RDom r(0, (count + sums - 1) / sums, "r");
  const Expr place = r * sums + i;
  r.where(place < count);
  const Expr g = cast<double>(clamped(gradients(clamp(place, 0, count - 1)), limit));
  Func partial("partial"), group("group"), total("total"), scale("scale");
  partial(i) = cast<double>(0);
  partial(i) += g * g;
  const Halide::RDom of_group(0, sums / groups, "of_group"), all(0, groups, "all");
  group(i) = cast<double>(0);
  group(i) += partial(of_group * groups + i);
  total(i) = cast<double>(0);
  total(i) += group(all);
  const Expr factor = cast<double>(largest) / (sqrt(total(i)) + cast<double>(1e-6f));
  scale(i) = select(factor > cast<double>(1), 1.0f, cast<float>(factor));
  const Var block("block"), thread("thread");
  for (Func sum : {partial, group}) {
    sum.compute_root().gpu_tile(i, block, thread, 128, TailStrategy::GuardWithIf);
    sum.update().gpu_tile(i, block, thread, 128, TailStrategy::GuardWithIf);
  }
  scale.gpu_tile(i, block, thread, 1, TailStrategy::GuardWithIf);
  total.compute_at(scale, thread);
  writer.compile(scale, "clip_scale", {numbers, gradients});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: update_kernels FOLDER\n";
    return 2;
  }
  const Writer writer(argv[1]);
  write_plain(writer);
  write_momentum(writer);
  write_adam(writer);
  write_clip_scale(writer);
}

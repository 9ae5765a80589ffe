// Runs a graph in this process: every group is compiled by Halide's JIT, with all of Halide's assertions, for the CPU
// (Halide calls it Host), or for whatever calls itself CUDA's driver or OpenCL here.
#pragma once

#include <Halide.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/tiles.h"
#include "compiler/passes/fuse.h"
#include "compiler/passes/lay_out.h"

namespace netc::test {

/// For every kernel of the graph the smallest, or the largest, of what its schedule lets choose.
enum class Extreme { smallest, largest };
Tiles extreme_choices(const LaidOutGraph& laid_out, Halide::Type real, Extreme extreme);

class GraphRunner {
 public:
  /// f32 values are computed and stored as `real`; in floats, bf16 are multiplied by dot products where this processor
  /// has them and `bf16_dot_products` asks for them. Memory that no kernel wrote holds NaN; examples that pad the last
  /// block of a value given by `set` hold 7, those of `set_gradient` hold 0. `tiles`: choices of the schedules;
  /// `few`: the schedules for a few examples.
  GraphRunner(const LaidOutGraph& laid_out, int batch, Halide::Type real, Tiles tiles = {}, bool few = false,
              Halide::DeviceAPI api = Halide::DeviceAPI::Host, bool bf16_dot_products = false);
  GraphRunner(const GraphRunner&) = delete;
  GraphRunner& operator=(const GraphRunner&) = delete;

  /// All elements, row-major in the logical order of axes, the batch first.
  void set(ValueId value, const std::vector<double>& elements) { put(value, elements, 7); }
  void set_gradient(ValueId value, const std::vector<double>& elements) { put(value, elements, 0); }
  void set_element(ValueId value, std::int64_t index, double element);
  std::vector<double> get(ValueId value) const { return elements(value, 0, examples(value)); }
  /// Elements of the examples behind the last one; none where a value has no batch.
  std::vector<double> padding(ValueId value) const { return elements(value, examples(value), padded(value)); }

  /// Key and counter of random numbers.
  void seed(std::uint32_t seed, std::uint32_t step) { counters_ = {seed, step}; }
  /// How many kernels the graph takes.
  std::size_t kernels() const { return kernels_.size(); }
  /// Bytes that kernels allocated on a GPU for themselves, where the driver counts them, and bytes that were planned.
  struct Scratch {
    std::int64_t allocated;
    std::int64_t planned;
  };
  const std::vector<Scratch>& scratch() const { return scratch_; }
  /// Runs the groups of the forward pass, or all of them. Halide's errors are exceptions.
  void run_forward();
  void run();

  /// How many elements of a gradient are compared with difference quotients, and how far they may be off.
  struct Differences {
    std::size_t elements;
    double absolute;
    double relative;
  };
  /// Of a gradient, `computed`, with respect to `value`, whose elements are `x`, the element that is furthest from its
  /// difference quotient, as text; "" when all agree. `loss` runs the forward pass.
  std::string worst_difference(ValueId value, const std::vector<double>& x, const std::vector<double>& computed,
                               const std::function<double()>& loss, const Differences& allowed);

 private:
  using Kernel = std::function<void()>;

  void put(ValueId value, const std::vector<double>& elements, double padding);
  std::vector<double> elements(ValueId value, int begin, int end) const;
  std::byte* element(ValueId value, int example, std::int64_t index) const;
  /// Examples, without and with those that fill the last block; 1 where a value has no batch.
  int examples(ValueId value) const;
  int padded(ValueId value) const;
  Halide::Type type(ValueId value) const;
  ValueId owner(ValueId value) const;
  std::byte* data(ValueId value) const;
  Halide::Runtime::Buffer<void> buffer(ValueId value) const;
  /// What is prepared of a parameter, as in passes of a network, and the kernel that does it.
  struct Prepared {
    Halide::Runtime::Buffer<void> memory;
    Kernel kernel;
  };

  KernelBuilder builder(const Group& group, Part part) const;
  Prepared prepare(const Group& group, ValueId parameter) const;
  Kernel compile(const Group& group);

  LaidOutGraph laid_out_;
  std::vector<Group> groups_;
  int batch_;
  Halide::Type real_;
  Tiles tiles_;
  Halide::DeviceAPI api_;
  Machine machine_;
  std::vector<Scratch> scratch_;
  std::array<std::uint32_t, 2> counters_{1, 0};  // seed and step
  mutable std::vector<std::vector<std::byte>> memory_;
  std::vector<Kernel> kernels_;
};

}  // namespace netc::test

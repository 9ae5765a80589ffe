// The kernels for tensor cores, run by the emulator or on a GPU (see driver.h), against the same sums in C++ over
// factors that are rounded here. CUDA's compiler makes them: without it the test is passed over.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "compiler/kernels/gpu_binary.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/tensor_cores.h"
#include "compiler/passes/fuse.h"
#include "driver.h"

namespace netc {
namespace {

using test::Driver;

constexpr int batch = 5;

/// A convolution, or with images of one pixel a linear layer.
struct Layer {
  std::string name;
  std::int64_t in;
  std::int64_t out;
  IntPair size{1, 1};
  IntPair kernel{1, 1};
  IntPair stride{1, 1};
  IntPair pad{0, 0};
  IntPair dilation{1, 1};
  bool linear = false;
  bool apart = false;  // images are parts of larger ones, at no multiple of 16 bytes
  bool rows = false;   // the output lies row by row, as users read it
};

const std::vector<Layer>& layers() {
  static const std::vector<Layer> all{
      {"plain", 16, 32, {6, 5}, {3, 3}, {1, 1}, {1, 1}},
      {"strided", 20, 24, {7, 7}, {3, 3}, {2, 2}, {1, 1}},
      {"projection", 32, 48, {5, 6}, {1, 1}, {2, 2}},
      {"wide", 68, 100, {6, 5}, {3, 3}, {1, 1}, {1, 1}},
      {"dilated", 16, 12, {6, 7}, {3, 3}, {1, 1}, {2, 1}, {2, 1}},
      {"oblong", 16, 10, {7, 6}, {1, 5}, {3, 1}, {0, 2}},
      {"apart", 16, 16, {4, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, false, true},
      {"wide_apart", 68, 68, {4, 3}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, false, true},
      {"by_rows", 16, 20, {4, 5}, {3, 3}, {1, 1}, {0, 0}, {1, 1}, false, false, true},
      {"linear", 64, 64, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {1, 1}, true},
      {"linear_odd", 300, 33, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {1, 1}, true},
  };
  return all;
}

ops::Window window(const Layer& layer, bool x) {
  const auto half = [&](const IntPair& pair) { return x ? pair.second : pair.first; };
  return {half(layer.kernel), half(layer.stride), half(layer.pad), half(layer.dilation)};
}

/// A layer as a graph of three nodes: forward, and both gradients.
class LayerGraph {
 public:
  explicit LayerGraph(const Layer& layer)
      : layer_(layer),
        height_(window(layer, false).outputs(layer.size.first)),
        width_(window(layer, true).outputs(layer.size.second)) {
    x = add(images(layer.in, layer.size.first, layer.size.second), Role::activation);
    weight = add(
        layer.linear ? Shape{layer.out, layer.in} : Shape{layer.out, layer.in, layer.kernel.first, layer.kernel.second},
        Role::parameter);
    bias = add({layer.out}, Role::parameter);
    y = add(images(layer.out, height_, width_), Role::activation);
    dy = add(graph.values[index(y)].shape, Role::gradient);
    dx = add(graph.values[index(x)].shape, Role::gradient);
    dweight = add(graph.values[index(weight)].shape, Role::gradient);
    if (layer.rows) layouts[index(y)] = row_major(graph[y].shape);
    const bool l = layer.linear;
    node(l ? ops::linear : ops::conv, {x, weight, bias}, y);
    node(l ? ops::linear_backward_data : ops::conv_backward_data, {dy, weight}, dx);
    node(l ? ops::linear_backward_weights : ops::conv_backward_weights, {dy, x}, dweight);
  }
  LayerGraph(const LayerGraph&) = delete;
  LayerGraph& operator=(const LayerGraph&) = delete;

  std::int64_t height() const { return height_; }
  std::int64_t width() const { return width_; }
  static std::size_t index(ValueId value) { return static_cast<std::size_t>(value); }

  Graph graph;
  std::vector<Layout> layouts;
  ValueId x, weight, bias, y, dy, dx, dweight;

 private:
  Shape images(std::int64_t channels, std::int64_t height, std::int64_t width) const {
    return layer_.linear ? Shape{Shape::batch, channels} : Shape{Shape::batch, channels, height, width};
  }

  ValueId add(const Shape& shape, Role role) {
    const bool image = shape.rank() == 4;
    const std::vector<int> order = shape.has_batch()   ? (image ? std::vector<int>{2, 3, 1} : std::vector<int>{1})
                                   : image             ? std::vector<int>{2, 3, 1, 0}
                                   : shape.rank() == 2 ? std::vector<int>{1, 0}
                                                       : std::vector<int>{0};
    Layout layout = dense_layout(shape, order, 1);
    if (layer_.apart && shape.has_batch()) {  // three channels more, which others lie in
      Shape larger = shape;
      larger[1] += 3;
      layout = dense_layout(larger, order, 1);
    }
    layouts.push_back(layout);
    return graph.add({.role = role, .shape = shape});
  }

  void node(const Operator& op, std::vector<ValueId> inputs, ValueId output) {
    Attributes attributes{{"kernel", layer_.kernel},
                          {"stride", layer_.stride},
                          {"pad", layer_.pad},
                          {"dilation", layer_.dilation},
                          {"groups", std::int64_t{1}}};
    graph.nodes.push_back({.op = &op, .attributes = attributes, .inputs = std::move(inputs), .outputs = {output}});
  }

  Layer layer_;
  std::int64_t height_;
  std::int64_t width_;
};

/// Memory of a value, and its elements by logical indices.
class Memory {
 public:
  Memory(const LayerGraph& of, ValueId value)
      : layout_(of.layouts[LayerGraph::index(value)]), batched_(of.graph[value].shape.has_batch()) {
    const Shape& shape = of.graph[value].shape;
    std::int64_t last = batched_ ? (batch - 1) * layout_.block_stride : 0;
    for (std::size_t i = 0; i < layout_.strides.size(); ++i)
      last += layout_.strides[i] * (shape[static_cast<int>(i) + (batched_ ? 1 : 0)] - 1);
    elements.resize(static_cast<std::size_t>(last + 1), std::nanf(""));
  }

  template <class... Index>
  float& operator()(Index... index) {
    const std::vector<std::int64_t> at{index...};
    std::int64_t place = batched_ ? at[0] * layout_.block_stride : 0;
    for (std::size_t i = 0; i < layout_.strides.size(); ++i) place += at[i + (batched_ ? 1 : 0)] * layout_.strides[i];
    return elements[static_cast<std::size_t>(place)];
  }

  void fill(unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& element : elements) element = uniform(random);
  }

  std::vector<float> elements;

 private:
  Layout layout_;
  bool batched_;
};

/// To so many bits of mantissa and the one before it: TF32 with ties away from zero, bf16 with ties to even.
float rounded(float number, Precision precision) {
  int exponent = 0;
  const float mantissa = std::frexp(number, &exponent);
  const float whole = precision == Precision::tf32 ? std::round(std::ldexp(mantissa, 11)) / (1 << 11)
                                                   : std::nearbyint(std::ldexp(mantissa, 8)) / (1 << 8);
  return std::ldexp(whole, exponent);
}

/// A layer's numbers, and what its passes make of them.
struct Numbers {
  LayerGraph of;
  const Layer& layer;
  Memory x{of, of.x}, weight{of, of.weight}, bias{of, of.bias}, dy{of, of.dy};
  Memory y{of, of.y}, dx{of, of.dx}, dweight{of, of.dweight};

  explicit Numbers(const Layer& given) : of(given), layer(given) {
    x.fill(1);
    weight.fill(2);
    bias.fill(3);
    dy.fill(4);
  }

  void round_factors(Precision precision) {
    for (Memory* factors : {&x, &weight, &dy}) {
      for (float& element : factors->elements) element = rounded(element, precision);
    }
  }

  float& image(Memory& memory, std::int64_t n, std::int64_t c, std::int64_t at_y, std::int64_t at_x) const {
    return layer.linear ? memory(n, c) : memory(n, c, at_y, at_x);
  }
  float& tap(Memory& memory, std::int64_t o, std::int64_t i, std::int64_t ky, std::int64_t kx) const {
    return layer.linear ? memory(o, i) : memory(o, i, ky, kx);
  }

  /// Calls `act(n, y, x, ky, kx, source y, source x)` for every pixel of the output and tap that reads a pixel.
  template <class Act>
  void for_reads(const Act& act) const {
    const ops::Window wy = window(layer, false), wx = window(layer, true);
    for (std::int64_t n = 0; n < batch; ++n)
      for (std::int64_t at_y = 0; at_y < of.height(); ++at_y)
        for (std::int64_t at_x = 0; at_x < of.width(); ++at_x)
          for (std::int64_t ky = 0; ky < wy.kernel; ++ky)
            for (std::int64_t kx = 0; kx < wx.kernel; ++kx) {
              const std::int64_t sy = at_y * wy.stride + ky * wy.dilation - wy.pad;
              const std::int64_t sx = at_x * wx.stride + kx * wx.dilation - wx.pad;
              const bool inside = sy >= 0 && sy < layer.size.first && sx >= 0 && sx < layer.size.second;
              if (inside) act(n, at_y, at_x, ky, kx, sy, sx);
            }
  }

  /// Sums of products, and of their sizes, for the elements of `to`, which the function places.
  struct Expected {
    std::vector<double> sums;
    std::vector<double> sizes;
  };
  Expected expected(std::size_t node) {
    Memory& to = node == 0 ? y : node == 1 ? dx : dweight;
    Expected result{std::vector<double>(to.elements.size()), std::vector<double>(to.elements.size())};
    const auto add = [&](const float& place, float a, float b) {
      const auto at = static_cast<std::size_t>(&place - to.elements.data());
      const double product = static_cast<double>(a) * b;
      result.sums[at] += product;
      result.sizes[at] += std::abs(product);
    };
    for_reads([&](auto n, auto at_y, auto at_x, auto ky, auto kx, auto sy, auto sx) {
      for (std::int64_t o = 0; o < layer.out; ++o) {
        for (std::int64_t i = 0; i < layer.in; ++i) {
          if (node == 0) {
            add(image(y, n, o, at_y, at_x), tap(weight, o, i, ky, kx), image(x, n, i, sy, sx));
          } else if (node == 1) {
            add(image(dx, n, i, sy, sx), tap(weight, o, i, ky, kx), image(dy, n, o, at_y, at_x));
          } else {
            add(tap(dweight, o, i, ky, kx), image(dy, n, o, at_y, at_x), image(x, n, i, sy, sx));
          }
        }
      }
    });
    if (node == 0) {
      for (std::int64_t n = 0; n < batch; ++n)
        for (std::int64_t at_y = 0; at_y < of.height(); ++at_y)
          for (std::int64_t at_x = 0; at_x < of.width(); ++at_x)
            for (std::int64_t o = 0; o < layer.out; ++o) {
              const auto at = static_cast<std::size_t>(&image(y, n, o, at_y, at_x) - y.elements.data());
              result.sums[at] += bias(o);
            }
    }
    return result;
  }
};

Machine machine(Precision precision) {
  return {.name = "cuda",
          .target = Halide::Target("x86-64-linux-cuda-cuda_capability_80"),
          .vector = 1,
          .accumulators = 1,
          .products = precision};
}

/// A kernel of a layer: of its node 0, 1 or 2.
struct Kernel {
  const Layer* layer;
  std::size_t node;
  std::string name;
  std::string text;
  unsigned blocks_x;
  unsigned blocks_y;
  unsigned threads;
  int parts;
};

std::optional<Kernel> kernel_of(const Layer& layer, std::size_t number, Precision precision) {
  const LayerGraph of(layer);
  const Node& node = of.graph.nodes[number];
  const Group group{.name = "", .nodes = {static_cast<int>(number)}, .inputs = node.inputs, .outputs = node.outputs};
  const Machine gpu = machine(precision);
  const KernelBuilder builder(of.graph, group, of.layouts, gpu);
  const auto product = ops::TensorProduct::of(builder, node);
  if (!product) return std::nullopt;
  const std::string name = fmt::format("{}_{}", layer.name, node.op->name);
  const auto blocks = Halide::Internal::as_const_int(Halide::Internal::simplify(product->blocks_x(batch)));
  REQUIRE(blocks.has_value());
  return Kernel{&layer,
                number,
                name,
                product->specialised(name),
                static_cast<unsigned>(*blocks),
                static_cast<unsigned>(product->blocks_y()),
                static_cast<unsigned>(product->threads()),
                number == 2 ? product->blocks_y() : 1};
}

std::vector<Kernel> kernels(Precision precision) {
  std::vector<Kernel> all;
  for (const Layer& layer : layers()) {
    for (std::size_t node = 0; node < 3; ++node) {
      if (auto kernel = kernel_of(layer, node, precision)) all.push_back(std::move(*kernel));
    }
  }
  return all;
}

class LoadedKernels {
 public:
  explicit LoadedKernels(const std::string& ptx) { driver_.require("cuModuleLoadData", &module_, ptx.c_str()); }

  /// Runs it on a copy of its operands, and returns what it wrote.
  std::vector<float> run(const Kernel& kernel, Numbers& numbers) const {
    Memory* const operands[][2] = {
        {&numbers.x, &numbers.weight}, {&numbers.dy, &numbers.weight}, {&numbers.dy, &numbers.x}};
    Memory* const results[] = {&numbers.y, &numbers.dx, &numbers.dweight};
    Driver::Address a = upload(*operands[kernel.node][0], numbers.layer.apart);
    Driver::Address b = upload(*operands[kernel.node][1], numbers.layer.apart && kernel.node == 2);
    Driver::Address start = upload(numbers.bias, false);
    const std::vector<float> before(results[kernel.node]->elements.size() * static_cast<std::size_t>(kernel.parts),
                                    std::nanf(""));
    Driver::Address result = driver_.upload(before);
    int examples = batch;
    std::vector<void*> arguments{&a, &b};
    if (kernel.node == 0) arguments.push_back(&start);
    arguments.insert(arguments.end(), {&result, &examples});
    void* function = nullptr;
    driver_.require("cuModuleGetFunction", &function, module_, kernel.name.c_str());
    void* const none = nullptr;
    REQUIRE(driver_.call("cuLaunchKernel", function, kernel.blocks_x, kernel.blocks_y, 1U, kernel.threads, 1U, 1U, 0U,
                         none, arguments.data(), none) == 0);
    return driver_.download<float>(result, before.size());
  }

  emulator::Counts counts() const { return driver_.counts(); }

 private:
  /// Four bytes further where images lie `apart`.
  Driver::Address upload(const Memory& memory, bool apart) const {
    if (!apart) return driver_.upload(memory.elements);
    std::vector<float> shifted{0};
    shifted.insert(shifted.end(), memory.elements.begin(), memory.elements.end());
    return driver_.upload(shifted) + sizeof(float);
  }

  Driver driver_;
  void* module_ = nullptr;
};

void check_kernel(const Kernel& kernel, const LoadedKernels& loaded, Precision precision) {
  CAPTURE(kernel.name);
  const double off = test::emulated() ? 1e-6 : 4e-6;  // a GPU cuts off what its sums do not hold, it does not round
  Numbers numbers(*kernel.layer);
  const std::vector<float> computed = loaded.run(kernel, numbers);
  const Numbers::Expected exact = numbers.expected(kernel.node);
  numbers.round_factors(precision);
  const Numbers::Expected expected = numbers.expected(kernel.node);
  double rounding = 0;
  double size = 0;
  for (std::size_t i = 0; i < expected.sums.size(); ++i) {
    if (expected.sizes[i] == 0) continue;  // a place between images
    double sum = 0;
    for (std::size_t part = 0; part < static_cast<std::size_t>(kernel.parts); ++part)
      sum += computed[part * expected.sums.size() + i];
    if (!(std::abs(sum - expected.sums[i]) <= off * (1 + expected.sizes[i]))) {
      FAIL_CHECK(fmt::format("element {} is {}, not {}", i, sum, expected.sums[i]));
      return;
    }
    rounding += std::pow(sum - exact.sums[i], 2);
    size += std::pow(exact.sums[i], 2);
  }
  // Not what f32 would have given.
  const double unit = precision == Precision::tf32 ? 0x1p-11 : 0x1p-8;
  CHECK(std::sqrt(rounding / size) > unit / 10);
  CHECK(std::sqrt(rounding / size) < unit);
}

/// What is no number, of whatever bits, or infinite, stays so.
void check_no_numbers(const Kernel& kernel, const LoadedKernels& loaded) {
  for (const std::uint32_t bits : {0x7fffffffU, 0xffffffffU, 0x7fc00000U, 0x7f800000U}) {
    CAPTURE(bits);
    Numbers numbers(*kernel.layer);
    numbers.x(0, 0, 0, 0) = std::bit_cast<float>(bits);
    const std::vector<float> computed = loaded.run(kernel, numbers);
    const Numbers::Expected expected = numbers.expected(kernel.node);
    for (std::size_t i = 0; i < computed.size(); ++i)
      CHECK(std::isfinite(computed[i]) == std::isfinite(expected.sums[i]));
  }
}

void check_kernels(Precision precision) {
  if (!CudaCompiler::installed()) {
    REQUIRE_MESSAGE(std::getenv("CUDA_HOME") == nullptr, "no nvcc in $CUDA_HOME/bin");
    MESSAGE("passed over: no nvcc on the PATH, and $CUDA_HOME is not set");
    return;
  }
  const std::vector<Kernel> all = kernels(precision);
  CHECK(all.size() == 30);
  std::string source = ops::tensor_core_prelude(precision);
  for (const Kernel& kernel : all) source += kernel.text;
  const std::string stem = fmt::format("tensor_cores_{}", name_of(precision));
  const std::filesystem::path own = std::filesystem::temp_directory_path() / fmt::format("{}_{}", stem, getpid());
  const std::string ptx = CudaCompiler::installed()->ptx(source, own);
  // Where ctest has it checked, too.
  if (const char* folder = std::getenv("NETC_PTX_FOLDER")) std::ofstream(fmt::format("{}/{}.ptx", folder, stem)) << ptx;
  const LoadedKernels loaded(ptx);
  for (const Kernel& kernel : all) check_kernel(kernel, loaded, precision);
  check_no_numbers(all[0], loaded);
  if (test::emulated()) CHECK(loaded.counts().uninitialized_reads == 0);
}

TEST_CASE("products of TF32") {
  check_kernels(Precision::tf32);
}

TEST_CASE("products of bf16") {
  check_kernels(Precision::bf16);
}

TEST_CASE("what does not suit tensor cores stays with Halide's kernels") {
  const auto suits = [](const Layer& layer, std::size_t node) {
    return kernel_of(layer, node, Precision::tf32).has_value();
  };
  CHECK(suits({"", 16, 8, {4, 4}}, 0));
  CHECK_FALSE(suits({"few inputs", 12, 8, {4, 4}}, 0));
  CHECK_FALSE(suits({"few outputs", 16, 7, {4, 4}}, 0));
  CHECK_FALSE(suits({"inputs that are no vectors", 18, 8, {4, 4}}, 0));
  CHECK_FALSE(suits({"a gradient of strides and dilation", 16, 16, {9, 9}, {3, 3}, {2, 2}, {0, 0}, {2, 2}}, 1));
  CHECK_FALSE(kernel_of(layers()[0], 0, Precision::f32).has_value());
}

}  // namespace
}  // namespace netc

#include "graph_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <future>
#include <limits>
#include <numeric>
#include <utility>

#include "compiler/kernels/gpu_stages.h"
#include "compiler/kernels/kernel_builder.h"
#include "emulator.h"

namespace netc::test {

namespace {

constexpr std::size_t most_buffers = 24;

std::size_t at(ValueId value) {
  return static_cast<std::size_t>(value);
}

using Buffers = std::vector<Halide::Runtime::Buffer<void>>;
using Counters = std::array<std::uint32_t, 2>;
using Call = int (*)(const Halide::Callable& kernel, int batch, const Counters& counters, Buffers& buffers);

template <std::size_t... I>
int call_on_cpu(const Halide::Callable& kernel, int batch, const Counters& counters, Buffers& buffers,
                std::index_sequence<I...>) {
  return kernel(batch, counters[0], counters[1], buffers[I]...);
}

template <std::size_t... I>
int call_on_gpu(const Halide::Callable& kernel, int batch, const Counters& counters, Buffers& buffers,
                std::index_sequence<I...>) {
  std::array<std::int32_t, 2> elements{static_cast<std::int32_t>(counters[0]), static_cast<std::int32_t>(counters[1])};
  Halide::Runtime::Buffer<std::int32_t> memory(elements.data(), 2);
  memory.set_host_dirty();
  return kernel(batch, memory, buffers[I]...);
}

/// A Callable takes its buffers as separate arguments: a function for each number of them.
template <std::size_t... N>
constexpr std::array<Call, sizeof...(N)> calls(bool gpu, std::index_sequence<N...>) {
  if (gpu) {
    return {[](const Halide::Callable& kernel, int batch, const Counters& counters, Buffers& buffers) {
      return call_on_gpu(kernel, batch, counters, buffers, std::make_index_sequence<N>());
    }...};
  }
  return {[](const Halide::Callable& kernel, int batch, const Counters& counters, Buffers& buffers) {
    return call_on_cpu(kernel, batch, counters, buffers, std::make_index_sequence<N>());
  }...};
}

double load(Halide::Type type, const std::byte* element) {
  if (type == Halide::Float(64)) return *reinterpret_cast<const double*>(element);
  if (type == Halide::Float(32)) return *reinterpret_cast<const float*>(element);
  if (type == Halide::Int(32)) return *reinterpret_cast<const std::int32_t*>(element);
  if (type == Halide::BFloat(16)) return static_cast<double>(*reinterpret_cast<const Halide::bfloat16_t*>(element));
  return static_cast<double>(*element);
}

void store(Halide::Type type, std::byte* element, double value) {
  if (type == Halide::Float(64)) {
    *reinterpret_cast<double*>(element) = value;
  } else if (type == Halide::Float(32)) {
    *reinterpret_cast<float*>(element) = static_cast<float>(value);
  } else if (type == Halide::Int(32)) {
    *reinterpret_cast<std::int32_t*>(element) = static_cast<std::int32_t>(value);
  } else if (type == Halide::BFloat(16)) {
    *reinterpret_cast<Halide::bfloat16_t*>(element) = Halide::bfloat16_t(value);
  } else {
    *element = static_cast<std::byte>(value);
  }
}

/// Registers of 512 bits for doubles and of 256 bits for floats, as AVX-512 and AVX2 have them; of 512 bits where bf16
/// are multiplied by dot products.
Machine host(Halide::Type real, bool bf16_dot_products = false) {
  Halide::Target target = Halide::get_host_target();
  if (!bf16_dot_products) return {"host", target, 8, real.bits() == 64 ? 28 : 12, real};
  target.set_feature(Halide::Target::AVX512_Zen4);
  return {"host", target, 16, 28, real, true};
}

Machine gpu(Halide::DeviceAPI api, Halide::Type real) {
  const Halide::Target host = Halide::get_host_target();
  if (api == Halide::DeviceAPI::OpenCL) return {"opencl", host.with_feature(Halide::Target::OpenCL), 1, 1, real};
  return {"cuda", host.with_feature(Halide::Target::CUDA).with_feature(Halide::Target::CUDACapability80), 1, 1, real};
}

std::int64_t sum(const std::vector<std::int64_t>& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
}

/// Of those that the kernel touched.
std::vector<std::int64_t> sizes_on_gpu(const Buffers& buffers) {
  std::vector<std::int64_t> sizes;
  for (const Halide::Runtime::Buffer<void>& buffer : buffers) {
    if (buffer.has_device_allocation()) sizes.push_back(static_cast<std::int64_t>(buffer.size_in_bytes()));
  }
  return sizes;
}

constexpr Isa host_isa = Isa::avx512;

Choices extreme_choices(const LaidOutGraph& laid_out, const Group& group, const Machine& machine, Extreme extreme) {
  Choices choices;
  for (bool complete = false; !complete;) {
    KernelBuilder builder(laid_out.graph, group, laid_out.layouts, machine, choices);
    builder.build();
    complete = true;
    for (const Offer& offer : builder.offers()) {
      if (choices.contains(offer.name)) continue;
      choices[offer.name] = {extreme == Extreme::smallest ? offer.candidates.front() : offer.candidates.back()};
      complete = false;
      break;  // what is chosen next may depend on this one
    }
  }
  return choices;
}

}  // namespace

Tiles extreme_choices(const LaidOutGraph& laid_out, Halide::Type real, Extreme extreme) {
  Tiles tiles;
  for (const Group& group : fuse(laid_out.graph, laid_out.layouts)) {
    tiles.set(host_isa, tuned_name(laid_out.graph, group, laid_out.layouts),
              {extreme_choices(laid_out, group, host(real), extreme)});
  }
  return tiles;
}

GraphRunner::GraphRunner(const LaidOutGraph& laid_out, int batch, Halide::Type real, Tiles tiles, bool few,
                         Halide::DeviceAPI api, bool bf16_dot_products)
    : laid_out_(laid_out),
      groups_(fuse(laid_out.graph, laid_out.layouts, few, api == Halide::DeviceAPI::Host)),
      batch_(batch),
      real_(real),
      tiles_(std::move(tiles)),
      api_(api),
      machine_(api == Halide::DeviceAPI::Host ? host(real, bf16_dot_products && best_isa() == Isa::avx512_bf16)
                                              : gpu(api, real)) {
  memory_.resize(laid_out.graph.values.size());
  for (ValueId value = 0; value < static_cast<ValueId>(memory_.size()); ++value) {
    if (owner(value) != value) continue;
    const Shape& shape = laid_out_.graph[value].shape;
    const std::int64_t elements = shape.elements() * padded(value);
    memory_[at(value)].resize(static_cast<std::size_t>(elements * type(value).bytes()));
    if (!type(value).is_float()) continue;
    for (std::int64_t i = 0; i < elements; ++i) {
      store(type(value), data(value) + i * type(value).bytes(), std::numeric_limits<double>::quiet_NaN());
    }
  }
  std::vector<std::future<Kernel>> compiled;
  for (const Group& group : groups_) {
    compiled.push_back(std::async(std::launch::async, [this, &group] { return compile(group); }));
  }
  for (std::future<Kernel>& kernel : compiled) kernels_.push_back(kernel.get());
}

// ---- Memory ---------------------------------------------------------------------------------------------------------

int GraphRunner::examples(ValueId value) const {
  return laid_out_.graph[value].shape.has_batch() ? batch_ : 1;
}

int GraphRunner::padded(ValueId value) const {
  const int lanes = laid_out_.layouts[at(value)].lanes;
  return (examples(value) + lanes - 1) / lanes * lanes;
}

Halide::Type GraphRunner::type(ValueId value) const {
  return halide_type(laid_out_.graph[value].type, real_);
}

/// The value in whose memory this one lies.
ValueId GraphRunner::owner(ValueId value) const {
  const ValueId root = laid_out_.aliases[at(value)].root;
  const ValueId updates = laid_out_.graph[root].updates;
  return updates == no_value ? root : updates;
}

std::byte* GraphRunner::data(ValueId value) const {
  return memory_[at(owner(value))].data() + laid_out_.aliases[at(value)].offset * type(value).bytes();
}

std::byte* GraphRunner::element(ValueId value, int example, std::int64_t index) const {
  const Shape& shape = laid_out_.graph[value].shape;
  const Layout& layout = laid_out_.layouts[at(value)];
  const int first = shape.has_batch() ? 1 : 0;
  std::int64_t offset = example % layout.lanes + example / layout.lanes * layout.block_stride;
  for (int axis = shape.rank() - 1; axis >= first; index /= shape[axis--]) {
    offset += index % shape[axis] * layout.strides[static_cast<std::size_t>(axis - first)];
  }
  return data(value) + offset * type(value).bytes();
}

std::string GraphRunner::worst_difference(ValueId value, const std::vector<double>& x,
                                          const std::vector<double>& computed, const std::function<double()>& loss,
                                          const Differences& allowed) {
  constexpr double step = 1e-6;
  double worst = 1;
  std::string text;
  for (std::size_t i = 0; i < x.size(); i += 1 + x.size() / allowed.elements) {
    const auto at = static_cast<std::int64_t>(i);
    set_element(value, at, x[i] + step);
    const double above = loss();
    set_element(value, at, x[i] - step);
    const double below = loss();
    set_element(value, at, x[i]);
    const double quotient = (above - below) / (2 * step);
    const double distance =
        std::abs(computed[i] - quotient) / (allowed.absolute + allowed.relative * std::abs(quotient));
    if (distance <= worst) continue;  // NaN goes on
    worst = distance;
    text = fmt::format("{}[{}]: {}, by differences {}\n", laid_out_.graph[value].name, i, computed[i], quotient);
  }
  return text;
}

void GraphRunner::put(ValueId value, const std::vector<double>& elements, double padding) {
  const std::int64_t each = laid_out_.graph[value].shape.elements();
  for (std::int64_t i = 0; i < each * padded(value); ++i) {
    const bool exists = i < each * examples(value);
    set_element(value, i, exists ? elements.at(static_cast<std::size_t>(i)) : padding);
  }
}

void GraphRunner::set_element(ValueId value, std::int64_t index, double number) {
  const std::int64_t each = laid_out_.graph[value].shape.elements();
  store(type(value), element(value, static_cast<int>(index / each), index % each), number);
}

std::vector<double> GraphRunner::elements(ValueId value, int begin, int end) const {
  std::vector<double> result;
  const std::int64_t each = laid_out_.graph[value].shape.elements();
  for (int n = begin; n < end; ++n) {
    for (std::int64_t i = 0; i < each; ++i) result.push_back(load(type(value), element(value, n, i)));
  }
  return result;
}

/// Dimensions in the order of KernelBuilder's variables.
Halide::Runtime::Buffer<void> GraphRunner::buffer(ValueId value) const {
  const Shape& shape = laid_out_.graph[value].shape;
  const Layout& layout = laid_out_.layouts[at(value)];
  const int first = shape.has_batch() ? 1 : 0;
  std::vector<halide_dimension_t> dimensions;
  if (first == 1) dimensions.emplace_back(0, layout.lanes, 1);
  for (int axis = shape.rank() - 1; axis >= first; --axis) {
    const std::int64_t stride = layout.strides[static_cast<std::size_t>(axis - first)];
    dimensions.emplace_back(0, static_cast<int>(shape[axis]), static_cast<int>(stride));
  }
  if (first == 1) dimensions.emplace_back(0, padded(value) / layout.lanes, static_cast<int>(layout.block_stride));
  return Halide::Runtime::Buffer<void>(type(value), data(value), dimensions);
}

// ---- Kernels --------------------------------------------------------------------------------------------------------

KernelBuilder GraphRunner::builder(const Group& group, Part part) const {
  return {laid_out_.graph,
          group,
          laid_out_.layouts,
          machine_,
          tiles_.choices(host_isa, tuned_name(laid_out_.graph, group, laid_out_.layouts)),
          part};
}

/// What a kernel of its own makes of a parameter, and that kernel.
GraphRunner::Prepared GraphRunner::prepare(const Group& group, ValueId parameter) const {
  KernelBuilder preparing = builder(group, Part::preparation);
  Halide::Pipeline pipeline = preparing.build();
  Halide::Func func = preparing.outs()[0];
  std::vector<int> extents;
  for (int i = 0; i < func.dimensions(); ++i) {
    const Halide::Expr extent = func.output_buffer().parameter().extent_constraint(i);
    extents.push_back(static_cast<int>(Halide::Internal::as_const_int(extent).value()));
  }
  Halide::Runtime::Buffer<void> memory(func.types()[0], extents);
  const Halide::Callable kernel = pipeline.compile_to_callable(preparing.pipeline_arguments(), machine_.target);
  return {memory, [this, kernel, buffers = Buffers{buffer(parameter), memory}]() mutable {
            call_on_cpu(kernel, batch_, counters_, buffers, std::make_index_sequence<2>());
          }};
}

GraphRunner::Kernel GraphRunner::compile(const Group& group) {
  const bool on_gpu = api_ != Halide::DeviceAPI::Host;
  const bool prepares = group.prepares && !on_gpu;
  std::optional<Preparation> preparation;
  if (prepares) preparation = builder(group, Part::rest).find_preparation();
  KernelBuilder building = builder(group, prepares ? Part::rest : Part::whole);
  Halide::Pipeline pipeline = building.build();
  const Halide::Callable kernel = pipeline.compile_to_callable(building.pipeline_arguments(), machine_.target);
  Buffers buffers;
  Kernel prepare_first = [] {};
  for (ValueId value : group.inputs) {
    if (preparation && preparation->parameter == value) {
      Prepared prepared = prepare(group, value);
      buffers.push_back(prepared.memory);
      prepare_first = prepared.kernel;
    } else {
      buffers.push_back(buffer(value));
    }
  }
  for (ValueId value : group.outputs) buffers.push_back(buffer(value));
  const Call call = calls(on_gpu, std::make_index_sequence<most_buffers>()).at(buffers.size());
  if (!on_gpu) {
    return [this, kernel, call, buffers, prepare_first]() mutable {
      prepare_first();
      call(kernel, batch_, counters_, buffers);
    };
  }
  // Every kernel gets copies of its operands, apart from each other in memory that the driver watches.
  const std::size_t inputs = group.inputs.size();
  const std::int64_t planned = sum(GpuStages(pipeline).scratch(batch_));
  return [this, kernel, call, buffers, inputs, planned]() mutable {
    for (std::size_t i = 0; i < inputs; ++i) buffers[i].set_host_dirty();
    const auto before = emulator_counts();
    call(kernel, batch_, counters_, buffers);
    if (before) {
      const std::int64_t allocated = emulator_counts()->allocated_bytes - before->allocated_bytes;
      scratch_.push_back({allocated - sum(sizes_on_gpu(buffers)), planned});
    }
    for (std::size_t i = inputs; i < buffers.size(); ++i) buffers[i].copy_to_host();
    for (Halide::Runtime::Buffer<void>& buffer : buffers) buffer.device_deallocate();
  };
}

void GraphRunner::run_forward() {
  const int forward = laid_out_.graph.forward_nodes;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (forward == 0 || groups_[i].nodes[0] < forward) kernels_[i]();
  }
}

void GraphRunner::run() {
  for (Kernel& kernel : kernels_) kernel();
}

}  // namespace netc::test

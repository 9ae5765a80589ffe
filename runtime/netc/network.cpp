// What all generated models share: memory, names, checks of what callers pass in, files.
#include "netc/network.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <set>
#include <utility>

#include "netc/cuda.h"
#include "netc/cuda_steps.h"
#include "netc/halide_hooks.h"
#include "netc/initializer.h"
#include "netc/pages.h"
#include "netc/safetensors.h"
#include "netc/suggest.h"

namespace netc {

namespace {

constexpr std::int64_t gpu_line = 256;

/// A GPU's kernels are told things in one line: the counters, behind them the numbers of an optimizer's calls.
std::int64_t numbers_place(std::size_t call) {
  constexpr std::size_t bytes = sizeof cuda::StepCall::numbers;
  static_assert((1 + Optimizer::max_calls) * bytes <= gpu_line);
  return static_cast<std::int64_t>((1 + call) * bytes);
}

std::size_t index(int i) {
  return static_cast<std::size_t>(i);
}

/// "f32 [N,1,28,28]"
std::string to_string(const TensorSpec& spec) {
  std::vector<std::string> extents;
  for (std::int64_t extent : spec.shape) extents.push_back(extent < 0 ? "N" : std::to_string(extent));
  return fmt::format("{} [{}]", to_string(spec.type), fmt::join(extents, ","));
}

std::string to_string(const AnyView& view) {
  return fmt::format("{} {}", to_string(view.type), to_string(view.shape));
}

template <class T>
const T* contiguous_data(View<T> view) {
  if (view.contiguous()) return view.data();
  throw Error(ErrorKind::mismatch, fmt::format("a tensor {} with strides {}: expected a contiguous one",
                                               to_string(view.shape()), to_string(view.strides())));
}

bool fits(const TensorSpec& spec, const AnyView& view) {
  if (view.type != spec.type || index(view.shape.size()) != spec.shape.size()) return false;
  for (int i = 0; i < view.shape.size(); ++i) {
    const std::int64_t expected = spec.shape[index(i)];
    if (expected < 0 ? view.shape[i] < 1 : view.shape[i] != expected) return false;
  }
  return true;
}

/// The view's batch; 0 where no extent of the tensor is the batch.
std::int64_t batch_of(const TensorSpec& spec, const AnyView& view) {
  for (int i = 0; i < view.shape.size(); ++i) {
    if (spec.shape[index(i)] < 0) return view.shape[i];
  }
  return 0;
}

Extents shape_for(const TensorSpec& spec, std::int64_t batch) {
  Extents shape;
  for (const std::int64_t extent : spec.shape) shape.push_back(extent < 0 ? batch : extent);
  return shape;
}

View<float> view_of(float* arena, const ParameterSpec& spec) {
  return {arena + spec.offset, Extents(spec.shape), Extents(spec.strides)};
}

View<float> find(float* arena, const std::vector<ParameterSpec>& specs, std::string_view path,
                 const std::string& what) {
  std::vector<std::string> paths;
  for (const ParameterSpec& spec : specs) {
    if (spec.path == path) return view_of(arena, spec);
    paths.push_back(spec.path);
  }
  throw Error(ErrorKind::usage, fmt::format("no {} '{}'{}", what, path, did_you_mean(path, paths)));
}

/// Views of variables or of constants.
template <class T>
std::vector<std::pair<std::string, View<T>>> named_views(float* arena, const std::vector<ParameterSpec>& specs) {
  std::vector<std::pair<std::string, View<T>>> views;
  views.reserve(specs.size());
  for (const ParameterSpec& spec : specs) views.emplace_back(spec.path, view_of(arena, spec));
  return views;
}

}  // namespace

AnyView::AnyView(View<const float> view) : data(contiguous_data(view)), shape(view.shape()) {}
AnyView::AnyView(View<float> view) : AnyView(View<const float>(view)) {}
AnyView::AnyView(View<const std::int32_t> view) : data(contiguous_data(view)), type(DType::i32), shape(view.shape()) {}
AnyView::AnyView(View<std::int32_t> view) : AnyView(View<const std::int32_t>(view)) {}
AnyView::AnyView(View<const std::uint8_t> view) : data(contiguous_data(view)), type(DType::u8), shape(view.shape()) {}

/// Zero where users reach it: so is what nothing is stored in (padding of blocked layouts), and optimizers may run over
/// all of it.
Floats Network::allocate(std::int64_t bytes, const char* purpose, Reached reached) const {
  if (device_ == Device::cuda) return allocate_on_gpu(bytes, purpose, reached);
  const auto size = static_cast<std::size_t>(bytes);
  auto* memory = static_cast<float*>(allocate_pages(size));
  if (memory == nullptr) {
    throw Error(ErrorKind::memory,
                fmt::format("{}: cannot allocate {} bytes for {}", description_.name, bytes, purpose));
  }
  return Floats(memory, {device_, size});
}

/// Choice: parameters lie in memory that the driver moves to whoever touches it, so that views of them are as good as
/// on the CPU and cost nothing while only kernels use them. Alternative: two copies, which no view can keep equal:
/// nobody is told of a write through one (2026-11).
Floats Network::allocate_on_gpu(std::int64_t bytes, const char* purpose, Reached reached) const {
  const cuda::Memory kind = reached == Reached::by_users ? cuda::Memory::shared : cuda::Memory::device;
  void* memory = cuda::allocate(bytes, kind, fmt::format("{} of {}", purpose, description_.name));
  return Floats(static_cast<float*>(memory), {device_, static_cast<std::size_t>(bytes)});
}

Network::Network(const Description& description, Device device)
    : description_(description),
      device_(device),
      inputs_(description.inputs.size()),
      labels_(description.labels.size()),
      outputs_(description.outputs.size()),
      input_gradients_(description.inputs.size()) {
  const std::int64_t parameter_bytes = description.parameter_floats * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t buffer_bytes = description.buffer_floats * static_cast<std::int64_t>(sizeof(float));
  launch_.device = device;
  if (device == Device::cuda) gpu_ = std::make_unique<GpuSession>();
  parameters_ = allocate(parameter_bytes, "parameters", Reached::by_users);
  if (buffer_bytes > 0) buffers_ = allocate(buffer_bytes, "buffers", Reached::by_users);
}

Network::~Network() = default;

void Network::allocate_gradients() {
  if (!gradients_) gradients_ = allocate(gradient_bytes(), "gradients", Reached::by_users);
}

std::int64_t Network::memory_bytes() const {
  const std::int64_t parameter_arenas = gradients_ ? 2 : 1;
  const std::int64_t floats = description_.parameter_floats * parameter_arenas + description_.buffer_floats;
  const std::int64_t prepared = prepared_.bytes + prepared_few_.bytes;
  const std::int64_t scratch = gpu_ ? gpu_->queue().scratch().lent_bytes() : 0;
  return arena_bytes_ - scratch + prepared + floats * static_cast<std::int64_t>(sizeof(float));
}

std::int64_t Network::scratch_bytes() const {
  return gpu_ ? gpu_->queue().scratch().bytes() : halide::scratch_bytes();
}

View<float> Network::parameter(std::string_view path) {
  parameters_changed();
  return find(parameters_.get(), description_.parameters, path, "parameter");
}

View<const float> Network::parameter(std::string_view path) const {
  return find(parameters_.get(), description_.parameters, path, "parameter");
}

View<float> Network::gradient(std::string_view path) {
  allocate_gradients();
  return find(gradients_.get(), description_.parameters, path, "parameter");
}

View<float> Network::buffer(std::string_view path) {
  return find(buffers_.get(), description_.buffers, path, "buffer");
}

View<const float> Network::buffer(std::string_view path) const {
  return find(buffers_.get(), description_.buffers, path, "buffer");
}

std::vector<std::pair<std::string, View<float>>> Network::named_parameters() {
  parameters_changed();
  return named_views<float>(parameters_.get(), description_.parameters);
}

std::vector<std::pair<std::string, View<const float>>> Network::named_parameters() const {
  return named_views<const float>(parameters_.get(), description_.parameters);
}

std::vector<std::pair<std::string, View<float>>> Network::named_buffers() {
  return named_views<float>(buffers_.get(), description_.buffers);
}

std::vector<std::pair<std::string, View<const float>>> Network::named_buffers() const {
  return named_views<const float>(buffers_.get(), description_.buffers);
}

std::span<float> Network::parameters_flat() {
  parameters_changed();
  return {parameters_.get(), parameter_floats()};
}

std::span<float> Network::gradients_flat() {
  allocate_gradients();
  return {gradients_.get(), parameter_floats()};
}

void Network::unfreeze() {
  frozen_ = false;
  parameters_changed();
}

void Network::parameters_changed() {
  prepared_.current = false;
  prepared_few_.current = false;
}

void Network::initialize(std::uint64_t seed) {
  parameters_changed();
  for (const ParameterSpec& spec : description_.parameters) {
    netc::initialize(view_of(parameters_.get(), spec), spec.initializer, {spec.fan_in, spec.fan_out}, seed, spec.path);
  }
  for (const ParameterSpec& spec : description_.buffers) {
    netc::initialize(view_of(buffers_.get(), spec), spec.initializer, {spec.fan_in, spec.fan_out}, seed, spec.path);
  }
}

namespace {

/// Refuses tensors that this model has no place for: they are a sign of another model's weights.
void require_known(const SafetensorsReader& file, const Description& description) {
  std::set<std::string> paths;
  for (const ParameterSpec& spec : description.parameters) paths.insert(spec.path);
  for (const ParameterSpec& spec : description.buffers) paths.insert(spec.path);
  for (const auto& [name, tensor] : file.tensors()) {
    if (paths.contains(name) || name.ends_with("num_batches_tracked")) continue;
    const std::vector<std::string> candidates(paths.begin(), paths.end());
    throw Error(ErrorKind::mismatch, fmt::format("{}: tensor '{}' is no parameter of {}{}", file.name(),
                                                 printable(name), description.name, did_you_mean(name, candidates)));
  }
}

}  // namespace

void Network::load(const std::filesystem::path& file) {
  const SafetensorsReader reader(file);
  for (const ParameterSpec& spec : description_.parameters) reader.require(spec.path, spec.shape);
  for (const ParameterSpec& spec : description_.buffers) reader.require(spec.path, spec.shape);
  require_known(reader, description_);
  parameters_changed();
  std::vector<std::pair<std::string, View<float>>> all = named_parameters();
  for (auto& buffer : named_buffers()) all.push_back(std::move(buffer));
  reader.copy_to(all);  // all or nothing
}

void Network::save(const std::filesystem::path& file) const {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, view] : named_parameters()) tensors.push_back({name, view});
  for (const auto& [name, view] : named_buffers()) tensors.push_back({name, view});
  write_safetensors(file, tensors, {{"model", description_.name}});
}

namespace {

/// Checks the tensors of a call against their specifications; the first that has a batch sets it.
class Binder {
 public:
  explicit Binder(const std::string& model) : model_(model) {}

  void bind(const char* what, const std::vector<TensorSpec>& specs, std::span<const AnyView> views,
            std::vector<const void*>& data) {
    if (views.size() != specs.size()) {
      fail(fmt::format("expected {} {}{}, found {}", specs.size(), what, specs.size() == 1 ? "" : "s", views.size()));
    }
    for (std::size_t i = 0; i < specs.size(); ++i) {
      check(fmt::format("{} {}", what, specs[i].name), specs[i], views[i]);
      data[i] = views[i].data;
    }
  }

  std::int32_t batch() const { return static_cast<std::int32_t>(batch_); }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(ErrorKind::mismatch, fmt::format("{}: {}", model_, why));
  }

  void check(const std::string& name, const TensorSpec& spec, const AnyView& view) {
    if (view.data == nullptr || !fits(spec, view)) {
      fail(fmt::format("{}: expected {}, found {}", name, to_string(spec), to_string(view)));
    }
    const std::int64_t batch = batch_of(spec, view);
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    if (batch > most) fail(fmt::format("{}: a batch of {}: at most {} examples are possible", name, batch, most));
    if (batch_ != 0 && batch != 0 && batch != batch_) {
      fail(fmt::format("{}: expected a batch of {} as before, found {}", name, batch_, batch));
    }
    batch_ = std::max(batch, batch_);
    if (spec.classes > 0 && spec.type == DType::i32) check_classes(name, spec, view);
  }

  void check_classes(const std::string& name, const TensorSpec& spec, const AnyView& view) const {
    const std::span values(static_cast<const std::int32_t*>(view.data), static_cast<std::size_t>(count(view.shape)));
    const auto wrong = std::find_if(values.begin(), values.end(),
                                    [&](std::int32_t value) { return value < 0 || value >= spec.classes; });
    if (wrong != values.end()) fail(fmt::format("{}: expected classes below {}, found {}", name, spec.classes, *wrong));
  }

  const std::string& model_;
  std::int64_t batch_ = 0;
};

}  // namespace

namespace {

std::int64_t bytes_of(const TensorSpec& spec, std::int64_t batch) {
  return count(shape_for(spec, batch)) * size_of(spec.type);
}

/// Says what would not fit before anything has been computed.
void require_gpu_memory(const std::string& model, std::int64_t batch, std::int64_t bytes) {
  if (bytes == 0) return;
  const std::int64_t free = cuda::free_bytes();
  if (bytes <= free) return;
  throw Error(ErrorKind::memory,
              fmt::format("{}: a batch of {} needs {:.1f} MB of the GPU's memory, of which {:.1f} MB are free: take a "
                          "smaller batch, or --device cpu",
                          model, batch, static_cast<double>(bytes) / 1e6, static_cast<double>(free) / 1e6));
}

}  // namespace

void Network::bind(std::span<const AnyView> inputs, const std::vector<TensorSpec>& label_specs,
                   std::span<const AnyView> labels) {
  last_pass_ = Pass::none;
  for (Result& output : outputs_) output.set(nullptr);
  losses_.set(nullptr);
  std::fill(labels_.begin(), labels_.end(), nullptr);
  Binder binder(description_.name);
  binder.bind("input", description_.inputs, inputs, inputs_);
  binder.bind("label", label_specs, labels, labels_);
  launch_.batch = std::max(binder.batch(), 1);
}

std::int64_t MemoryPlan::scratch_bytes(std::int64_t batch) const {
  std::int64_t most = 0;
  for (const ScratchPlan& kernel : scratch) most = std::max(most, kernel.per_example * capacity(batch) + kernel.fixed);
  return most;
}

/// The plan's memory may end within a line, counters take another.
std::int64_t staged_bytes(std::span<const std::int64_t> tensors) {
  std::int64_t bytes = 2 * gpu_line;
  for (const std::int64_t tensor : tensors) bytes += round_up(tensor, gpu_line);
  return bytes;
}

void Network::reserve(const MemoryPlan& plan, Optimizer* optimizer) {
  plan_ = &plan;
  capacity_ = plan.capacity(launch_.batch);
  if (plan.per_example > (std::numeric_limits<std::int64_t>::max() - plan.fixed) / capacity_) {
    throw Error(ErrorKind::memory, fmt::format("{}: a batch of {} is too large", description_.name, launch_.batch));
  }
  const std::int64_t scratch = scratch_bytes(plan, optimizer);
  const std::int64_t before_scratch = plan.bytes(launch_.batch) + staging_bytes();
  const std::int64_t bytes = before_scratch + scratch;
  take_turns(plan);
  const bool grows = !arena_ || bytes > arena_bytes_;
  if (grows) {
    // Before the larger one is made: their contents are not kept, nor is what was lent of it.
    if (gpu_) gpu_->queue().scratch().lend(nullptr, 0);
    arena_.reset();
    arena_bytes_ = 0;
  }
  if (device_ == Device::cuda) {
    require_gpu_memory(description_.name, launch_.batch, (grows ? bytes : 0) + bytes_beside(plan, optimizer));
  }
  if (grows) {
    arena_ = allocate(bytes, "activations", Reached::by_kernels);
    arena_bytes_ = bytes;
  }
  if (device_ == Device::cpu) return;
  auto* start = reinterpret_cast<std::byte*>(arena_.get());
  gpu_->queue().scratch().lend(start + before_scratch / gpu_line * gpu_line, scratch);
}

/// Of the kernels, and of the optimizer's, which run after them.
std::int64_t Network::scratch_bytes(const MemoryPlan& plan, const Optimizer* optimizer) const {
  if (device_ == Device::cpu) return 0;
  return std::max(plan.scratch_bytes(launch_.batch), optimizer == nullptr ? 0 : optimizer->scratch_bytes());
}

/// What the pass has yet to allocate of a GPU's memory, but for the arena.
std::int64_t Network::bytes_beside(const MemoryPlan& plan, Optimizer* optimizer) const {
  const bool wants_gradients = &plan == &description_.training && !gradients_;
  return (wants_gradients ? gradient_bytes() : 0) +
         (optimizer == nullptr ? 0 : optimizer->missing_bytes(parameter_floats(), device_));
}

/// What was prepared for evaluation is not kept beside what a training step takes, nor the other way round: together
/// they would be more than either needs.
void Network::take_turns(const MemoryPlan& plan) {
  if (&plan == &description_.training) {
    prepared_ = {};
    prepared_few_ = {};
    arena_trains_ = true;
  } else if (plan.prepared > 0 && arena_trains_) {
    arena_.reset();
    arena_trains_ = false;
  }
}

/// Bytes behind the plan's memory for what kernels are told and what the caller passed in; the CPU's kernels read it
/// where it is.
std::int64_t Network::staging_bytes() const {
  if (device_ == Device::cpu) return 0;
  std::vector<std::int64_t> tensors;
  for (const TensorSpec& spec : description_.inputs) tensors.push_back(bytes_of(spec, launch_.batch));
  for (const TensorSpec& spec : description_.labels) tensors.push_back(bytes_of(spec, launch_.batch));
  return staged_bytes(tensors);
}

/// What kernels are told and what the caller passed in.
void Network::copy_to_gpu(std::span<const cuda::StepCall> update) {
  if (!gpu_) return;
  std::byte* start = reinterpret_cast<std::byte*>(arena_.get()) + round_up(plan_->bytes(launch_.batch), gpu_line);
  const std::uint32_t counters[] = {launch_.seed, launch_.step};
  std::vector<GpuSession::Source> sources{{counters, sizeof counters, 0}};
  for (std::size_t i = 0; i < update.size(); ++i) {
    sources.push_back({update[i].numbers.data(), sizeof update[i].numbers, numbers_place(i)});
  }
  launch_.counters = start;
  std::int64_t next = gpu_line;
  const auto add = [&](const std::vector<TensorSpec>& specs, std::vector<const void*>& data) {
    for (std::size_t i = 0; i < specs.size(); ++i) {
      if (data[i] == nullptr) continue;  // a pass without labels
      sources.push_back({data[i], bytes_of(specs[i], launch_.batch), next});
      data[i] = start + next;
      next += round_up(bytes_of(specs[i], launch_.batch), gpu_line);
    }
  };
  add(description_.inputs, inputs_);
  add(description_.labels, labels_);
  gpu_->upload(start, sources);
}

void Network::launch_on_gpu(std::span<const cuda::StepCall> update) const {
  if (launch_.recorded) return;
  const auto* told = static_cast<const std::byte*>(launch_.counters);
  for (std::size_t i = 0; i < update.size(); ++i) {
    cuda::launch(update[i], reinterpret_cast<const float*>(told + numbers_place(i)));
  }
}

/// Runs kernels that are told the same each time; on a GPU they are launched as one. `key` tells passes apart that run
/// on the same memory and as many examples.
void Network::run_pass(GpuSession::Pass GpuSession::*pass, GpuSession::Pass::Key key,
                       const std::function<void()>& launch) {
  if (!gpu_) return launch();
  const cuda::InQueue in_queue(gpu_->queue());
  if (pass == nullptr || observes_kernels()) return launch();
  key.push_back(reinterpret_cast<std::uintptr_t>(arena_.get()));
  key.push_back(static_cast<std::uintptr_t>(launch_.batch));
  (*gpu_.*pass).run(gpu_->queue(), std::move(key), [&](bool launching) {
    launch_.recorded = !launching;
    launch();
    launch_.recorded = false;
  });
}

namespace {

float mean(const View<const float>& values) {
  double sum = 0;
  values.for_each([&sum](const float& value) { sum += static_cast<double>(value); });
  return static_cast<float>(sum / static_cast<double>(values.size()));
}

}  // namespace

void Network::require_loss() const {
  if (description_.labels.empty())
    throw Error(ErrorKind::usage, fmt::format("{}: it has no `loss`", description_.name));
}

float Network::mean_loss() const {
  return mean(losses());
}

void Network::reserve_prepared(const MemoryPlan& plan) {
  const std::int64_t bytes = frozen_ ? plan.prepared : plan.prepared_once;
  Prepared& prepared = prepared_for_pass();
  if (bytes <= prepared.bytes) return;
  prepared = {};
  prepared.memory = allocate(bytes, "prepared parameters", Reached::by_kernels);
  prepared.bytes = bytes;
}

/// Choice: what is read once lies where the one before it lay, which is in the caches. Alternative: all of it side by
/// side, as a frozen network has it, for which the system clears 45 MB: from ResNet-18's start to its first result it
/// took 23.1 ms in place of 20.5 (2026-11).
void Network::prepare(const Kernel& kernel, const float* parameter, std::int64_t place) {
  const Prepared& prepared = prepared_for_pass();
  prepared_now_ = reinterpret_cast<std::byte*>(prepared.memory.get()) + (frozen_ ? place : 0);
  if (!prepared.current) kernel(launch_, parameter, prepared_now_);
}

/// With labels also the losses.
void Network::evaluate(std::span<const AnyView> inputs, const std::vector<TensorSpec>& label_specs,
                       std::span<const AnyView> labels) {
  bind(inputs, label_specs, labels);
  reserve(few() ? description_.few : description_.evaluation);
  copy_to_gpu({});
  reserve_prepared(*plan_);
  if (!frozen_) prepared_for_pass().current = false;
  const bool with_loss = !labels.empty();
  run_pass(&GpuSession::evaluation, {std::uintptr_t{with_loss}}, [&] {
    few() ? infer_few() : infer();
    if (with_loss) few() ? infer_few_loss() : infer_loss();
  });
  prepared_for_pass().current = frozen_;
  last_pass_ = Pass::evaluation;
}

View<const float> Network::forward(std::span<const AnyView> inputs) {
  evaluate(inputs, {}, {});
  return output(0);
}

float Network::evaluate_loss(std::span<const AnyView> inputs, std::span<const AnyView> labels) {
  require_loss();
  evaluate(inputs, description_.labels, labels);
  return mean_loss();
}

float Network::backward(std::span<const AnyView> inputs, std::span<const AnyView> labels) {
  compute_gradients(inputs, labels, nullptr);
  return mean_loss();
}

namespace {

/// What an update's launches are told.
GpuSession::Pass::Key key_of(std::span<const cuda::StepCall> update) {
  GpuSession::Pass::Key key;
  for (const cuda::StepCall& call : update) {
    key.push_back(reinterpret_cast<std::uintptr_t>(call.kernel));
    for (const std::span<const float> array : call.arrays)
      key.push_back(reinterpret_cast<std::uintptr_t>(array.data()));
  }
  return key;
}

}  // namespace

/// `optimizer` is what updates the parameters by them: its state is made before anything is computed. Returns whether
/// it has: a GPU's kernels of both are launched as one.
bool Network::compute_gradients(std::span<const AnyView> inputs, std::span<const AnyView> labels,
                                Optimizer* optimizer) {
  require_loss();
  bind(inputs, description_.labels, labels);
  launch_.step = steps_;
  reserve(description_.training, optimizer);
  allocate_gradients();
  std::vector<cuda::StepCall> update;
  if (optimizer != nullptr) {
    optimizer->prepare(parameter_floats(), device_);
    if (gpu_) update = optimizer->next_calls(parameters_flat(), gradients_flat());
  }
  copy_to_gpu(update);
  run_pass(&GpuSession::training, key_of(update), [&] {
    forward_pass();
    backward_pass();
    launch_on_gpu(update);
  });
  ++steps_;
  input_gradients_ready_ = false;
  last_pass_ = Pass::training;
  return !update.empty();
}

float Network::train_step(std::span<const AnyView> inputs, std::span<const AnyView> labels, Optimizer& optimizer) {
  update(inputs, labels, optimizer);
  return mean_loss();
}

void Network::update(std::span<const AnyView> inputs, std::span<const AnyView> labels, Optimizer& optimizer) {
  const bool updated = compute_gradients(inputs, labels, &optimizer);
  parameters_changed();
  if (updated) {
    optimizer.count_step();
  } else {
    optimizer.step(parameters_flat(), gradients_flat(), device_);
  }
  last_pass_ = Pass::optimizer;
}

void Network::start_step(std::span<const AnyView> inputs, std::span<const AnyView> labels, Optimizer& optimizer) {
  require_room();
  update(inputs, labels, optimizer);
  leave_results();
}

void Network::start_evaluation(std::span<const AnyView> inputs, std::span<const AnyView> labels) {
  require_room();
  require_loss();
  evaluate(inputs, description_.labels, labels);
  leave_results();
}

void Network::require_room() const {
  if (steps_under_way() < steps_at_once()) return;
  throw Error(ErrorKind::usage, fmt::format("{}: finish a step before another is started", description_.name));
}

/// Copies what `finish_step` returns, or has a GPU do it.
void Network::leave_results() {
  under_way_.push_back(launch_.batch);
  if (!gpu_) {
    const View<const float> each = losses();
    const View<const float> first = output(0);
    left_.assign(each.data(), each.data() + count(each.shape()));
    left_.insert(left_.end(), first.data(), first.data() + count(first.shape()));
    return;
  }
  const auto part = [&](const Result& result, std::int64_t floats) {
    return GpuSession::Part{result.data(), floats * static_cast<std::int64_t>(sizeof(float))};
  };
  const std::int64_t outputs = count(shape_for(description_.outputs[0], launch_.batch));
  const GpuSession::Part parts[] = {part(losses_, launch_.batch), part(outputs_[0], outputs)};
  gpu_->start_download(parts);
}

Network::StepResults Network::finish_step() {
  if (under_way_.empty()) throw Error(ErrorKind::usage, fmt::format("{}: no step is under way", description_.name));
  const std::int64_t batch = under_way_.front();
  under_way_.pop_front();
  const auto* losses = gpu_ ? reinterpret_cast<const float*>(gpu_->finish_download()) : left_.data();
  return {mean({losses, {batch}}), {losses + batch, shape_for(description_.outputs[0], batch)}};
}

View<const float> Network::input_gradient(int i) {
  if (i < 0 || index(i) >= description_.inputs.size() || description_.inputs[index(i)].type != DType::f32) {
    throw Error(ErrorKind::usage, fmt::format("{}: no input {} of floats", description_.name, i));
  }
  if (last_pass_ != Pass::training) {
    throw Error(ErrorKind::usage,
                fmt::format("{}: gradients of inputs are to be had right after `backward` only", description_.name));
  }
  if (!input_gradients_ready_) run_pass(nullptr, {}, [&] { input_backward_pass(); });
  input_gradients_ready_ = true;
  const Extents shape = shape_for(description_.inputs[index(i)], launch_.batch);
  const Result& gradient = input_gradients_[index(i)];
  return {gradient.exists() ? gradient.read(count(shape), gpu_.get()) : gradient.zeros(count(shape)), shape};
}

View<const float> Network::output(int i) const {
  if (i < 0 || index(i) >= outputs_.size() || !outputs_[index(i)].exists()) {
    throw Error(ErrorKind::usage, fmt::format("{}: no output {} yet", description_.name, i));
  }
  const Extents shape = shape_for(description_.outputs[index(i)], launch_.batch);
  return {outputs_[index(i)].read(count(shape), gpu_.get()), shape};
}

View<const float> Network::losses() const {
  if (!losses_.exists()) throw Error(ErrorKind::usage, fmt::format("{}: no loss yet", description_.name));
  return {losses_.read(launch_.batch, gpu_.get()), {launch_.batch}};
}

const float* Network::Result::zeros(std::int64_t count) const {
  copy_.assign(static_cast<std::size_t>(count), 0);
  return copy_.data();
}

const float* Network::Result::read(std::int64_t count, GpuSession* gpu) const {
  if (gpu == nullptr) return data_;
  if (!copied_) {
    copy_.resize(static_cast<std::size_t>(count));
    gpu->download(copy_.data(), data_, count * static_cast<std::int64_t>(sizeof(float)));
    copied_ = true;
  }
  return copy_.data();
}

}  // namespace netc

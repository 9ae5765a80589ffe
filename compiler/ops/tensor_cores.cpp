#include "compiler/ops/tensor_cores.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/kernels/gpu_products.h"
#include "compiler/kernels/gpu_schedules.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Var;

namespace {

/// Fewer channels fill too little of what tensor cores multiply at once.
constexpr int least_summed = 16;
constexpr int least_computed = 8;

const Var part_variable("s");

ImageInMemory in_memory(const KernelBuilder& kernel, ValueId value) {
  const Shape& shape = kernel.shape(value);
  const Layout& layout = kernel.layout(value);
  ImageInMemory image{extent(shape[1]), 1, 1, layout.block_stride, 0, 0, layout.strides[0], false};
  if (shape.rank() == 4) {
    image.height = extent(shape[2]);
    image.width = extent(shape[3]);
    image.row_stride = layout.strides[1];
    image.column_stride = layout.strides[2];
  }
  // A part of a larger value begins where the part before it ends.
  image.anywhere = layout.block_stride != shape.elements();
  return image;
}

/// As Halide keeps it between two stages: densely, channels innermost.
ImageInMemory dense(const ImageInMemory& image) {
  ImageInMemory result = image;
  result.channel_stride = 1;
  result.column_stride = image.channels;
  result.row_stride = result.column_stride * image.width;
  result.image_stride = result.row_stride * image.height;
  result.anywhere = false;
  return result;
}

/// `more` members beside its own.
std::string text(const char* name, const ImageInMemory& image, const std::string& more = "") {
  return fmt::format(R"(  struct {} {{
    static constexpr int channels = {}, height = {}, width = {};
    static constexpr int image_stride = {}, row_stride = {}, column_stride = {}, channel_stride = {};
    static constexpr bool anywhere = {};
{}  }};
)",
                     name, image.channels, image.height, image.width, image.image_stride, image.row_stride,
                     image.column_stride, image.channel_stride, image.anywhere, more);
}

std::string text(const Window& window, char axis) {
  return fmt::format("kernel_{0} = {1}, stride_{0} = {2}, pad_{0} = {3}, dilation_{0} = {4}", axis, window.kernel,
                     window.stride, window.pad, window.dilation);
}

/// An operand: where it lies, or where it is to lie when the group computes it.
ImageInMemory operand_of(const KernelBuilder& kernel, ValueId value) {
  const ImageInMemory image = in_memory(kernel, value);
  return kernel.computes(value) ? dense(image) : image;
}

std::string operand_stage(std::size_t number) {
  return fmt::format("operand{}", number);
}

/// Channels innermost, whole, in every image.
void keep_dense(KernelBuilder& kernel, Func func, const ImageInMemory& image, bool linear) {
  func.compute_root().bound(kernel.axis(1), 0, image.channels).bound(kernel.lane(), 0, 1);
  func.bound(kernel.block(), 0, kernel.blocks());
  std::vector<Var> storage{kernel.axis(1)};
  if (!linear) {
    func.bound(kernel.axis(3), 0, image.width).bound(kernel.axis(2), 0, image.height);
    storage.insert(storage.end(), {kernel.axis(3), kernel.axis(2)});
  }
  storage.insert(storage.end(), {kernel.lane(), kernel.block()});
  func.reorder_storage(storage);
}

std::string text(const TensorCoreTile& tile) {
  return fmt::format(
      "rows = {}, columns = {}, warps_along_rows = {}, warps_along_columns = {}, threads = {}, stages = {}", tile.rows,
      tile.columns, tile.warps_along_rows, tile.warps_along_columns, tile.threads(), tile.stages);
}

bool spread(const Window& window) {
  return window.stride > 1 && window.dilation > 1;
}

}  // namespace

std::optional<TensorProduct> TensorProduct::of(const KernelBuilder& kernel, const Node& node) {
  if (kernel.machine().products == Precision::f32 || kernel.few() || kernel.lanes() > 1) return std::nullopt;
  const bool convolves = node.op == &conv || node.op == &conv_backward_data || node.op == &conv_backward_weights;
  const bool is_linear = node.op == &linear || node.op == &linear_backward_data || node.op == &linear_backward_weights;
  if (!convolves && !is_linear) return std::nullopt;
  if (convolves && node.attributes.integer("groups") > 1) return std::nullopt;
  const Kind kind = node.op == &conv || node.op == &linear                               ? Kind::forward
                    : node.op == &conv_backward_data || node.op == &linear_backward_data ? Kind::backward
                                                                                         : Kind::weights;
  const TensorProduct product(kernel, node, kind, convolves ? windows(node.attributes) : Windows{});
  if (!product.suits(kernel)) return std::nullopt;
  return product;
}

TensorProduct::TensorProduct(const KernelBuilder& kernel, const Node& node, Kind kind, const Windows& windows)
    : node_(node),
      kind_(kind),
      windows_(windows),
      linear_(kernel.shape(node.inputs[0]).rank() == 2),
      read_(operand_of(kernel, node.inputs[kind == Kind::weights ? 1 : 0])),
      computed_(kind == Kind::weights ? operand_of(kernel, node.inputs[0]) : in_memory(kernel, node.outputs[0])),
      starts_(kind == Kind::forward && node.inputs.size() > 2) {
  if (kind != Kind::weights && kernel.output() != node.outputs[0]) computed_ = dense(computed_);
  choose_tile();
}

bool TensorProduct::suits(const KernelBuilder& kernel) const {
  const auto one_lane = [&](ValueId value) {
    return !kernel.shape(value).has_batch() || kernel.layout(value).lanes == 1;
  };
  const bool lanes = std::all_of(node_.inputs.begin(), node_.inputs.end(), one_lane);
  const bool dense_channels = read_.channel_stride == 1 && (kind_ != Kind::weights || computed_.channel_stride == 1);
  const bool channels =
      read_.channels >= least_summed && read_.channels % 4 == 0 && computed_.channels >= least_computed;
  const bool spreads = kind_ == Kind::backward && (spread(windows_.y) || spread(windows_.x));
  return lanes && dense_channels && channels && !spreads;
}

/// Choice: blocks of 128 by 128 where there are as many channels, each warp 64 by 64, as many sums as registers hold:
/// larger tiles read less from the cache, and of shared memory (6 instructions for each one that multiplies; 9 with
/// warps of 64 by 32, 13 with 32 by 32). By arithmetic: nothing of this was measured on a GPU. Examples of linear
/// layers are fewer than pixels (2026-11).
void TensorProduct::choose_tile() {
  const bool weights = kind_ == Kind::weights;
  const bool wide = computed_.channels > 64 && (!weights || read_.channels > 64) && !linear_;
  if (wide) {
    tile_ = {128, 128, 2, 2, 3};
  } else if (weights || linear_) {
    tile_ = {64, computed_.channels > 32 ? 64 : 32, 2, 2, 4};
  } else if (computed_.channels > 32) {
    tile_ = {128, 64, 2, 2, 3};
  } else {
    tile_ = {128, 32, 4, 1, 4};
  }
  if (weights && !linear_) parts_ = parts_to_fill_gpu(std::int64_t{row_blocks()} * column_blocks());
}

/// Of weights, for all taps.
int TensorProduct::row_blocks() const {
  return ceil_div(read_.channels, tile_.rows) * extent(windows_.y.kernel * windows_.x.kernel);
}

int TensorProduct::column_blocks() const {
  return ceil_div(computed_.channels, tile_.columns);
}

Expr TensorProduct::blocks_x(const Expr& batch) const {
  if (kind_ == Kind::weights) return row_blocks() * column_blocks();
  const bool phases = kind_ == Kind::backward;
  const auto positions = [&](int pixels, const Window& window) {
    return ceil_div(pixels, phases ? extent(window.stride) : 1);
  };
  const Expr rows = batch * (positions(computed_.height, windows_.y) * positions(computed_.width, windows_.x));
  return ceil_div(rows, tile_.rows) * column_blocks();
}

int TensorProduct::blocks_y() const {
  if (kind_ == Kind::weights) return parts_;
  return kind_ == Kind::backward ? extent(windows_.y.stride * windows_.x.stride) : 1;
}

// ---- Text -----------------------------------------------------------------------------------------------------------

std::string TensorProduct::specialised(const std::string& name) const {
  const bool weights = kind_ == Kind::weights;
  const int blocks = tile_.rows * tile_.columns > 128 * 64 ? 2 : 3;  // that share a processor's registers
  return fmt::format(R"(
struct Shape_{0} {{
  static constexpr int {1};
  static constexpr int {2};
  static constexpr int {3};
{4}}};

extern "C" __global__ void __launch_bounds__({5}, {6})
{0}(const float* a, const float* b, {7}float* result, int batch) {{
  {8}<Shape_{0}>(a, b, {9}result, batch);
}}
)",
                     name, text(tile_), text(windows_.y, 'y'), text(windows_.x, 'x'),
                     weights ? weights_text() : pixels_text(), tile_.threads(), blocks,
                     starts_ ? "const float* start, " : "", weights ? "compute_weights" : "compute_pixels",
                     weights   ? ""
                     : starts_ ? "start, "
                               : "nullptr, ");
}

std::string TensorProduct::pixels_text() const {
  const bool backward = kind_ == Kind::backward;
  return fmt::format("  static constexpr bool backward = {}, starts = {};\n", backward, starts_) + text("Read", read_) +
         text("Computed", computed_) +
         fmt::format("  using Filter = {};\n", backward ? "TermsTogether" : "LinesTogether<columns>");
}

std::string TensorProduct::weights_text() const {
  const auto steps = [](std::int64_t y, std::int64_t x) {
    return fmt::format("    static constexpr int step_y = {}, step_x = {};\n", y, x);
  };
  return fmt::format("  static constexpr int parts = {};\n", parts_) +
         text("Inputs", read_, steps(windows_.y.stride, windows_.x.stride)) + text("Outputs", computed_, steps(1, 1));
}

// ---- Stages of the pipeline -----------------------------------------------------------------------------------------

/// Tells the operator and the shapes apart in logs and checks.
std::string TensorProduct::name(const KernelBuilder& kernel) const {
  return fmt::format("{}_{}_{}x{}x{}_{}x{}x{}_{}x{}", node_.op->name, name_of(kernel.machine().products),
                     read_.channels, read_.height, read_.width, computed_.channels, computed_.height, computed_.width,
                     windows_.y.kernel, windows_.x.kernel);
}

void TensorProduct::define(KernelBuilder& kernel) const {
  if (parts_ > 1) return define_in_parts(kernel);
  define_whole(kernel);
}

/// Memory, or a stage that computes what pointwise nodes make of it.
Halide::ExternFuncArgument TensorProduct::operand(KernelBuilder& kernel, std::size_t number) const {
  const ValueId value = node_.inputs[number];
  if (!kernel.computes(value)) return kernel.memory(value);
  const Shape& shape = kernel.shape(value);
  Func computed(kernel.name("operand"));
  computed(kernel.variables(shape)) = kernel.read(value, kernel.point(shape));
  kernel.stage(operand_stage(number), computed);
  return computed;
}

/// `result` is what the kernel writes.
void TensorProduct::call(KernelBuilder& kernel, Func result, const std::vector<Var>& arguments) const {
  const std::string kernel_name = name(kernel);
  const Machine& machine = kernel.machine();
  const std::string source = tensor_core_prelude(machine.products) + specialised(kernel_name);
  const std::string image = machine.cuda_image ? machine.cuda_image(source) : "";
  std::vector<Halide::ExternFuncArgument> call{Expr(Halide::Internal::StringImm::make(image)),
                                               Expr(static_cast<int>(image.size())),
                                               Expr(Halide::Internal::StringImm::make(kernel_name)),
                                               blocks_x(kernel.batch()),
                                               Expr(blocks_y()),
                                               Expr(threads()),
                                               kernel.batch()};
  for (std::size_t i = 0; i < 2; ++i) call.push_back(operand(kernel, i));
  if (starts_) call.emplace_back(kernel.memory(node_.inputs[2]));
  result.define_extern(starts_ ? "netc_cuda_product_with_start" : "netc_cuda_product", call, {Halide::Float(32)},
                       arguments, Halide::NameMangling::C, Halide::DeviceAPI::CUDA);
  kernel.stage("product", result);
}

void TensorProduct::define_whole(KernelBuilder& kernel) const {
  Func product(kernel.name("product"));
  call(kernel, product, kernel.variables(kernel.shape(node_.outputs[0])));
  kernel.define(node_.outputs[0], product);
}

/// Parts are added up in their order.
void TensorProduct::define_in_parts(KernelBuilder& kernel) const {
  const Var o = kernel.axis(0), i = kernel.axis(1), ky = kernel.axis(2), kx = kernel.axis(3);
  Func parts(kernel.name("parts"));
  call(kernel, parts, {o, i, kx, ky, part_variable});
  const RDom all(0, parts_, kernel.name("all"));
  Func weight(kernel.name("weight"));
  weight(kx, ky, i, o) = kernel.constant(0);
  weight(kx, ky, i, o) += parts(o, i, kx, ky, all);
  kernel.define(node_.outputs[0], weight);
}

/// Where it is no output, it lies in memory as the kernel writes it: densely. So do computed operands, each element
/// by a thread.
void TensorProduct::schedule(KernelBuilder& kernel) const {
  for (std::size_t i = 0; i < 2; ++i) {
    if (!kernel.has_stage(operand_stage(i))) continue;
    Func computed = kernel.stage(operand_stage(i));
    keep_dense(kernel, computed, kind_ == Kind::weights && i == 0 ? computed_ : read_, linear_);
    std::vector<Var> order = computed.args();
    std::stable_partition(order.begin(), order.end(), [&](const Var& v) { return v.same_as(kernel.axis(1)); });
    map_to_threads(computed, order, {});
  }
  Func product = kernel.stage("product");
  product.compute_root();
  if (kind_ == Kind::weights) {
    if (parts_ == 1) return;
    product.bound(kernel.axis(0), 0, computed_.channels).bound(kernel.axis(1), 0, read_.channels);
    product.bound(kernel.axis(3), 0, extent(windows_.x.kernel)).bound(kernel.axis(2), 0, extent(windows_.y.kernel));
    product.bound(part_variable, 0, parts_);
  } else if (kernel.output() != node_.outputs[0]) {
    keep_dense(kernel, product, computed_, linear_);
  }
}

}  // namespace netc::ops

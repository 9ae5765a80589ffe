// maxpool: the largest pixel of each window, and its gradient.
#include "compiler/graph/graph_builder.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/pool.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Tuple;
using Halide::Var;

namespace {

/// The forward node also keeps where in its window each maximum lies.
std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  const auto [height, width] = node.attributes.pair("kernel");
  const DType type = height * width <= 255 ? DType::u8 : DType::i32;
  const Shape pooled = builder.value(node.outputs[0]).shape;
  const Shape image = builder.value(node.inputs[0]).shape;
  const ValueId tap = builder.save(index, "index", type, pooled);
  return {builder.add(maxpool_backward, node.attributes, {gradients[0], tap}, image)};
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

/// The maximum alone.
void largest(KernelBuilder& kernel, const Node& node, const Expr& pixel) {
  const std::vector<Var> at = kernel.variables(kernel.shape(node.outputs[0]));
  Func best(kernel.name("best"));
  best(at) = kernel.real().min();
  best(at) = max(best(at), pixel);
  kernel.stage("window", best);
  kernel.define(node.outputs[0], best);
}

/// The maximum and the number of its tap; of equal pixels the first.
void largest_with_tap(KernelBuilder& kernel, const Node& node, const Expr& pixel, const Expr& tap) {
  const std::vector<Var> at = kernel.variables(kernel.shape(node.outputs[0]));
  const Halide::Type type = kernel.graph()[node.outputs[1]].type == DType::u8 ? Halide::UInt(8) : Halide::Int(32);
  Func best(kernel.name("best"));
  best(at) = Tuple(kernel.real().min(), cast(type, 0));
  const Expr better = pixel > best(at)[0];
  best(at) = Tuple(select(better, pixel, best(at)[0]), select(better, cast(type, tap), best(at)[1]));
  kernel.stage("window", best);
  for (std::size_t i = 0; i < 2; ++i) {
    Func output(kernel.name("output"));
    output(at) = best(at)[static_cast<int>(i)];
    kernel.define(node.outputs[i], output);
  }
}

/// y[n, c, y, x] = max over ky, kx of x[n, c, y * stride + ky - pad, …], where pixels outside are -infinity
void forward(KernelBuilder& kernel, const Node& node) {
  const Windows w = windows(node.attributes);
  const Point at = kernel.point(kernel.shape(node.outputs[0]));
  const int width = static_cast<int>(w.x.kernel);
  const RDom r(0, width, 0, static_cast<int>(w.y.kernel), kernel.name("r"));
  const Expr y = at.axes[1] * static_cast<int>(w.y.stride) + r.y - static_cast<int>(w.y.pad);
  const Expr x = at.axes[2] * static_cast<int>(w.x.stride) + r.x - static_cast<int>(w.x.pad);
  const Expr pixel = padded_read(kernel, node.inputs[0], at, y, x, kernel.real().min());
  if (node.outputs.size() == 1) {
    largest(kernel, node, pixel);
  } else {
    largest_with_tap(kernel, node, pixel, r.y * width + r.x);
  }
}

/// dy of the window that comes `back_y` rows and `back_x` columns before the last that covers the pixel `at`, where
/// this pixel is its maximum.
Expr from_window(KernelBuilder& kernel, const Node& node, const Point& at, const Expr& back_y, const Expr& back_x) {
  const Windows w = windows(node.attributes);
  const Shape& pooled = kernel.shape(node.inputs[0]);
  const Covering y = covering(at.axes[1], back_y, w.y, pooled[2]);
  const Covering x = covering(at.axes[2], back_x, w.x, pooled[3]);
  const Point window = at.with({at.axes[0], clamp(y.window, 0, static_cast<int>(pooled[2]) - 1),
                                clamp(x.window, 0, static_cast<int>(pooled[3]) - 1)});
  const Expr tap = y.tap * static_cast<int>(w.x.kernel) + x.tap;
  const Expr chosen = y.exists && x.exists && cast<int>(kernel.read(node.inputs[1], window)) == tap;
  return select(chosen, kernel.read(node.inputs[0], window), kernel.constant(0));
}

/// dx[n, c, y, x] = sum of dy over the windows whose maximum is this pixel
void backward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const RDom r = covering_windows(kernel, windows(node.attributes));
  const Expr term = from_window(kernel, node, kernel.point(shape), r.y, r.x);
  kernel.define(node.outputs[0], window_sum(kernel, shape, term));
}

Expr backward_at(KernelBuilder& kernel, const Node& node, const Point& at) {
  return covering_sum(node, [&](const Expr& y, const Expr& x) { return from_window(kernel, node, at, y, x); });
}

// ---- The operator --------------------------------------------------------------------------------------------------

std::vector<AttributeSpec> attributes() {
  std::vector<AttributeSpec> specs = pool_attributes("pixels around the image that never are the maximum");
  specs.push_back({"ceil_mode", AttributeType::boolean, false, "", 0, 1, "lets the last windows reach over the edge"});
  return specs;
}

/// Those of all pools, and windows over the edge: of strides that leave such windows, and of one that drops a window
/// which would read nothing.
std::vector<Sample> samples() {
  std::vector<Sample> all = pool_samples();
  for (Sample& sample : all) sample.attributes.set("ceil_mode", false);
  const auto add = [&](const std::string& name, const Shape& input, IntPair kernel, IntPair stride, IntPair pad) {
    const Attributes ceil{{"kernel", kernel}, {"stride", stride}, {"pad", pad}, {"ceil_mode", true}};
    all.push_back({name, {input}, ceil});
  };
  add("over_the_edge", {Shape::batch, 3, 8, 6}, {3, 3}, {2, 2}, {0, 0});
  add("over_the_padding", {Shape::batch, 17, 7, 10}, {3, 2}, {2, 3}, {1, 1});
  add("larger_than_the_image", {Shape::batch, 2, 2, 5}, {3, 2}, {2, 4}, {0, 1});
  return all;
}

}  // namespace

const Operator maxpool{
    .name = "maxpool",
    .doc =
        "y[n, c, y, x] = max over ky, kx of x[n, c, y * stride + ky - pad, x * stride + kx - pad], where pixels "
        "outside do not count. The gradient goes to the first of equal pixels in row-major order.",
    .attributes = attributes(),
    .infer = [](const auto& inputs, const Attributes& attributes) { return infer_pool("maxpool", inputs, attributes); },
    .gradient = gradient,
    .algorithm = forward,
    .schedule = schedule_pool,
    .reads_once = overlap_little,
    .pools_images = true,
    .samples = samples(),
};

const Operator maxpool_backward{
    .name = "maxpool_backward",
    .doc = "The gradient of maxpool: every pixel gathers from the windows whose maximum it is.",
    .in_language = false,
    .inputs = 2,
    .value_at = backward_at,
    .algorithm = backward,
    .schedule = schedule_pool,
    .may_move = gradient_may_move,
};

}  // namespace netc::ops

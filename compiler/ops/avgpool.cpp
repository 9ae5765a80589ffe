// avgpool and globalavgpool: the mean of each window, and its gradient.
#include "compiler/graph/graph_builder.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/pool.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;

namespace {

/// One window as large as the image.
Windows whole(const Shape& image) {
  return {{image[2], image[2]}, {image[3], image[3]}};
}

Inference infer_global(const std::vector<Shape>& inputs, const Attributes&) {
  if (const auto error = not_an_image("globalavgpool", inputs[0])) return {.error = error};
  return {.outputs = {{inputs[0][0], inputs[0][1], 1, 1}}};
}

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  const Shape image = builder.value(node.inputs[0]).shape;
  return {builder.add(avgpool_backward, node.attributes, {gradients[0]}, image)};
}

std::vector<ValueId> global_gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const ValueId x = builder.graph().nodes[static_cast<std::size_t>(index)].inputs[0];
  const Shape image = builder.value(x).shape;
  const IntPair window{image[2], image[3]};
  const Attributes attributes{{"kernel", window}, {"stride", window}, {"pad", IntPair{0, 0}}};
  return {builder.add(avgpool_backward, attributes, {gradients[0]}, image)};
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

/// Defines the output as `sum` over the area of a window; padding counts.
void define_mean(KernelBuilder& kernel, const Node& node, const Windows& w, const Func& sum) {
  const std::vector<Halide::Var> at = kernel.variables(kernel.shape(node.outputs[0]));
  Func mean(kernel.name("mean"));
  mean(at) = sum(at) / kernel.constant(static_cast<double>(w.y.kernel * w.x.kernel));
  kernel.define(node.outputs[0], mean);
}

/// y[n, c, y, x] = mean over ky, kx of x[n, c, y * stride + ky - pad, …], where pixels outside are 0
void forward(KernelBuilder& kernel, const Node& node, const Windows& w) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Point at = kernel.point(shape);
  const RDom r(0, static_cast<int>(w.x.kernel), 0, static_cast<int>(w.y.kernel), kernel.name("r"));
  const Expr y = at.axes[1] * static_cast<int>(w.y.stride) + r.y - static_cast<int>(w.y.pad);
  const Expr x = at.axes[2] * static_cast<int>(w.x.stride) + r.x - static_cast<int>(w.x.pad);
  const Expr pixel = padded_read(kernel, node.inputs[0], at, y, x, kernel.constant(0));
  define_mean(kernel, node, w, window_sum(kernel, shape, pixel));
}

/// dy of the window that comes `back_y` rows and `back_x` columns before the last that covers the pixel `at`.
Expr from_window(KernelBuilder& kernel, const Node& node, const Point& at, const Expr& back_y, const Expr& back_x) {
  const Windows w = windows(node.attributes);
  const Shape& pooled = kernel.shape(node.inputs[0]);
  const Covering y = covering(at.axes[1], back_y, w.y, pooled[2]);
  const Covering x = covering(at.axes[2], back_x, w.x, pooled[3]);
  const Expr gradient = padded_read(kernel, node.inputs[0], at, y.window, x.window, kernel.constant(0));
  return select(y.exists && x.exists, gradient, kernel.constant(0));
}

/// dx[n, c, y, x] = sum over the windows that cover the pixel of dy, divided by their area
void backward(KernelBuilder& kernel, const Node& node) {
  const Windows w = windows(node.attributes);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const RDom r = covering_windows(kernel, w);
  define_mean(kernel, node, w, window_sum(kernel, shape, from_window(kernel, node, kernel.point(shape), r.y, r.x)));
}

Expr backward_at(KernelBuilder& kernel, const Node& node, const Point& at) {
  const Windows w = windows(node.attributes);
  const auto term = [&](const Expr& y, const Expr& x) { return from_window(kernel, node, at, y, x); };
  return covering_sum(node, term) / kernel.constant(static_cast<double>(w.y.kernel * w.x.kernel));
}

}  // namespace

const Operator avgpool{
    .name = "avgpool",
    .doc =
        "y[n, c, y, x] = mean over ky, kx of x[n, c, y * stride + ky - pad, x * stride + kx - pad], where pixels "
        "outside count as 0.",
    .attributes = pool_attributes("zeros around the image; they count in the mean"),
    .infer = [](const auto& inputs, const Attributes& attributes) { return infer_pool("avgpool", inputs, attributes); },
    .gradient = gradient,
    .algorithm = [](KernelBuilder& kernel, const Node& node) { forward(kernel, node, windows(node.attributes)); },
    .schedule = schedule_pool,
    .reads_once = overlap_little,
    .samples = pool_samples(),
};

const Operator avgpool_backward{
    .name = "avgpool_backward",
    .doc = "The gradient of avgpool: every pixel gathers its share from the windows that cover it.",
    .in_language = false,
    .value_at = backward_at,
    .algorithm = backward,
    .schedule = schedule_pool,
    .may_move = gradient_may_move,
};

const Operator globalavgpool{
    .name = "globalavgpool",
    .doc = "y[n, c, 0, 0] = mean over y, x of x[n, c, y, x].",
    .infer = infer_global,
    .gradient = global_gradient,
    .algorithm = [](KernelBuilder& kernel,
                    const Node& node) { forward(kernel, node, whole(kernel.shape(node.inputs[0]))); },
    .schedule = schedule_pool,
    .samples = {{"images", {{Shape::batch, 3, 5, 7}}, {}}, {"wide", {{Shape::batch, 37, 2, 3}}, {}}},
};

}  // namespace netc::ops

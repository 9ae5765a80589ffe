// adaptiveavgpool: means over as many windows as the output has pixels, whatever the size of the image.
#include "compiler/graph/graph_builder.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/pool.h"

#include <algorithm>

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;

namespace {

/// Along one axis: window i of `outputs` covers pixels floor(i * pixels / outputs) up to, without,
/// ceil((i + 1) * pixels / outputs). The windows that cover a pixel follow by the same rule with the roles exchanged.
struct Bins {
  int outputs;
  int pixels;

  template <class T>
  T begin(const T& i) const {
    return i * pixels / outputs;
  }
  template <class T>
  T end(const T& i) const {
    return ((i + 1) * pixels + (outputs - 1)) / outputs;
  }
  Bins exchanged() const { return {pixels, outputs}; }

  /// The most that any window covers.
  int widest() const {
    std::int64_t most = 0;
    for (std::int64_t i = 0; i < outputs; ++i) most = std::max(most, end(i) - begin(i));
    return static_cast<int>(most);
  }
};

struct Grid {
  Bins y;
  Bins x;
};

Grid grid(const Shape& image, const Shape& pooled) {
  const auto bins = [&](int axis) { return Bins{static_cast<int>(pooled[axis]), static_cast<int>(image[axis])}; };
  return {bins(2), bins(3)};
}

/// Pixels in window (y, x), in the type of the sums.
Expr area(KernelBuilder& kernel, const Grid& grid, const Expr& y, const Expr& x) {
  return cast(kernel.real(), (grid.y.end(y) - grid.y.begin(y)) * (grid.x.end(x) - grid.x.begin(x)));
}

Inference infer(const std::vector<Shape>& inputs, const Attributes& attributes) {
  if (const auto error = not_an_image("adaptiveavgpool", inputs[0])) return {.error = error};
  const auto [height, width] = attributes.pair("size");
  return {.outputs = {{inputs[0][0], inputs[0][1], height, width}}};
}

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const ValueId x = builder.graph().nodes[static_cast<std::size_t>(index)].inputs[0];
  const Shape image = builder.value(x).shape;
  return {builder.add(adaptiveavgpool_backward, {}, {gradients[0]}, image)};
}

Sample sample(const std::string& name, const Shape& input, IntPair size) {
  return {name, {input}, {{"size", size}}};
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

void forward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Point at = kernel.point(shape);
  const Grid bins = grid(kernel.shape(node.inputs[0]), shape);
  const RDom r(0, bins.x.widest(), 0, bins.y.widest(), kernel.name("r"));
  const Expr y = bins.y.begin(at.axes[1]) + r.y;
  const Expr x = bins.x.begin(at.axes[2]) + r.x;
  const Expr inside = y < bins.y.end(at.axes[1]) && x < bins.x.end(at.axes[2]);
  const Expr pixel = padded_read(kernel, node.inputs[0], at, y, x, kernel.constant(0));
  const Func sum = window_sum(kernel, shape, select(inside, pixel, kernel.constant(0)));
  Func mean(kernel.name("mean"));
  mean(kernel.variables(shape)) = sum(kernel.variables(shape)) / area(kernel, bins, at.axes[1], at.axes[2]);
  kernel.define(node.outputs[0], mean);
}

void backward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Point at = kernel.point(shape);
  const Grid bins = grid(shape, kernel.shape(node.inputs[0]));
  const Grid covering{bins.y.exchanged(), bins.x.exchanged()};
  const RDom r(0, covering.x.widest(), 0, covering.y.widest(), kernel.name("r"));
  const Expr y = covering.y.begin(at.axes[1]) + r.y;
  const Expr x = covering.x.begin(at.axes[2]) + r.x;
  const Expr covers = y < covering.y.end(at.axes[1]) && x < covering.x.end(at.axes[2]);
  const Expr gradient = padded_read(kernel, node.inputs[0], at, y, x, kernel.constant(0));
  const Expr term = select(covers, gradient / area(kernel, bins, y, x), kernel.constant(0));
  kernel.define(node.outputs[0], window_sum(kernel, shape, term));
}

}  // namespace

const Operator adaptiveavgpool{
    .name = "adaptiveavgpool",
    .doc =
        "y[n, c, i, j] = mean of x[n, c] over rows floor(i * H / height) up to, without, ceil((i + 1) * H / height), "
        "and columns likewise.",
    .attributes = {{"size", AttributeType::pair, {}, "", 1, 2147483647, "height and width of the output"}},
    .infer = infer,
    .gradient = gradient,
    .algorithm = forward,
    .schedule = schedule_pool,
    .samples = {sample("even", {Shape::batch, 3, 6, 8}, {3, 2}), sample("uneven", {Shape::batch, 18, 7, 11}, {3, 4}),
                sample("larger", {Shape::batch, 2, 3, 5}, {7, 6}), sample("one", {Shape::batch, 5, 4, 3}, {1, 1})},
};

const Operator adaptiveavgpool_backward{
    .name = "adaptiveavgpool_backward",
    .doc = "The gradient of adaptiveavgpool: every pixel gathers its share from the windows that cover it.",
    .in_language = false,
    .algorithm = backward,
    .schedule = schedule_pool,
};

}  // namespace netc::ops

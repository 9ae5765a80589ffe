#include "compiler/ops/pool.h"

#include <fmt/format.h>

#include "compiler/kernels/schedules.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::RVar;
using Halide::Var;

std::vector<AttributeSpec> pool_attributes(const std::string& padding) {
  return {{"kernel", AttributeType::pair, {}, "", 1, 2147483647, "height and width of the window"},
          {"stride", AttributeType::pair, {}, "kernel", 1, 2147483647, "pixels from one window to the next"},
          {"pad", AttributeType::pair, std::int64_t{0}, "", 0, 2147483647, padding}};
}

Inference infer_pool(const std::string& op, const std::vector<Shape>& inputs, const Attributes& attributes) {
  const Shape& x = inputs[0];
  const Windows w = windows(attributes);
  if (const auto error = not_an_image(op, x)) return {.error = error};
  if (w.y.pad * 2 > w.y.kernel || w.x.pad * 2 > w.x.kernel) {
    const std::string found = fmt::format("{}: a padding of ({}, {}) exceeds half of the window of ({}, {})", op,
                                          w.y.pad, w.x.pad, w.y.kernel, w.x.kernel);
    return {.error = ShapeError{"N209", found, "input " + to_string(x), "pad by at most half of the kernel"}};
  }
  const WindowShape slid = slide(op, x, w);
  if (slid.error) return {.error = slid.error};
  return {.outputs = {{x[0], x[1], slid.height, slid.width}}, .warnings = slid.warnings};
}

bool overlap_little(const Node& node, std::size_t operand) {
  const Windows w = windows(node.attributes);
  return operand == 0 && w.y.kernel * w.x.kernel <= 3 * w.y.stride * w.x.stride;
}

std::vector<Sample> pool_samples() {
  const auto sample = [](const std::string& name, const Shape& input, IntPair kernel, IntPair stride, IntPair pad) {
    return Sample{name, {input}, {{"kernel", kernel}, {"stride", stride}, {"pad", pad}}};
  };
  return {sample("halves", {Shape::batch, 3, 8, 6}, {2, 2}, {2, 2}, {0, 0}),
          sample("overlapping", {Shape::batch, 17, 7, 9}, {3, 3}, {2, 2}, {1, 1}),
          sample("dense", {Shape::batch, 5, 6, 7}, {3, 3}, {1, 1}, {1, 1}),
          sample("gaps", {Shape::batch, 2, 9, 10}, {2, 1}, {3, 2}, {0, 0}),
          sample("oblong", {Shape::batch, 4, 11, 8}, {5, 2}, {2, 3}, {2, 1}),
          sample("large", {Shape::batch, 2, 18, 17}, {17, 16}, {1, 1}, {0, 0})};
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

Expr padded_read(KernelBuilder& kernel, ValueId value, const Point& at, const Expr& y, const Expr& x,
                 const Expr& outside) {
  const int height = static_cast<int>(kernel.shape(value)[2]);
  const int width = static_cast<int>(kernel.shape(value)[3]);
  const Expr inside = y >= 0 && y < height && x >= 0 && x < width;
  const Expr pixel = kernel.read(value, at.with({at.axes[0], clamp(y, 0, height - 1), clamp(x, 0, width - 1)}));
  return select(inside, pixel, outside);
}

Covering covering(const Expr& at, const Expr& back, const Window& window, std::int64_t outputs) {
  const int stride = static_cast<int>(window.stride);
  const Expr from = at + static_cast<int>(window.pad);
  const Expr index = from / stride - back;
  const Expr tap = from % stride + back * stride;
  return {index, tap, index >= 0 && index < static_cast<int>(outputs) && tap < static_cast<int>(window.kernel)};
}

namespace {

/// Windows that cover a pixel at most.
std::int64_t most_covering(const Window& window) {
  return ceil_div(window.kernel, window.stride);
}

}  // namespace

RDom covering_windows(KernelBuilder& kernel, const Windows& windows) {
  return {0, extent(most_covering(windows.x)), 0, extent(most_covering(windows.y)), kernel.name("r")};
}

Expr covering_sum(const Node& node, const std::function<Expr(const Expr& y, const Expr& x)>& term) {
  const Windows w = windows(node.attributes);
  Expr sum;
  for (int y = 0; y < most_covering(w.y); ++y) {
    // In this order, wherever it is computed: the same bits as in a kernel of its own.
    for (int x = 0; x < most_covering(w.x); ++x) sum = sum.defined() ? strict_float(sum + term(y, x)) : term(y, x);
  }
  return sum;
}

bool gradient_may_move(const Node& node, const Node& reader) {
  const Windows w = windows(node.attributes);
  const std::int64_t most = reader.op->copies_rows ? 1 : 4;
  return most_covering(w.y) * most_covering(w.x) <= most && w.y.stride * w.x.stride > 2;
}

Func window_sum(KernelBuilder& kernel, const Shape& shape, const Expr& term) {
  Func sum(kernel.name("sum"));
  sum(kernel.variables(shape)) = kernel.constant(0);
  sum(kernel.variables(shape)) += term;
  kernel.stage("window", sum);
  return sum;
}

// ---- Schedules -----------------------------------------------------------------------------------------------------

namespace {

/// Unrolls windows of up to 16 taps.
void unroll_taps(Func window) {
  std::int64_t taps = 1;
  for (const Halide::Internal::ReductionVariable& r : window.update().get_schedule().rvars()) {
    const auto extent = Halide::Internal::as_const_int(r.extent);
    taps *= extent ? *extent : 17;
  }
  if (taps > 16) return;
  for (const RVar& r : window.rvars(0)) window.update().unroll(r);
}

}  // namespace

void schedule_pool(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  Func window = kernel.stage("window");
  const std::vector<RVar> taps = window.rvars(0);
  const Var c = kernel.axis(1);
  const Var y = kernel.axis(2);
  const Var x = kernel.axis(3);
  const int rule = tile_extent(shape[3], 4);
  const int columns = kernel.pools() ? rule : kernel.choice("columns", rule, up_to(shape[3], 8));
  if (kernel.lanes() > 1) {
    const Tile tile{{kernel.lane(), kernel.lanes()}, {x, columns}};
    schedule_tiles(window, kernel.out(), tile, kernel.machine().vector, taps, {x, y, c, kernel.block()}, 1);
  } else {
    const int vector = vector_extent(kernel.machine(), shape[1]);
    const Tile tile{{c, vector}, {x, columns}};
    schedule_tiles(window, kernel.out(), tile, vector, taps, {kernel.lane(), c, x, y, kernel.block()}, 1);
  }
  unroll_taps(window);
}

}  // namespace netc::ops

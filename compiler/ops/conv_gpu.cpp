#include "compiler/ops/conv_gpu.h"

#include <algorithm>
#include <limits>

#include "compiler/kernels/gpu_schedules.h"
#include "compiler/kernels/schedules.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::RVar;
using Halide::Var;

namespace {

/// Sums of a thread: as many as registers hold beside what is read, 8 channels by 8 pixels.
constexpr int most_each = 8;
/// Blocks that it takes to give every processor of a large GPU something to do.
constexpr std::int64_t enough_blocks = 132;
/// Terms of a chunk from which on staging it and adding it up take next to no time.
constexpr int enough_terms = 72;

const Var column_position("xq"), column_phase("xp"), row_position("yq"), row_phase("yp");
const Var chunk_variable("p"), row_variable("j"), tap_x("kx"), tap_y("ky"), summed("i");

}  // namespace

// ---- Windows along an axis ------------------------------------------------------------------------------------------

Expr BlockConv::Axis::tap_of_window(const Expr& tap) const {
  if (phases() == 1) return tap;
  return (phase + extent(window.pad)) % phases() + tap * phases();
}

Expr BlockConv::Axis::source(const Expr& tap) const {
  if (!backward) return position * extent(window.stride) + tap * extent(window.dilation) - extent(window.pad);
  const Expr start = phases() == 1 ? Expr(extent(window.pad)) : (phase + extent(window.pad)) / phases();
  return position + start - tap * extent(window.dilation);
}

int BlockConv::Axis::span(int neighbours, int through) const {
  const int step = backward ? 1 : extent(window.stride);
  return (neighbours - 1) * step + (through - 1) * extent(window.dilation) + 1;
}

// ---- What a block computes ------------------------------------------------------------------------------------------

std::optional<BlockConv> BlockConv::of(const KernelBuilder& kernel, const Node& node, Direction direction) {
  const Windows w = windows(node.attributes);
  const auto apart = [](const Window& window) { return window.stride > 1 && window.dilation > 1; };
  const bool mixed = direction == Direction::backward && (apart(w.x) || apart(w.y));
  const bool images = kernel.lanes() == 1 && kernel.layout(node.inputs[0]).lanes == 1;
  if (!kernel.machine().is_gpu() || !images || node.attributes.integer("groups") > 1 || mixed) return std::nullopt;
  return BlockConv(kernel, node, direction);
}

BlockConv::BlockConv(const KernelBuilder& kernel, const Node& node, Direction direction)
    : image_(node.inputs[0]),
      weight_(node.inputs[1]),
      output_(node.outputs[0]),
      backward_(direction == Direction::backward),
      channels_(extent(kernel.shape(image_)[1])),
      outputs_(extent(kernel.shape(output_)[1])) {
  const Windows w = windows(node.attributes);
  const auto axis = [&](const Window& window, int i, const Var& position, const Var& phase) {
    const bool phases = backward_ && window.stride > 1;
    return Axis{window,
                backward_,
                extent(kernel.shape(image_)[i]),
                extent(kernel.shape(output_)[i]),
                phases ? position : kernel.axis(i),
                phase};
  };
  x_ = axis(w.x, 3, column_position, column_phase);
  y_ = axis(w.y, 2, row_position, row_phase);
  int threads = most_threads;
  choose_pixels(threads);
  while (kernel.few() && threads > 32 && blocks_an_image() < enough_blocks) choose_pixels(threads /= 2);
  choose_chunk();
}

/// Instructions a multiply-add that counts: loads of four floats beside it, and what threads do beyond the images.
double BlockConv::cost(const Split& x, const Split& y, int images, int threads) const {
  const int pixels = x.each * y.each;
  const double loads = 0.25 / pixels + 0.25 / blocking_.channels.each;
  const double staged =
      static_cast<double>(x_.span(x.extent(), x_.taps())) * y_.span(y.extent(), y_.taps()) / (x.extent() * y.extent());
  const int columns = ceil_div(x_.positions(), x.extent()) * x.extent();
  const int rows = ceil_div(y_.positions(), y.extent()) * y.extent();
  const double useful = static_cast<double>(x_.positions()) * y_.positions() / (columns * rows);
  const double busy = static_cast<double>(x.threads * y.threads * images) / threads;
  return (1 + loads + 0.05 * staged) / (useful * busy);
}

/// Threads along channels first: those of a warp read few pixels then, and many channels side by side.
void BlockConv::choose_pixels(int threads) {
  const ThreadSplit channels = split_evenly(outputs_, most_each, 8);
  blocking_.channels = {channels.each, channels.threads};
  const int left = threads / channels.threads;
  double least = std::numeric_limits<double>::infinity();
  const auto splits = [&](const Axis& axis, int most, int most_side_by_side, const auto& take) {
    for (int each = std::min(most, axis.positions()); each > 0; --each) {
      const int needed = ceil_div(axis.positions(), each);
      for (int side_by_side = std::min(needed, most_side_by_side); side_by_side > 0; --side_by_side)
        take(Split{each, side_by_side});
    }
  };
  splits(x_, most_each, left, [&](const Split& x) {
    splits(y_, most_each / x.each, left / x.threads, [&](const Split& y) {
      const bool whole = x.extent() >= x_.positions() && y.extent() >= y_.positions();
      const int images = whole ? left / (x.threads * y.threads) : 1;
      const double value = cost(x, y, images, left);
      if (value >= least) return;
      least = value;
      blocking_.x = x;
      blocking_.y = y;
      blocking_.images = images;
    });
  });
}

std::int64_t BlockConv::blocks_an_image() const {
  const std::int64_t pixels = static_cast<std::int64_t>(ceil_div(x_.positions(), blocking_.x.extent())) *
                              ceil_div(y_.positions(), blocking_.y.extent());
  return pixels * x_.phases() * y_.phases() * ceil_div(outputs_, blocking_.channels.extent());
}

/// Of shared memory, with chunks of so many channels and rows of taps.
std::int64_t BlockConv::bytes(int channels, int rows) const {
  const Blocking& b = blocking_;
  const std::int64_t sums = static_cast<std::int64_t>(b.channels.extent()) * b.x.extent() * b.y.extent() * b.images;
  const std::int64_t image =
      static_cast<std::int64_t>(x_.span(b.x.extent(), x_.taps())) * y_.span(b.y.extent(), rows) * b.images * channels;
  const std::int64_t filter = static_cast<std::int64_t>(b.channels.extent() + 4) * x_.taps() * rows * channels;
  return (sums + image + filter) * static_cast<std::int64_t>(sizeof(float));
}

/// As many terms as shared memory holds, up to enough; of channels no more than few beyond those that there are.
void BlockConv::choose_chunk() {
  double best = 0;
  for (int rows : {y_.taps(), 1}) {
    for (int channels : {32, 16, 8, 4, 3, 2, 1}) {
      if (bytes(channels, rows) > shared_bytes) continue;
      const double used = static_cast<double>(channels_) / (ceil_div(channels_, channels) * channels);
      const double terms = std::min(enough_terms, channels * rows * x_.taps()) * used;
      if (terms <= best || y_.taps() % rows != 0) continue;
      best = terms;
      blocking_.chunk_channels = channels;
      blocking_.chunk_rows = rows;
    }
  }
}

// ---- Algorithm ------------------------------------------------------------------------------------------------------

std::vector<Var> BlockConv::phases() const {
  std::vector<Var> phases;
  if (x_.phases() > 1) phases.push_back(x_.phase);
  if (y_.phases() > 1) phases.push_back(y_.phase);
  return phases;
}

/// The arguments of the sums: a pixel's phases stand behind its positions where there are phases.
std::vector<Var> BlockConv::positions(const KernelBuilder& kernel) const {
  std::vector<Var> at{kernel.lane(), x_.position};
  if (x_.phases() > 1) at.push_back(x_.phase);
  at.push_back(y_.position);
  if (y_.phases() > 1) at.push_back(y_.phase);
  at.insert(at.end(), {kernel.axis(1), kernel.block()});
  return at;
}

/// The images, 0 beyond their edges and channels.
Func BlockConv::define_image(KernelBuilder& kernel) const {
  const Var x = kernel.axis(3), y = kernel.axis(2), n = kernel.block();
  const auto within = [&](const Axis& axis, const Split& split, const Var& at, Expr& exists) -> Expr {
    if (!axis.reaches_out() && axis.positions() % split.extent() == 0) return at;
    exists = exists && at >= 0 && at < axis.read;
    return clamp(at, 0, axis.read - 1);
  };
  Expr exists = Halide::Internal::const_true();
  const Expr column = within(x_, blocking_.x, x, exists);
  const Expr row = within(y_, blocking_.y, y, exists);
  Expr channel = summed;
  if (channels_ % blocking_.chunk_channels != 0) {
    exists = exists && summed < channels_;
    channel = min(summed, channels_ - 1);
  }
  const Expr image = blocking_.images > 1 ? min(n, kernel.blocks() - 1) : Expr(n);
  Func staged(kernel.name("image"));
  staged(summed, x, y, kernel.lane(), n) = select(
      exists, operand_on_gpu(kernel, image_)(Point{kernel.lane(), image, {channel, row, column}}), kernel.constant(0));
  kernel.stage("image", staged);
  return staged;
}

/// The weights, 0 beyond the channels.
Func BlockConv::define_filter(KernelBuilder& kernel) const {
  const auto tap = [](const Axis& axis, const Var& number) {
    return min(axis.tap_of_window(number), extent(axis.window.kernel) - 1);
  };
  const Expr kx = tap(x_, tap_x);
  const Expr ky = tap(y_, tap_y);
  const bool whole = channels_ % blocking_.chunk_channels == 0;
  const Expr channel = whole ? Expr(summed) : min(summed, channels_ - 1);
  const Expr computed = min(kernel.axis(1), outputs_ - 1);
  const Expr weight = backward_ ? kernel.parameter(weight_, {channel, computed, ky, kx})
                                : kernel.parameter(weight_, {computed, channel, ky, kx});
  std::vector<Var> at{kernel.axis(1), summed, tap_x, tap_y};
  for (const Var& phase : phases()) at.push_back(phase);
  Func filter(kernel.name("filter"));
  filter(at) = whole ? weight : select(summed < channels_, weight, kernel.constant(0));
  kernel.stage("filter", filter);
  return filter;
}

Func BlockConv::define_part(KernelBuilder& kernel) const {
  const Func image = define_image(kernel);
  const Func filter = define_filter(kernel);
  RDom t(0, blocking_.chunk_channels, 0, x_.taps(), 0, blocking_.chunk_rows, kernel.name("t"));
  const Expr channel = chunk_variable * blocking_.chunk_channels + t.x;
  const Expr row = row_variable * blocking_.chunk_rows + t.z;
  if (x_.taps_may_lack() && x_.taps() > 1) t.where(x_.tap_of_window(t.y) < extent(x_.window.kernel));
  if (y_.taps_may_lack() && y_.taps() > 1) t.where(y_.tap_of_window(row) < extent(y_.window.kernel));
  std::vector<Expr> weight_at{kernel.axis(1), channel, t.y, row};
  for (const Var& phase : phases()) weight_at.emplace_back(phase);
  std::vector<Var> at = positions(kernel);
  at.insert(at.end(), {chunk_variable, row_variable});
  Func part(kernel.name("part"));
  part(at) = kernel.constant(0);
  part(at) += image(channel, x_.source(t.y), y_.source(row), kernel.lane(), kernel.block()) * filter(weight_at);
  kernel.stage("part", part);
  return part;
}

void BlockConv::define(KernelBuilder& kernel, const Expr& start) const {
  const Func part = define_part(kernel);
  const std::vector<Var> at = positions(kernel);
  RDom r(0, ceil_div(channels_, blocking_.chunk_channels), 0, y_.taps() / blocking_.chunk_rows, kernel.name("r"));
  for (const Axis* axis : {&x_, &y_}) {  // of windows narrower than the stride, some phases have no tap at all
    if (axis->taps_may_lack() && axis->taps() == 1) r.where(axis->tap_of_window(0) < extent(axis->window.kernel));
  }
  std::vector<Expr> of_part(at.begin(), at.end());
  of_part.insert(of_part.end(), {r.x, r.y});
  Func sum(kernel.name("sum"));
  sum(at) = start;
  sum(at) += part(of_part);
  kernel.stage("sum", sum);
  Func whole(kernel.name("whole"));
  const std::vector<Var> everywhere = kernel.variables(kernel.shape(output_));
  if (phases().empty()) {
    whole(everywhere) = sum(everywhere);
  } else {
    Func phased(kernel.name("phased"));
    phased(at) = sum(std::vector<Expr>(at.begin(), at.end()));
    kernel.stage("phased", phased);
    whole(everywhere) = phased(in_phases(kernel));
  }
  kernel.define(output_, whole);
}

/// The place of a pixel among `positions`.
std::vector<Expr> BlockConv::in_phases(const KernelBuilder& kernel) const {
  std::vector<Expr> at{kernel.lane()};
  for (const auto& [axis, pixel] : {std::pair{&x_, kernel.axis(3)}, std::pair{&y_, kernel.axis(2)}}) {
    at.push_back(pixel / axis->phases());
    if (axis->phases() > 1) at.push_back(pixel % axis->phases());
  }
  at.insert(at.end(), {kernel.axis(1), kernel.block()});
  return at;
}

// ---- Schedule -------------------------------------------------------------------------------------------------------

/// Threads copy in the order of memory; a pixel's channels lie side by side in shared memory.
StagedOperand BlockConv::stage_image(KernelBuilder& kernel) const {
  const Var x = kernel.axis(3), y = kernel.axis(2), l = kernel.lane(), n = kernel.block();
  const Blocking& b = blocking_;
  const bool channels_dense = kernel.layout(image_).strides[0] == 1;
  StagedOperand image{kernel.stage("image"),
                      {{summed, b.chunk_channels},
                       {x, x_.span(b.x.extent(), x_.taps())},
                       {y, y_.span(b.y.extent(), b.chunk_rows)},
                       {l, 1},
                       {n, b.images}},
                      {summed, x, y, l, n}};
  if (channels_dense && b.chunk_channels % 4 == 0 && channels_ % b.chunk_channels == 0) image.vector = 4;
  if (!channels_dense) image.copied = {x, y, summed, l, n};
  return image;
}

StagedOperand BlockConv::stage_filter(KernelBuilder& kernel) const {
  const Var c = kernel.axis(1);
  const int computed = blocking_.channels.extent();
  StagedOperand filter{
      kernel.stage("filter"),
      {{c, computed}, {summed, blocking_.chunk_channels}, {tap_x, x_.taps()}, {tap_y, blocking_.chunk_rows}},
      {c, summed, tap_x, tap_y}};
  if (backward_) {
    std::swap(filter.copied[0], filter.copied[1]);
    if (computed % 4 == 0) filter.row = computed + 4;  // or else all threads of a warp write to one bank
  } else if (computed % 4 == 0 && outputs_ % computed == 0) {
    filter.vector = 4;
  }
  for (const Var& phase : phases()) {
    filter.sides.push_back({phase, 1});
    filter.copied.push_back(phase);
  }
  return filter;
}

/// Phases are put together in memory, by what reads them. Alternative: blocks that write every other pixel, for which
/// Halide would have to know that x % 2 is one number in a block.
Func BlockConv::schedule_phases(KernelBuilder& kernel) const {
  Func phased = kernel.stage("phased");
  const auto whole = [&](const Var& variable, int size) { phased.bound(variable, 0, size); };
  whole(kernel.axis(1), outputs_);
  whole(kernel.lane(), 1);
  std::vector<Var> storage{kernel.axis(1)};
  for (const Axis* axis : {&x_, &y_}) {
    whole(axis->position, axis->positions());
    if (axis->phases() > 1) {
      whole(axis->phase, axis->phases());
      storage.push_back(axis->phase);
    }
    storage.push_back(axis->position);
  }
  storage.insert(storage.end(), {kernel.lane(), kernel.block()});
  return phased.reorder_storage(storage);
}

void BlockConv::schedule(KernelBuilder& kernel) const {
  const Blocking& b = blocking_;
  const std::vector<Var> phases = this->phases();
  BlockSums sums{phases.empty() ? kernel.out() : schedule_phases(kernel), kernel.stage("sum"), kernel.stage("part")};
  const auto side = [](const Var& variable, const Split& split, Halide::TailStrategy tail) {
    return BlockSide{variable, split.each, split.threads, tail};
  };
  constexpr Halide::TailStrategy guard = Halide::TailStrategy::GuardWithIf;
  sums.tile = {side(kernel.axis(1), b.channels, Halide::TailStrategy::ShiftInwards), side(x_.position, b.x, guard),
               side(y_.position, b.y, guard)};
  sums.around = {kernel.lane()};
  sums.around.insert(sums.around.end(), phases.begin(), phases.end());
  if (b.images > 1) {
    sums.tile.push_back({kernel.block(), 1, b.images});
  } else {
    sums.around.push_back(kernel.block());
  }
  sums.terms = sums.part.rvars(0);
  sums.unrolled = b.chunk_channels % 8 == 0 ? 8 : b.chunk_channels;
  sums.operands = {stage_image(kernel), stage_filter(kernel)};
  schedule_block_sums(sums);
}

}  // namespace netc::ops

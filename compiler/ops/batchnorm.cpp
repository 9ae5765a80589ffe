// batchnorm: each channel normalised to mean 0 and variance 1, then scaled and shifted. In training the statistics are
// the batch's and enter the running ones; in evaluation they are the running ones.
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/gpu_schedules.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/channel_sums.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::Tuple;
using Halide::Var;

namespace {

Inference infer(const std::vector<Shape>& inputs, const Attributes&) {
  const Shape& x = inputs[0];
  if (x.rank() != 2 && x.rank() != 4) {
    return {.error = ShapeError{"N203", "batchnorm wants [N,C,H,W] or [N,features], found " + to_string(x),
                                "input " + to_string(x), ""}};
  }
  const auto owned = [&](const char* name, Role role, double value) {
    return OwnedSpec{name, role, {x[1]}, {}, {.rule = Initializer::Rule::constant, .a = value}, x[1], x[1]};
  };
  return {.outputs = {x},
          .owned = {owned("weight", Role::parameter, 1), owned("bias", Role::parameter, 0),
                    owned("running_mean", Role::buffer, 0), owned("running_var", Role::buffer, 1)}};
}

/// Statistics, which update the buffers, and the normalisation by them.
std::vector<ValueId> in_training(GraphBuilder& builder, const Node& node) {
  const std::vector<ValueId> in = node.inputs;  // x, weight, bias, running_mean, running_var
  const Shape shape = builder.value(in[0]).shape;
  const Shape channels{shape[1]};
  const std::vector<ValueId> statistics =
      builder.add(batchnorm_statistics, node.attributes, {in[0], in[3], in[4]}, std::vector<Shape>(4, channels));
  builder.graph()[statistics[2]].updates = in[3];
  builder.graph()[statistics[3]].updates = in[4];
  return {builder.add(batchnorm_normalize, {}, {in[0], statistics[0], statistics[1], in[1], in[2]}, shape)};
}

std::vector<ValueId> in_evaluation(GraphBuilder& builder, const Node& node) {
  const Shape shape = builder.value(node.inputs[0]).shape;
  return {builder.add(batchnorm_inference, {{"eps", node.attributes.real("eps")}}, node.inputs, shape)};
}

/// Of batchnorm_normalize. What x changes by way of the statistics is part of the gradient of x.
std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const std::vector<ValueId> in = builder.graph().nodes[static_cast<std::size_t>(index)].inputs;
  const ValueId dy = gradients[0];
  const Shape shape = builder.value(in[0]).shape;
  const Shape channels{shape[1]};
  const std::vector<ValueId> sums =
      builder.add(batchnorm_backward_sums, {}, {dy, in[0], in[1], in[2]}, {channels, channels});
  const ValueId dx = builder.add(batchnorm_backward, {}, {dy, in[0], in[1], in[2], in[3], sums[0], sums[1]}, shape);
  return {dx, no_value, no_value, sums[0], sums[1]};
}

/// Elements of a channel: over the batch and all pixels.
Expr channel_elements(KernelBuilder& kernel, const Shape& shape) {
  const std::int64_t pixels = shape.elements() / shape[1];
  return cast(kernel.real(), kernel.batch()) * kernel.constant(static_cast<double>(pixels));
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

/// Defines a value [C] as `element`, an expression in axis(0).
void define_channels(KernelBuilder& kernel, ValueId value, const std::string& stem, const Expr& element) {
  Func func(kernel.name(stem));
  func(kernel.axis(0)) = element;
  kernel.define(value, func);
}

/// The mean of each image, and the sum of the squares of what deviates from it. What deviates from a rounded mean does
/// not sum to 0: that corrects it.
Func image_moments(KernelBuilder& kernel, ValueId x, const Expr& pixels) {
  const Var l = kernel.lane(), c = kernel.axis(1), n = kernel.block();
  const Shape& shape = kernel.shape(x);
  kernel.stage_extent("mean", extent(shape[1]));
  kernel.stage_extent("deviations", extent(shape[1]));
  const Func sum = image_sums(kernel, "mean", shape, [&](const Point& at) { return Terms{kernel.read(x, at)}; });
  Func mean(kernel.name("image_mean"));
  mean(l, c, n) = sum(l, c, n) / pixels;
  const Func deviations = image_sums(kernel, "deviations", shape, [&](const Point& at) {
    const Expr deviation = kernel.read(x, at) - mean(at.lane, at.axes[0], at.block);
    return Terms{deviation, deviation * deviation};
  });
  const Expr rest = deviations(l, c, n)[0] / pixels;
  Func moments(kernel.name("moments"));
  moments(l, c, n) = Tuple(mean(l, c, n) + rest, deviations(l, c, n)[1] - pixels * rest * rest);
  kernel.stage("moments", moments);
  return moments;
}

/// Deviations from the mean are squared: E(x^2) - E(x)^2 would cancel in single precision.
///
/// Choice: images are read once from memory, then again from the cache for what deviates from their own mean, and their
/// moments are put together (T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
/// Sample Variances", 1979). Alternative: the batch's mean first, and all of it read twice from memory. Features are
/// images of one pixel; on a GPU many threads share an image, and pixels are summed alike (2026-11).
void statistics(KernelBuilder& kernel, const Node& node) {
  const ValueId x = node.inputs[0];
  const Shape& shape = kernel.shape(x);
  const Expr c = kernel.axis(0);
  const Expr elements = channel_elements(kernel, shape);
  const bool by_images = shape.rank() == 4 && !kernel.machine().is_gpu();
  const Expr pixels = kernel.constant(static_cast<double>(by_images ? shape.elements() / shape[1] : 1));
  const Func moments = by_images ? image_moments(kernel, x, pixels) : Func();
  const auto moment = [&](const Point& at, int i) { return Expr(moments(at.lane, at.axes[0], at.block)[i]); };
  const auto mean_at = [&](const Point& at) { return by_images ? moment(at, 0) : kernel.read(x, at); };
  const Shape summed = by_images ? Shape{Shape::batch, shape[1]} : shape;
  const Func sum = channel_sums(kernel, "sum", summed, [&](const Point& at) { return Terms{mean_at(at)}; });
  Func rounded(kernel.name("rounded_mean"));
  rounded(kernel.axis(0)) = sum(c) * pixels / elements;
  const Func deviations = channel_sums(kernel, "deviations_of_batch", summed, [&](const Point& at) {
    const Expr deviation = mean_at(at) - rounded(at.axes[0]);
    const Expr square = pixels * deviation * deviation;
    return Terms{pixels * deviation, by_images ? moment(at, 1) + square : square};
  });
  kernel.stage("rounded_mean", rounded);
  const Expr rest = deviations(c)[0] / elements;
  const Expr mean = rounded(c) + rest;
  const Expr squares = max(deviations(c)[1] - elements * rest * rest, kernel.constant(0));  // rounding may cross 0
  const Expr variance = squares / elements;
  const Expr unbiased = squares / max(elements - kernel.constant(1), kernel.constant(1));
  const Expr momentum = kernel.constant(node.attributes.real("momentum"));
  const auto mixed = [&](ValueId running, const Expr& now) {
    return (kernel.constant(1) - momentum) * kernel.parameter(running, {c}) + momentum * now;
  };
  define_channels(kernel, node.outputs[0], "batch_mean", mean);
  define_channels(kernel, node.outputs[1], "inv_std",
                  kernel.constant(1) / sqrt(variance + kernel.constant(node.attributes.real("eps"))));
  define_channels(kernel, node.outputs[2], "running_mean", mixed(node.inputs[1], mean));
  define_channels(kernel, node.outputs[3], "running_var", mixed(node.inputs[2], unbiased));
}

/// (x - mean) * inv_std
Expr normalized(KernelBuilder& kernel, ValueId x, ValueId mean, ValueId inv_std, const Point& at) {
  const Expr c = at.axes[0];
  return (kernel.read(x, at) - kernel.parameter(mean, {c})) * kernel.parameter(inv_std, {c});
}

Expr normalize(KernelBuilder& kernel, const Node& node, const Point& at) {
  const std::vector<ValueId>& in = node.inputs;
  const Expr c = at.axes[0];
  return normalized(kernel, in[0], in[1], in[2], at) * kernel.parameter(in[3], {c}) + kernel.parameter(in[4], {c});
}

Expr inference(KernelBuilder& kernel, const Node& node, const Point& at) {
  const std::vector<ValueId>& in = node.inputs;  // x, weight, bias, running_mean, running_var
  const Expr c = at.axes[0];
  const Expr variance = kernel.parameter(in[4], {c}) + kernel.constant(node.attributes.real("eps"));
  const Expr scale = kernel.parameter(in[1], {c}) / sqrt(variance);
  return (kernel.read(in[0], at) - kernel.parameter(in[3], {c})) * scale + kernel.parameter(in[2], {c});
}

/// dweight[c] = sum of dy * (x - mean[c]) * inv_std[c] and dbias[c] = sum of dy
void backward_sums(KernelBuilder& kernel, const Node& node) {
  const std::vector<ValueId>& in = node.inputs;  // dy, x, mean, inv_std
  const Func sums = channel_sums(kernel, "sums", kernel.shape(in[0]), [&](const Point& at) {
    const Expr dy = kernel.read(in[0], at);
    return Terms{dy * normalized(kernel, in[1], in[2], in[3], at), dy};
  });
  define_channels(kernel, node.outputs[0], "weight", sums(kernel.axis(0))[0]);
  define_channels(kernel, node.outputs[1], "bias", sums(kernel.axis(0))[1]);
}

/// dx = weight * inv_std * (dy - mean of dy - normalised x * mean of dy * normalised x), the means over the channel
Expr backward(KernelBuilder& kernel, const Node& node, const Point& at) {
  const std::vector<ValueId>& in = node.inputs;  // dy, x, mean, inv_std, weight, dweight, dbias
  const Expr c = at.axes[0];
  const Expr elements = channel_elements(kernel, kernel.shape(in[0]));
  const Expr scale = kernel.parameter(in[4], {c}) * kernel.parameter(in[3], {c});
  const Expr along = normalized(kernel, in[1], in[2], in[3], at) * (kernel.parameter(in[5], {c}) / elements);
  const Expr gradient = scale * (kernel.read(in[0], at) - kernel.parameter(in[6], {c}) / elements - along);
  return select(kernel.valid(at), gradient, kernel.constant(0));
}

// ---- Schedules -----------------------------------------------------------------------------------------------------

/// The running statistics lie where the old ones lay: a channel is read and written once, in one place.
void schedule_statistics(KernelBuilder& kernel, const Node& node) {
  if (kernel.has_stage("moments")) {
    Func moments = kernel.stage("moments");
    const Var n = kernel.block();
    const bool lanes = kernel.lanes() > 1;
    const Var dense = lanes ? kernel.lane() : kernel.axis(1);
    moments.compute_root().reorder(dense, lanes ? kernel.axis(1) : kernel.lane(), n).parallel(n);
    for (const char* name : {"mean", "deviations"}) schedule_image_sums(kernel, name, {moments, n});
  }
  schedule_channel_sums(kernel, "sum");
  schedule_channel_sums(kernel, "deviations_of_batch");
  kernel.stage("rounded_mean").compute_root();
  schedule_elements(kernel, kernel.out(), node.outputs[0]);
}

void schedule_backward_sums(KernelBuilder& kernel, const Node& node) {
  schedule_channel_sums(kernel, "sums");
  schedule_elements(kernel, kernel.out(), node.outputs[0]);
}

/// The mean is written for the second pass; all that follows from it belongs to the outputs.
void schedule_statistics_on_gpu(KernelBuilder& kernel, const Node&) {
  schedule_channel_sums_on_gpu(kernel, "sum");
  schedule_channel_sums_on_gpu(kernel, "deviations_of_batch");
  Func mean = kernel.stage("rounded_mean").compute_root();
  kernel.stage("sum").compute_at(mean, map_to_threads(mean, {kernel.axis(0)}, {}));
}

void schedule_backward_sums_on_gpu(KernelBuilder& kernel, const Node&) {
  schedule_channel_sums_on_gpu(kernel, "sums");
}

}  // namespace

const Operator batchnorm{
    .name = "batchnorm",
    .doc =
        "y = (x - mean) / sqrt(variance + eps) * weight + bias, channel by channel. In training mean and (biased) "
        "variance are the batch's, and the running ones become (1 - momentum) * running + momentum * the batch's mean "
        "and unbiased variance; in evaluation they are the running ones.",
    .attributes = {{"eps", AttributeType::real, 1e-5, "", 0, 2147483647, "added to the variance"},
                   {"momentum", AttributeType::real, 0.1, "", 0, 1, "the batch's share in the running statistics"}},
    .infer = infer,
    .in_training = in_training,
    .in_evaluation = in_evaluation,
    .samples = {{"images", {{Shape::batch, 3, 4, 5}}, {{"eps", 1e-5}, {"momentum", 0.1}}},
                {"wide_images", {{Shape::batch, 19, 3, 2}}, {{"eps", 1e-2}, {"momentum", 0.5}}},
                {"features", {{Shape::batch, 21}}, {{"eps", 1e-5}, {"momentum", 0.1}}}},
};

const Operator batchnorm_statistics{
    .name = "batchnorm_statistics",
    .doc =
        "mean, 1 / sqrt(variance + eps), new running_mean, new running_var of x, running_mean, running_var: a number a "
        "channel each.",
    .in_language = false,
    .inputs = 3,
    .algorithm = statistics,
    .schedule = schedule_statistics,
    .gpu_schedule = schedule_statistics_on_gpu,
    .reads_once = [](const Node&, std::size_t operand) { return operand == 0; },
};

const Operator batchnorm_normalize{
    .name = "batchnorm_normalize",
    .doc = "y = (x - mean) * inv_std * weight + bias, channel by channel.",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = 5,
    .gradient = gradient,
    .value_at = normalize,
};

const Operator batchnorm_inference{
    .name = "batchnorm_inference",
    .doc = "y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, channel by channel.",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = 5,
    .value_at = inference,
};

const Operator batchnorm_backward_sums{
    .name = "batchnorm_backward_sums",
    .doc = "dweight[c] = sum of dy * (x - mean[c]) * inv_std[c]; dbias[c] = sum of dy.",
    .in_language = false,
    .inputs = 4,
    .algorithm = backward_sums,
    .schedule = schedule_backward_sums,
    .gpu_schedule = schedule_backward_sums_on_gpu,
    .reads_once = [](const Node&, std::size_t operand) { return operand < 2; },
};

const Operator batchnorm_backward{
    .name = "batchnorm_backward",
    .doc =
        "dx = weight * inv_std * (dy - dbias / m - (x - mean) * inv_std * dweight / m) with m elements a channel; 0 "
        "for "
        "examples that do not exist.",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = 7,
    .value_at = backward,
    .sums_to_zero = true,
};

}  // namespace netc::ops

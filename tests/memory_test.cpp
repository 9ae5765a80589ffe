// What a training step keeps in memory, what --max-memory makes of it, and what runs take.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "command_support.h"
#include "compiler/graph/operator.h"
#include "compiler/graph/verify.h"
#include "compiler/passes/memory_size.h"
#include "compiler/passes/modes.h"
#include "compiler/passes/recompute.h"
#include "elaboration.h"
#include "netc/npy.h"
#include "netc/safetensors.h"
#include "network_runner.h"

namespace netc {
namespace {

using test::Elaboration;
using test::read_text;

// ---- Max pools and relus --------------------------------------------------------------------------------------------

/// The operators of a model in training, in order.
std::vector<std::string> operators_in_training(const std::string& layers) {
  const Elaboration model("model m { input image: f32[N, 3, 8, 8]; " + layers + " }");
  std::vector<std::string> names;
  for (const Node& node : for_training(model.graph()).nodes) names.emplace_back(node.op->name);
  return names;
}

using Names = std::vector<std::string>;

TEST_CASE("a max pool goes in front of a relu that nothing else reads") {
  CHECK(operators_in_training("conv(4, 3) -> relu -> maxpool(2) -> flatten -> linear(2);") ==
        Names{"conv", "maxpool", "relu", "flatten", "linear"});
  CHECK(operators_in_training("relu -> maxpool(2) -> maxpool(2);") == Names{"maxpool", "maxpool", "relu"});
}

TEST_CASE("a max pool stays behind whatever else it reads, and behind a relu that others read") {
  CHECK(operators_in_training("sigmoid -> maxpool(2);") == Names{"sigmoid", "maxpool"});
  CHECK(operators_in_training("relu -> avgpool(2);") == Names{"relu", "avgpool"});
  CHECK(operators_in_training("relu; concat { maxpool(3, stride = 1, pad = 1); identity }") ==
        Names{"relu", "maxpool", "identity", "concat"});
}

TEST_CASE("what a pool and a relu exchange keeps its name and gets the other's shape") {
  const Elaboration model("model m { input image: f32[N, 3, 8, 8]; r: relu; p: maxpool(2); output p; }");
  const Graph graph = for_training(model.graph());
  REQUIRE(graph.nodes.size() == 2);
  const Value& pooled = graph[graph.nodes[0].outputs[0]];
  const Value& output = graph[graph.nodes[1].outputs[0]];
  CHECK(pooled.name == "p");
  CHECK(pooled.shape == Shape{Shape::batch, 3, 4, 4});
  CHECK(output.name == "r");
  CHECK(output.shape == pooled.shape);
  CHECK(graph.nodes[1].inputs == std::vector<ValueId>{graph.nodes[0].outputs[0]});
  CHECK(graph.outputs == graph.nodes[1].outputs);
}

// ---- What never reaches memory --------------------------------------------------------------------------------------

Plan training_plan(const std::string& text) {
  const test::CompiledNetwork network(text);
  REQUIRE_MESSAGE(!network.diagnostics.has_errors(), network.diagnostics.text());
  LaidOutGraph laid_out = lay_out(network.training);
  std::vector<Group> groups = fuse(laid_out.graph, laid_out.layouts);
  return plan_memory(std::move(laid_out), std::move(groups));
}

/// The groups that training takes for these layers, but for a loss.
Names groups_of(const std::string& layers) {
  Names names;
  for (const Group& group : training_plan("model m { input image: f32[N, 20, 8, 8]; " + layers + " loss mse; }").groups)
    names.push_back(group.name);
  return names;
}

bool contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

TEST_CASE("readers compute what batchnorm normalises, and what a pool passes back") {
  const Names names = groups_of("conv(24, 3, bias = false) -> batchnorm -> relu -> conv(20, 3) -> maxpool(2);");
  CHECK(contains(names, "batchnorm_normalize_relu_conv"));
  CHECK(contains(names, "maxpool_backward_conv_backward_data_batchnorm_normalize_relu_relu_backward"));
  CHECK(contains(names, "maxpool_backward_batchnorm_normalize_relu_conv_backward_weights"));
  CHECK(!contains(names, "batchnorm_normalize_relu"));
  CHECK(!contains(names, "maxpool_backward"));
}

/// The groups that evaluation takes for these layers.
Names groups_in_evaluation(const std::string& layers) {
  const Elaboration model("model m { input image: f32[N, 20, 8, 8]; " + layers + " }");
  const LaidOutGraph laid_out = lay_out(for_evaluation(model.graph()));
  Names names;
  for (const Group& group : fuse(laid_out.graph, laid_out.layouts)) names.push_back(group.name);
  return names;
}

TEST_CASE("in evaluation, images that only a max pool reads stay in the kernel that computes them") {
  CHECK(groups_in_evaluation("conv(24, 3) -> relu -> maxpool(2) -> conv(20, 1);") ==
        Names{"conv_maxpool_relu", "conv_copy"});
  CHECK(groups_in_evaluation("conv(24, 3) -> batchnorm -> maxpool(3, stride = 1) -> maxpool(2);") ==
        Names{"conv_batchnorm_inference_maxpool", "maxpool_copy"});
  CHECK(contains(groups_in_evaluation("conv(24, 3); concat { maxpool(3, stride = 1, pad = 1); identity }"), "maxpool"));
  CHECK(contains(groups_of("conv(24, 3) -> relu -> maxpool(2) -> conv(20, 1);"), "conv"));
}

TEST_CASE("what takes as long to read as to compute, or is read many times, is computed once") {
  CHECK(contains(groups_of("conv(24, 3) -> relu -> conv(20, 3);"), "conv_relu"));
  CHECK(contains(groups_of("conv(20, 3) -> maxpool(3, stride = 1, pad = 1);"), "maxpool_backward"));
  CHECK(contains(groups_of("conv(20, 3) -> batchnorm -> maxpool(3, stride = 1);"), "batchnorm_normalize"));
}

TEST_CASE("of a chain of pointwise layers no kernel computes more than a few again") {
  std::string chain;
  for (int i = 0; i < 40; ++i) chain += "sigmoid -> ";
  const Plan plan =
      training_plan("model m { input image: f32[N, 20]; linear(8) -> " + chain + "linear(3); loss mse; }");
  std::size_t sigmoids = 0;
  for (const Node& node : plan.graph.nodes) sigmoids += node.op->name == "sigmoid" ? 1 : 0;
  CHECK(sigmoids <= 4 * 40);
}

/// How many gradients of weights and biases each such node of training's computes.
std::vector<std::size_t> summed_gradients(const std::string& layers) {
  const Plan plan = training_plan("model m { input image: f32[N, 20, 8, 8]; " + layers + " loss mse; }");
  std::vector<std::size_t> outputs;
  for (const Node& node : plan.graph.nodes) {
    if (node.op->name.ends_with("_backward_weights")) outputs.push_back(node.outputs.size());
  }
  return outputs;
}

TEST_CASE("the gradient of a bias in front of batchnorm is 0, and not summed") {
  using Counts = std::vector<std::size_t>;
  CHECK(summed_gradients("conv(24, 3) -> batchnorm -> relu;") == Counts{1});
  CHECK(summed_gradients("flatten -> linear(7) -> batchnorm;") == Counts{1});
  CHECK(summed_gradients("conv(24, 3) -> relu -> batchnorm;") == Counts{2});
  CHECK(summed_gradients("conv(24, 3); concat { batchnorm; identity }") == Counts{2});
}

TEST_CASE("a pointwise group writes over what it reads last") {
  const Plan plan = training_plan(R"(model m {
    input image: f32[N, 20, 8, 8];
    concat { conv(20, 3) -> batchnorm; conv(20, 3) } -> relu -> conv(8, 1) -> batchnorm;
    loss mse;
  })");
  int over = 0;
  for (const Group& group : plan.groups) {
    for (ValueId input : group.inputs) {
      const Place& read = plan.place(input);
      const Place& written = plan.place(group.outputs[0]);
      if (read.space != Space::arena || written.space != Space::arena || read.offset != written.offset) continue;
      CHECK(is_pointwise(plan.graph, group));
      ++over;
    }
  }
  CHECK(over > 0);
}

TEST_CASE("no group writes over what it also reads in another shape") {
  const Plan plan = training_plan(R"(
    layer blend() { input a: f32[N,C,H,W]; input b: f32[N,D]; y[n,c,h,w] = a[n,c,h,w] + b[n,2*c+1]; }
    model m {
      input image: f32[N, 4, 8, 8];
      z: conv(4, 3, pad = 1) -> relu;
      flat: flatten;
      blend { from(z); from(flat) } relu;
      loss mse;
    })");
  for (const Group& group : plan.groups) {
    for (ValueId input : group.inputs) {
      const bool renamed = plan.aliases[static_cast<std::size_t>(input)].root != input;
      const Place& read = plan.place(input);
      const Place& written = plan.place(group.outputs[0]);
      if (renamed && read.space == Space::arena) CHECK(written.offset != read.offset);
    }
  }
}

TEST_CASE("inputs of bytes are numbers where they are flattened, joined or handed out") {
  for (const char* layers :
       {"flatten -> linear(3);", "identity -> conv(2, 3);", "add { identity; identity } -> conv(2, 3);",
        "concat { identity; from(image) } -> conv(2, 3);"}) {
    CAPTURE(layers);
    const Plan plan = training_plan(std::string("model m { input image: u8[N, 1, 4, 4]; ") + layers + " loss mse; }");
    for (ValueId value = 0; value < static_cast<ValueId>(plan.aliases.size()); ++value) {
      const ValueId root = plan.aliases[static_cast<std::size_t>(value)].root;
      if (root != value) CHECK(plan.graph[root].type == DType::f32);
    }
  }
}

TEST_CASE("no kernel has more operands than the runtime passes") {
  std::string chain = "model m { input x: f32[N, 4]; a: linear(4); ";
  for (int i = 0; i < 40; ++i) chain += "add { linear(4); from(a) } ";
  const Plan plan = training_plan(chain + "loss mse; }");
  for (const Group& group : plan.groups) CHECK(group.inputs.size() + group.outputs.size() <= max_operands);
}

// ---- Concat ---------------------------------------------------------------------------------------------------------

/// A value in two shapes: as a branch of `joined`, where it comes first, and flattened or reshaped.
struct Branch {
  std::string name;
  std::string layers;
};

const std::vector<Branch>& branches() {
  static const std::string rows = "input x: f32[N, 6]; branch: linear(12);";
  static const std::string image = "input x: f32[N, 3, 8, 8]; branch: conv(5, 3);";
  static const std::string join_rows = "joined: concat { from(branch); from(x) -> linear(4) }";
  static const std::string join_images = "joined: concat { from(branch); from(x) -> conv(5, 3) }";
  static const std::vector<Branch> all{
      {"reshaped after the concat", rows + join_rows + "other: from(branch) -> reshape((3, 4));"},
      {"reshaped before the concat", rows + "other: from(branch) -> reshape((3, 4));" + join_rows},
      {"reshaped after the concat by another name",
       rows + "name: identity;" + join_rows + "other: from(name) -> identity -> reshape((3, 4));"},
      {"flattened after the concat", image + join_images + "other: from(branch) -> flatten;"},
      {"flattened before the concat", image + "other: from(branch) -> flatten;" + join_images},
      {"in two concats, then flattened",
       image + join_images + "concat { from(x) -> conv(1, 3); from(branch) }" + "other: from(branch) -> flatten;"},
  };
  return all;
}

TEST_CASE("a branch of a concat that others reshape is the same in both places") {
  constexpr std::size_t batch = 5;
  for (const Branch& branch : branches()) {
    CAPTURE(branch.name);
    const test::CompiledNetwork network("model m { " + branch.layers + " output other, joined; loss mse; }");
    REQUIRE_MESSAGE(!network.diagnostics.has_errors(), network.diagnostics.text());
    for (int lanes : {1, 16}) {
      CAPTURE(lanes);
      test::NetworkRunner runner(network, batch, lanes, Halide::Float(64));
      runner.run().run();
      const std::vector<double> other = runner.run().get(runner.graph().outputs[0]);
      const std::vector<double> joined = runner.run().get(runner.graph().outputs[1]);
      const std::size_t elements = other.size() / batch;
      for (std::size_t i = 0; i < batch; ++i) {
        const auto part = joined.begin() + static_cast<std::ptrdiff_t>(i * joined.size() / batch);
        CHECK(std::equal(part, part + static_cast<std::ptrdiff_t>(elements),
                         other.begin() + static_cast<std::ptrdiff_t>(i * elements)));
      }
      CHECK(runner.worst_difference() == "");
    }
  }
}

TEST_CASE("in evaluation, what the loss is computed from lives until all else is computed") {
  const Elaboration model(R"(model m {
    input x: f32[N, 3, 8, 8];
    a: conv(3, 3, pad = 1);
    from(x) -> conv(3, 3, pad = 1);
    b: sigmoid;
    output a, b;
    loss mse;
  })");
  LaidOutGraph laid_out = lay_out(for_evaluation(model.graph()), 16);
  std::vector<Group> groups = fuse(laid_out.graph, laid_out.layouts);
  const Plan plan = plan_memory(std::move(laid_out), std::move(groups));
  const auto loss = std::find_if(plan.groups.begin(), plan.groups.end(),
                                 [&](const Group& group) { return computes_loss(plan.graph, group); });
  REQUIRE(loss != plan.groups.end());
  REQUIRE(loss + 1 != plan.groups.end());  // outputs are copied into rows behind it
  verify(plan, "plan");
  for (const Group& group : plan.groups) {
    for (ValueId output : group.outputs) {
      for (ValueId input : loss->inputs) {
        if (output == input || plan.place(input).space != Space::arena) continue;
        CHECK(plan.place(output).offset != plan.place(input).offset);
      }
    }
  }
}

TEST_CASE("what reads a cheap value twice reads one copy of it") {
  const auto outputs_of = [](const std::string& sum) {
    const test::CompiledNetwork network("model m { input image: f32[N, 3, 4, 4]; bn: batchnorm; side: sigmoid; " + sum +
                                        " loss mse; }");
    REQUIRE_MESSAGE(!network.diagnostics.has_errors(), network.diagnostics.text());
    constexpr int batch = 5;
    test::NetworkRunner runner(network, batch, 1, Halide::Float(64));
    std::vector<double> image(batch * 3 * 4 * 4);
    for (std::size_t i = 0; i < image.size(); ++i) image[i] = std::sin(static_cast<double>(i * i));
    runner.set("image", image);
    runner.set("bn.weight", {0.5, 1, 1.5});
    runner.set("bn.bias", {-1, 0, 1});
    CHECK(runner.worst_difference() == "");
    return runner.output();
  };
  const auto furthest = [](const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double distance = 0;
    for (std::size_t i = 0; i < a.size(); ++i) distance = std::max(distance, std::abs(a[i] - b[i]));
    return distance;
  };
  const std::vector<double> twice = outputs_of("add { from(bn) -> scale(2); from(side) }");
  CHECK(furthest(outputs_of("add { from(bn); from(bn); from(side) }"), twice) < 1e-12);
  const std::vector<double> thrice = outputs_of("from(bn) -> scale(3);");
  CHECK(furthest(outputs_of("add { from(bn); from(bn); from(bn) }"), thrice) < 1e-12);
}

TEST_CASE("a plan is refused where a value does not lie as the memory that it is in, or is read too early") {
  const test::CompiledNetwork network("model m { " + branches().front().layers + " loss mse; }");
  LaidOutGraph laid_out = lay_out(network.training);
  std::vector<Group> groups = fuse(laid_out.graph, laid_out.layouts);
  REQUIRE(groups.size() > 1);
  const Plan plan = plan_memory(laid_out, groups);
  verify(plan, "plan");
  const auto part = std::find_if(laid_out.aliases.begin(), laid_out.aliases.end(),
                                 [&](const Alias& alias) { return alias.root != &alias - laid_out.aliases.data(); });
  REQUIRE(part != laid_out.aliases.end());
  Plan wrong = plan;
  ++wrong.layouts[static_cast<std::size_t>(part - laid_out.aliases.begin())].block_stride;
  CHECK_THROWS_WITH_AS(verify(wrong, "plan"), doctest::Contains("lies in %"), std::logic_error);
  wrong = plan;
  std::swap(wrong.groups.front(), wrong.groups.back());
  CHECK_THROWS_WITH_AS(verify(wrong, "plan"), doctest::Contains("before it is written"), std::logic_error);
}

// ---- What is computed again -----------------------------------------------------------------------------------------

/// Batch statistics, random masks, branches into one image, indices of maxima, features.
constexpr const char* mixed = R"(model mixed {
  input image: f32[N, 2, 16, 16];
  conv(20, 3, pad = 1, bias = false) -> batchnorm -> relu;
  concat {
    conv(24, 3, pad = 1) -> relu -> dropout(0.3);
    conv(8, 1) -> batchnorm -> relu;
    maxpool(3, stride = 1, pad = 1) -> conv(8, 1) -> relu;
  }
  maxpool(2) -> dropout(0.2);
  add { conv(40, 3, pad = 1) -> batchnorm; identity } -> relu;
  conv(20, 3, pad = 1) -> relu -> conv(20, 3, pad = 1) -> relu -> conv(20, 3, pad = 1) -> relu;
  globalavgpool -> flatten -> linear(24) -> relu -> dropout(0.5) -> linear(3);
  loss mse;
  train { batch = 5; optimizer = sgd(lr = 0.01, momentum = 0.9); }
}
)";

std::vector<std::string> repeated(const Plan& plan) {
  std::vector<std::string> names;
  for (int group : plan.repeated) names.push_back(plan.groups[static_cast<std::size_t>(group)].name);
  return names;
}

std::int64_t macs(const Plan& plan, const std::vector<int>& groups) {
  std::int64_t sum = 0;
  for (int group : groups) {
    for (int index : plan.groups[static_cast<std::size_t>(group)].nodes) {
      const Node& node = plan.graph.nodes[static_cast<std::size_t>(index)];
      if (node.op->macs) sum += node.op->macs(plan.graph, node);
    }
  }
  return sum;
}

TEST_CASE("a plan that fits stays as it is") {
  const Plan plan = training_plan(mixed);
  const Plan same = recompute(plan, 5, plan.memory.bytes(5));
  CHECK(same.repeated.empty());
  CHECK(print(same) == print(plan));
}

TEST_CASE("every limit down to the least is kept, with more and more computed again") {
  const Plan plan = training_plan(mixed);
  const std::int64_t least = recompute(plan, 5, 0).memory.bytes(5);
  CHECK(least < plan.memory.bytes(5));
  std::size_t before = 0;
  for (int part = 7; part >= 0; --part) {
    CAPTURE(part);
    const std::int64_t limit = least + (plan.memory.bytes(5) - least) * part / 8;
    const Plan limited = recompute(plan, 5, limit);
    CHECK(limited.memory.bytes(5) <= limit);
    CHECK(limited.groups.size() == plan.groups.size() + limited.repeated.size());
    CHECK(limited.forward_groups == plan.forward_groups);
    CHECK(limited.repeated.size() >= before);
    before = limited.repeated.size();
    verify(limited.graph, "recompute");
    verify(limited, "recompute");
  }
}

TEST_CASE("running statistics change once") {
  const Plan plan = recompute(training_plan(mixed), 5, 0);
  for (const std::string& name : repeated(plan)) CHECK(name.find("statistics") == std::string::npos);
  const auto updates = [&](const Value& value) { return value.updates != no_value; };
  CHECK(std::count_if(plan.graph.values.begin(), plan.graph.values.end(), updates) == 6);
}

TEST_CASE("what takes no multiply-adds is computed again first") {
  const Plan plan = training_plan(mixed);
  const Plan limited = recompute(plan, 5, plan.memory.bytes(5) - 1);
  REQUIRE_FALSE(limited.repeated.empty());
  CHECK(macs(limited, limited.repeated) == 0);
}

TEST_CASE("a deep chain needs about the square root of its layers, for less than a second forward pass") {
  const Plan plan = training_plan(R"(model chain {
    input image: f32[N, 32, 8, 8];
    repeat 48 { conv(32, 3, pad = 1) -> relu }
    globalavgpool -> flatten -> linear(2);
    loss cross_entropy;
  })");
  constexpr std::int64_t image = 32 * 8 * 8 * 4;
  CHECK(plan.memory.per_example >= 48 * image);
  const Plan limited = recompute(plan, 1, 20 * image);
  CHECK(limited.memory.per_example <= 20 * image);
  std::vector<int> forward(static_cast<std::size_t>(plan.forward_groups));
  std::iota(forward.begin(), forward.end(), 0);
  CHECK(macs(limited, limited.repeated) < macs(plan, forward));
}

// ---- Sizes ----------------------------------------------------------------------------------------------------------

TEST_CASE("sizes of memory") {
  CHECK(parse_memory_size("512M") == 512LL << 20);
  CHECK(parse_memory_size("2GiB") == 2LL << 30);
  CHECK(parse_memory_size("2gb") == 2'000'000'000LL);
  CHECK(parse_memory_size("1.5k") == 1536);
  CHECK(parse_memory_size("3T") == 3LL << 40);
  CHECK(parse_memory_size("4096") == 4096);
  CHECK(parse_memory_size("7B") == 7);
  for (const char* wrong :
       {"", "0", "0M", "-1G", "much", "M", "5X", "5 M", "5MM", "5Mi", "nan", "inf", "1e300", "0.1"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_memory_size(wrong));
  }
  CHECK(memory_text(64) == "64 bytes");
  CHECK(memory_text(3 << 9) == "1.5 KiB");
  CHECK(memory_text(5 << 20) == "5.0 MiB");
}

TEST_CASE("a wrong size is a wrong usage") {
  const test::WorkingFolder folder;
  const test::CommandResult result = test::run_netc({"summary", "model.net", "--max-memory", "0"});
  CHECK(result.status == 2);
  CHECK(test::contains(result.err, "'0' is not a size of memory, such as 512M or 2GiB"));
}

TEST_CASE("--max-memory holds on a GPU, too, which takes the batch and the scratch memory of kernels") {
  const test::WorkingFolder folder;
  const auto memory = [&](const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"summary", folder.before() / "models/resnet18.net", "--json", "--target",
                                       "cuda"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const test::CommandResult result = test::run_netc(arguments);
    REQUIRE_MESSAGE(result.status == 0, result.err);
    return nlohmann::json::parse(result.out);
  };
  const nlohmann::json full = memory({});
  const std::int64_t on_cpu = full["memory"]["training"];
  const std::int64_t on_gpu = full["gpu"]["memory"]["training"];
  CHECK(on_gpu > on_cpu + std::int64_t{256} * 3 * 96 * 96 * 4);  // the images
  const std::int64_t enough_for_cpu = (on_cpu + on_gpu) / 2;
  const nlohmann::json within = memory({"--max-memory", std::to_string(enough_for_cpu)});
  CHECK(within["gpu"]["memory"]["training"] <= enough_for_cpu);
  CHECK_FALSE(within["memory"]["recomputed"]["layers"].empty());
}

// ---- Programs -------------------------------------------------------------------------------------------------------

nlohmann::json summary(const std::vector<std::string>& options) {
  std::vector<std::string> arguments{"summary", "mixed.net", "--json"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const test::CommandResult result = test::run_netc(arguments);
  REQUIRE_MESSAGE(result.status == 0, result.err);
  return nlohmann::json::parse(result.out);
}

/// Less than is kept, more than the least.
std::string tight() {
  const Plan plan = training_plan(mixed);
  const std::int64_t standing = summary({}).at("memory").at("training").get<std::int64_t>() - plan.memory.bytes(5);
  return std::to_string(standing + recompute(plan, 5, 0).memory.bytes(5));
}

/// What a program begins with.
void write_weights() {
  const Elaboration model(mixed);
  std::vector<std::vector<float>> values;
  std::vector<NamedTensor> tensors;
  for (const Value& value : model.graph().values) {
    if (value.role != Role::parameter && value.role != Role::buffer) continue;
    values.push_back(model.initial(value.name));
    tensors.push_back({value.name, {values.back().data(), Extents(value.shape.extents())}});
  }
  write_safetensors("weights.safetensors", tensors);
}

void build(const std::string& folder, const std::vector<std::string>& options) {
  std::vector<std::string> arguments{"build", "--native", "mixed.net", "-o", folder};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const test::CommandResult result = test::run_netc(arguments);
  REQUIRE_MESSAGE(result.status == 0, result.err);
}

/// Everything that three steps leave: losses, parameters, running statistics.
std::string three_steps(const std::string& folder) {
  const test::CommandResult result = test::run_command(
      {folder + "/mixed", "run", "--weights", "weights.safetensors", "--input", "image=image.npy", "--label",
       "label.npy", "--steps", "3", "--seed", "9", "--gradients", folder + ".gradients", "--save", folder + ".after"});
  REQUIRE_MESSAGE(result.status == 0, result.err);
  return result.out + read_text(folder + ".gradients") + read_text(folder + ".after");
}

void check_bill(const std::string& folder, const nlohmann::json& memory, const std::string& mode, const char* pass,
                const std::string& batch = "5") {
  const test::CommandResult result =
      test::run_command({folder + "/mixed", "bench", "--mode", mode, "--seconds", "0.01", "--batch", batch, "--json"});
  REQUIRE_MESSAGE(result.status == 0, result.err);
  const auto used = nlohmann::json::parse(result.out);
  CHECK(used.at("peak_bytes").get<std::int64_t>() - used.at("scratch_bytes").get<std::int64_t>() == memory.at(pass));
}

TEST_CASE("programs hold what the summary says, and compute the same bits within --max-memory") {
  const test::WorkingFolder folder;
  test::write_text("mixed.net", mixed);
  const auto numbers = [](std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
    return values;
  };
  write_npy("image.npy", {numbers(5 * 2 * 16 * 16).data(), {5, 2, 16, 16}});
  write_npy("label.npy", {numbers(5 * 3).data(), {5, 3}});
  write_weights();
  const std::string limit = tight();
  build("full", {});
  build("tight", {"--max-memory", limit});
  CHECK(three_steps("full") == three_steps("tight"));

  const nlohmann::json full = summary({}).at("memory");
  const nlohmann::json within = summary({"--max-memory", limit}).at("memory");
  CHECK(within.at("training") <= std::stoll(limit));
  CHECK_FALSE(within.at("recomputed").at("layers").empty());
  // Of many examples a training step takes more than evaluation, which has weights prepared.
  check_bill("full", summary({"--batch", "40"}).at("memory"), "train", "training", "40");
  check_bill("full", full, "infer", "forward");
  check_bill("tight", within, "train", "training");
}

}  // namespace
}  // namespace netc

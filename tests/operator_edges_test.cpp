// What samples do not show of operators: ties, extreme numbers, wrong labels, random masks, many examples, wrong
// shapes.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "compiler/ops/ops.h"
#include "operator_cases.h"

namespace netc::test {
namespace {

constexpr std::int64_t n = Shape::batch;
const Halide::Type f64 = Halide::Float(64);
const Halide::Type f32 = Halide::Float(32);

std::int64_t elements(const Experiment& e, const std::string& name, int batch) {
  const Shape& shape = e.graph[e.given.at(name)].shape;
  return shape.elements() * (shape.has_batch() ? batch : 1);
}

/// Distinct numbers in (-2, 2), different for each stream.
std::vector<double> numbers(std::int64_t count, int stream) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(4 * (static_cast<double>((i * 3571 + stream * 1009 + 17) % 10007) + 0.25) / 10007 - 2);
  }
  return result;
}

ValueId gradient_of(const Experiment& e, const std::string& name) {
  const auto pair = std::find_if(e.graph.gradients.begin(), e.graph.gradients.end(),
                                 [&](const auto& p) { return p.first == e.given.at(name); });
  REQUIRE(pair != e.graph.gradients.end());
  return pair->second;
}

/// The losses of one example each, and the gradient.
struct Losses {
  std::vector<double> losses;
  std::vector<double> gradient;
};

Losses cross_entropy(const std::vector<double>& logits, const std::vector<double>& labels, int lanes) {
  const auto classes = static_cast<std::int64_t>(logits.size() / labels.size());
  const Sample sample{"given", {{n, classes}}, {{"label_smoothing", 0.0}}};
  Experiment e = training({ops::cross_entropy, sample});
  const auto run = runner(e, static_cast<int>(labels.size()), lanes, f32, Inputs::activations);
  run->set(e.given.at("input0"), logits);
  run->set(e.given.at("label"), labels);
  run->run();
  return {run->get(e.output), run->get(gradient_of(e, "input0"))};
}

/// What dropout makes of ones.
struct Dropout {
  std::uint32_t seed = 1;
  std::uint32_t step = 0;
  std::int64_t stream = 0;
  int lanes = 1;
  Halide::Type real = Halide::Float(32);

  std::vector<double> ones() const {
    constexpr int batch = 5;
    const Sample sample{"large", {{n, 8, 16, 16}}, {{"p", 0.3}}};
    Experiment e = training({ops::dropout, sample});
    for (Node& node : e.graph.nodes) {
      if (node.op == &ops::dropout_mask) node.attributes.set("stream", stream);
    }
    const auto run = runner(e, batch, lanes, real, Inputs::activations);
    const std::vector<double> one(static_cast<std::size_t>(elements(e, "input0", batch)), 1.0);
    run->set(e.given.at("input0"), one);
    run->set_gradient(e.given.at("projection"), one);
    run->seed(seed, step);
    run->run();
    CHECK(run->get(gradient_of(e, "input0")) == run->get(e.output));
    return run->get(e.output);
  }
};

/// The share of places where both are zero or both are not.
double agreement(const std::vector<double>& a, const std::vector<double>& b) {
  double same = 0;
  for (std::size_t i = 0; i < a.size(); ++i) same += (a[i] == 0) == (b[i] == 0) ? 1 : 0;
  return same / static_cast<double>(a.size());
}

const Sample& sample_of(const Operator& op, const std::string& name) {
  return *std::find_if(op.samples.begin(), op.samples.end(), [&](const Sample& s) { return s.name == name; });
}

/// Gradients for `copies` times the same five examples.
std::map<std::string, std::vector<double>> repeated(const Case& c, int copies, int lanes) {
  constexpr int distinct = 5;
  Experiment e = training(c);
  const auto run = runner(e, distinct * copies, lanes, f64, Inputs::activations);
  for (const auto& [name, value] : e.given) {
    std::vector<double> once = numbers(elements(e, name, distinct), static_cast<int>(value));
    if (name == "running_var") std::fill(once.begin(), once.end(), 1.0);
    std::vector<double> all;
    const bool batched = e.graph[value].shape.has_batch();
    for (int i = 0; i < (batched ? copies : 1); ++i) all.insert(all.end(), once.begin(), once.end());
    name == "projection" ? run->set_gradient(value, all) : run->set(value, all);
  }
  run->run();
  std::map<std::string, std::vector<double>> result;
  for (const auto& [value, gradient] : e.graph.gradients) result[e.graph[value].name] = run->get(gradient);
  return result;
}

std::string error_code(const Operator& op, const std::vector<Shape>& inputs, const Attributes& attributes) {
  const Inference inference = op.infer(inputs, attributes);
  return inference.error ? inference.error->code : "";
}

}  // namespace

TEST_CASE("maxpool: of equal pixels the first gets the gradient") {
  for (int lanes : {1, 16}) {
    Experiment e = training({ops::maxpool, sample_of(ops::maxpool, "halves")});
    const auto run = runner(e, 1, lanes, f32, Inputs::activations);
    run->set(e.given.at("input0"), std::vector<double>(3 * 8 * 6, 1.0));
    run->set_gradient(e.given.at("projection"), std::vector<double>(3 * 4 * 3, 2.0));
    run->run();
    const std::vector<double> gradient = run->get(gradient_of(e, "input0"));
    for (int i = 0; i < 3 * 8 * 6; ++i) {
      const bool first = i / 6 % 2 == 0 && i % 2 == 0;
      CHECK(gradient[static_cast<std::size_t>(i)] == (first ? 2.0 : 0.0));
    }
  }
}

TEST_CASE("cross_entropy: large scores neither overflow nor vanish") {
  for (int lanes : {1, 16}) {
    const Losses result = cross_entropy({1000, 0, -1000, 1000, 0, -1000}, {0, 2}, lanes);
    CHECK(result.losses == std::vector<double>{0, 2000});
    CHECK(result.gradient == std::vector<double>{0, 0, 0, 0.5, 0, -0.5});
  }
}

TEST_CASE("cross_entropy: a label outside of the classes counts as the nearest") {
  for (int lanes : {1, 16}) {
    const std::vector<double> logits{0.5, 1.5, -1, 2, 0, 1, 0.25, 3, 0};
    const Losses outside = cross_entropy(logits, {-7, 2000000000, 1}, lanes);
    const Losses inside = cross_entropy(logits, {0, 2, 1}, lanes);
    CHECK(outside.losses == inside.losses);
    CHECK(outside.gradient == inside.gradient);
  }
}

TEST_CASE("dropout: scales what it keeps, and keeps a share of 1 - p") {
  const std::vector<double> masked = Dropout{}.ones();
  const auto kept = std::count_if(masked.begin(), masked.end(), [](double x) { return x != 0; });
  CHECK(static_cast<double>(kept) / static_cast<double>(masked.size()) == doctest::Approx(0.7).epsilon(0.02));
  for (double x : masked) CHECK((x == 0 || x == doctest::Approx(1 / 0.7)));
}

TEST_CASE("dropout: the mask depends on seed, step and stream alone") {
  const std::vector<double> masked = Dropout{}.ones();
  CHECK(agreement(masked, Dropout{.lanes = 16}.ones()) == 1);
  CHECK(agreement(masked, Dropout{.real = f64}.ones()) == 1);
  const double by_chance = 0.3 * 0.3 + 0.7 * 0.7;
  for (const Dropout& other : {Dropout{.seed = 2}, Dropout{.step = 1}, Dropout{.stream = 1}}) {
    CHECK(agreement(masked, other.ones()) == doctest::Approx(by_chance).epsilon(0.03));
  }
}

TEST_CASE("batchnorm: one example of one pixel has variance 0, and no statistic becomes NaN") {
  const Sample sample{"features", {{n, 3}}, {{"eps", 1e-5}, {"momentum", 0.5}}};
  Experiment e = training({ops::batchnorm, sample});
  const auto run = runner(e, 1, 1, f32, Inputs::activations);
  for (const char* name : {"input0", "weight", "running_mean", "running_var"}) {
    run->set(e.given.at(name), {1, 2, 3});
  }
  run->set(e.given.at("bias"), {4, 5, 6});
  run->set_gradient(e.given.at("projection"), {1, 1, 1});
  run->run();
  CHECK(run->get(e.output) == std::vector<double>{4, 5, 6});
  CHECK(run->get(e.given.at("running_mean")) == std::vector<double>{1, 2, 3});
  CHECK(run->get(e.given.at("running_var")) == std::vector<double>{0.5, 1, 1.5});
}

TEST_CASE("gradients add up over many blocks and slices of examples") {
  constexpr int copies = 61;  // 305 examples: neither blocks of 16 nor slices of blocks come out even
  for (const Operator* op : {&ops::conv, &ops::linear, &ops::batchnorm}) {
    for (int lanes : {1, 16}) {
      CAPTURE(op->name);
      CAPTURE(lanes);
      const auto once = repeated({*op, op->samples[0]}, 1, lanes);
      const auto often = repeated({*op, op->samples[0]}, copies, lanes);
      for (const auto& each : once) {
        CAPTURE(each.first);
        const std::vector<double>& gradient = each.second;
        const std::vector<double>& sums = often.at(each.first);
        const double factor = sums.size() == gradient.size() ? copies : 1;  // of an input: once an example
        double worst = 0;
        for (std::size_t i = 0; i < sums.size(); ++i) {
          const double distance = std::abs(sums[i] - factor * gradient[i % gradient.size()]);
          if (!(distance <= worst)) worst = std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance;
        }
        CHECK(worst < 1e-9);
      }
    }
  }
}

TEST_CASE("linear: more weights than a cache holds, in training and prepared in evaluation") {
  constexpr int batch = 37;
  constexpr std::int64_t features = 1024;
  constexpr std::int64_t outputs = 528;
  const Sample sample{"large", {{n, features}}, {{"features", outputs}, {"bias", true}}};
  const Case linear{ops::linear, sample};
  for (const bool trains : {true, false}) {
    CAPTURE(trains);
    Experiment e = trains ? training(linear) : evaluation(linear);
    if (!trains) round_in_evaluation(e.graph, Precision::f32, false);
    const auto run = runner(e, batch, 1, f32, Inputs::activations);
    std::map<std::string, std::vector<double>> given;
    for (const auto& [name, value] : e.given) {
      given[name] = numbers(elements(e, name, batch), static_cast<int>(value));
      if (name != "projection") run->set(value, given[name]);
    }
    if (trains) run->set_gradient(e.given.at("projection"), std::vector<double>(batch * outputs, 1.0));
    run->run();
    const std::vector<double> found = run->get(e.output);
    const std::vector<double>& x = given.at("input0");
    const std::vector<double>& weight = given.at("weight");
    REQUIRE(static_cast<std::int64_t>(found.size()) == batch * outputs);
    double worst = 0;
    for (std::int64_t i = 0; i < batch * outputs; ++i) {
      const auto row = x.begin() + i / outputs * features;
      const double sum = std::inner_product(row, row + features, weight.begin() + i % outputs * features,
                                            given.at("bias")[static_cast<std::size_t>(i % outputs)]);
      const double distance = std::abs(found[static_cast<std::size_t>(i)] - sum);
      if (!(distance <= worst)) worst = distance;
    }
    CHECK(worst < 1e-3);  // of sums of 1024 products of up to 4
  }
}

TEST_CASE("shape rules refuse what an operator cannot take") {
  const Shape image{n, 4, 9, 8};
  const Shape features{n, 12};
  const Attributes window{{"kernel", 3}, {"stride", 2}, {"pad", 0}};
  const Attributes wide{{"kernel", IntPair{3, 9}}, {"stride", 1}, {"pad", 0}};
  const Attributes padded{{"kernel", 3}, {"stride", 1}, {"pad", 2}};
  for (const Operator* pool : {&ops::maxpool, &ops::avgpool}) {
    CAPTURE(pool->name);
    CHECK(error_code(*pool, {features}, window) == "N203");
    CHECK(error_code(*pool, {image}, wide) == "N202");
    CHECK(error_code(*pool, {image}, padded) == "N209");
    CHECK(error_code(*pool, {image}, window) == "");
    const Inference inference = pool->infer({image}, window);
    REQUIRE(inference.warnings.size() == 1);  // the last column
    CHECK(inference.warnings[0].code == "W401");
  }
  CHECK(error_code(ops::globalavgpool, {features}, {}) == "N203");
  CHECK(error_code(ops::adaptiveavgpool, {features}, {{"size", 1}}) == "N203");
  CHECK(error_code(ops::batchnorm, {{n, 4, 9}}, {}) == "N203");
  CHECK(error_code(ops::softmax, {features}, {{"axis", 2}}) == "N203");
  CHECK(error_code(ops::cross_entropy, {image}, {}) == "N203");
}

}  // namespace netc::test

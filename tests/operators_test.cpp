// Every operator of the table, in both layouts: outputs and gradients against PyTorch's and against finite differences.
#include <doctest/doctest.h>

#include <Halide.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/graph/precision.h"
#include "operator_cases.h"
#include "operator_vectors.h"

using namespace netc;
using namespace netc::test;

namespace {

constexpr int batch = vectors_batch;
const Halide::Type f64 = Halide::Float(64);
const Halide::Type f32 = Halide::Float(32);

// ---- Finite differences ---------------------------------------------------------------------------------------------

double loss(GraphRunner& run, const Case& c, const Experiment& e) {
  run.run_forward();
  double sum = 0;
  for (double element : run.get(e.output)) sum += element;
  return c.op.is_loss ? sum / batch : sum;
}

void check_differences(GraphRunner& run, const Case& c, const Experiment& e, const Vectors& given) {
  for (const auto& [value, gradient] : e.graph.gradients) {
    const std::string name = e.graph[value].name;
    CAPTURE(name);
    const auto summed = [&] { return loss(run, c, e); };
    CHECK(run.worst_difference(value, given.at(name), run.get(gradient), summed, {100, 1e-5, 1e-3}) == "");
  }
}

// ---- The list of samples that the vectors were made from ------------------------------------------------------------

nlohmann::ordered_json to_json(const Attribute& attribute) {
  if (const auto* pair = std::get_if<IntPair>(&attribute)) return {pair->first, pair->second};
  if (const auto* integer = std::get_if<std::int64_t>(&attribute)) return *integer;
  if (const auto* real = std::get_if<double>(&attribute)) return *real;
  if (const auto* list = std::get_if<IntList>(&attribute)) return *list;
  return std::get<bool>(attribute);
}

/// A line a sample: {"name", "op", "inputs", "attributes"}.
std::string samples_text() {
  std::string text;
  for (const Case& c : cases()) {
    nlohmann::ordered_json sample{{"name", c.name()}, {"op", c.op.name}};
    for (Shape shape : c.sample.inputs) {
      shape[0] = batch;
      sample["inputs"].push_back(shape.extents());
    }
    sample["attributes"] = nlohmann::ordered_json::object();
    for (const auto& [name, value] : c.sample.attributes.all()) sample["attributes"][name] = to_json(value);
    text += sample.dump() + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("PyTorch's vectors were made from the samples of the table") {
  const std::filesystem::path file = vectors_folder() / "samples.jsonl";
  if (std::getenv("NETC_UPDATE_SAMPLES") != nullptr) std::ofstream(file) << samples_text();
  std::ostringstream committed;
  committed << std::ifstream(file).rdbuf();
  INFO("after a change: NETC_UPDATE_SAMPLES=1 build/tests/operators_test, then tests/parity/operators.py");
  CHECK(committed.str() == samples_text());
}

TEST_CASE("every operator of the language has a shape rule, documentation and samples") {
  for (const Operator* op : operators()) {
    CAPTURE(op->name);
    CHECK(!op->doc.empty());
    if (!op->in_language) continue;
    CHECK(op->infer);
    CHECK(!op->samples.empty());
    for (const AttributeSpec& attribute : op->attributes) CHECK(!attribute.doc.empty());
    for (const Sample& sample : op->samples) {
      for (const AttributeSpec& attribute : op->attributes) CHECK(sample.attributes.has(attribute.name));
    }
  }
}

namespace {

/// Runs `check` on samples in both layouts. One that fails does not hide the others.
void for_each(const std::vector<Case>& cases, const std::function<void(const Case&, int lanes)>& check) {
  for (const Case& c : cases) {
    for (int lanes : {1, 16}) {
      CAPTURE(c.name());
      CAPTURE(lanes);
      try {
        check(c, lanes);
      } catch (const Halide::Error& error) {
        FAIL_CHECK(std::string(error.what()));
      }
    }
  }
}

std::vector<Case> cases_where(const std::function<bool(const Case&)>& wanted) {
  std::vector<Case> result;
  for (const Case& c : cases()) {
    if (wanted(c)) result.push_back(c);
  }
  return result;
}

}  // namespace

TEST_CASE("in double, training agrees with PyTorch and with finite differences") {
  for_each(cases(), [](const Case& c, int lanes) {
    const Vectors expected = read_vectors(c);
    Experiment e = training(c);
    const auto run = runner(e, batch, lanes, f64, Inputs::activations);
    set(*run, e, expected);
    run->run();
    if (expected.contains("output.train")) compare(*run, e, expected, 1e-10);
    check_differences(*run, c, e, expected);
  });
}

TEST_CASE("in single precision, training agrees with PyTorch on inputs in rows") {
  const auto is_first = [](const Case& c) { return &c.sample == &c.op.samples[0]; };
  for_each(cases_where(is_first), [](const Case& c, int lanes) {
    const Vectors expected = read_vectors(c);
    Experiment e = training(c);
    const auto run = runner(e, batch, lanes, f32, Inputs::rows);
    set(*run, e, expected);
    run->run();
    if (expected.contains("output.train")) compare(*run, e, expected, 1e-5);
  });
}

TEST_CASE("schedules for a few examples agree with PyTorch") {
  for (const Case& c : cases_where([](const Case& c) { return c.op.schedules_few; })) {
    CAPTURE(c.name());
    const Vectors expected = read_vectors(c);
    Experiment e = training(c);
    const auto run = runner(e, batch, 1, f64, Inputs::rows, {}, true);
    set(*run, e, expected);
    run->run();
    compare(*run, e, expected, 1e-10);
  }
}

TEST_CASE("where evaluation differs from training, it agrees with PyTorch") {
  const auto differs = [](const Case& c) { return c.op.in_evaluation || c.op.transforms; };
  for_each(cases_where(differs), [](const Case& c, int lanes) {
    const Vectors expected = read_vectors(c);
    Experiment e = evaluation(c);
    round_in_evaluation(e.graph, Precision::f32, false);
    const auto run = runner(e, batch, lanes, f32, Inputs::rows);
    set(*run, e, expected);
    run->run();
    CHECK(error(run->get(e.output), expected.at("output.eval")) <= 1e-5);
  });
}

// ---- bf16 -----------------------------------------------------------------------------------------------------------

namespace {

std::vector<Case> cases_in_bf16() {
  return cases_where([](const Case& c) { return c.op.multiplies_bf16; });
}

/// Numbers that are rounded to `x`, which are bf16, in both directions.
std::vector<double> near(std::vector<double> x) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= 1 + (i % 2 == 0 ? 1 : -1) * 0x1p-10;
  return x;
}

/// The operator's training step, of whose `given` only a bias is no factor.
struct InBf16 {
  Halide::Type real;
  int lanes;
  bool few;
  bool dot_products;
};

void check_bf16(const Case& c, const InBf16& how, double tolerance) {
  CAPTURE(c.name());
  CAPTURE(how.lanes);
  const Vectors expected = read_vectors(c, "bf16");
  Experiment e = training(c);
  multiply_bf16(e.graph);
  const auto run = runner(e, batch, how.lanes, how.real, Inputs::activations, {}, how.few, Halide::DeviceAPI::Host,
                          how.dot_products);
  Vectors given = expected;
  for (auto& [name, elements] : given) {
    if (name == "input0" || name == "weight") elements = near(elements);
  }
  set(*run, e, given);
  run->run();
  compare(*run, e, expected, tolerance);
}

}  // namespace

TEST_CASE("in bf16, operators multiply rounded numbers exactly, and add them up in double where they compute in it") {
  for (const Case& c : cases_in_bf16()) {
    check_bf16(c, {f64, 1, false, false}, 1e-10);
    check_bf16(c, {f64, 16, false, false}, 1e-10);
    if (c.op.schedules_few) check_bf16(c, {f64, 1, true, false}, 1e-10);
  }
}

TEST_CASE("in bf16, dot products add up rounded numbers in single precision") {
  for (const Case& c : cases_in_bf16()) {
    check_bf16(c, {f32, 1, false, true}, 1e-5);
    if (c.op.schedules_few) check_bf16(c, {f32, 1, true, true}, 1e-5);
  }
}

namespace {

/// The largest distance from PyTorch's double precision, relative to the norm, of all samples: those that take
/// Winograd's algorithm are off by about 1e-2, others by 2e-3.
void check_evaluation_in_bf16(const Case& c, bool few) {
  CAPTURE(c.name());
  CAPTURE(few);
  const Vectors expected = read_vectors(c);
  Experiment e = evaluation(c);
  for (const auto& [name, value] : e.given) {
    if (name.starts_with("input")) e.graph[value].type = DType::bf16;
  }
  round_in_evaluation(e.graph, Precision::bf16, false);
  const auto run = runner(e, batch, 1, f32, Inputs::activations, {}, few, Halide::DeviceAPI::Host, true);
  set(*run, e, expected);
  run->run();
  const double distance = error(run->get(e.output), expected.at("output.eval"));
  CHECK(distance <= (c.op.name == "conv" ? 1.5e-2 : 4e-3));
  CHECK(distance >= 1e-4);  // it was rounded
}

}  // namespace

TEST_CASE("in bf16, evaluation reads what is stored as bf16 and weights that were prepared") {
  for (const Case& c : cases_where([](const Case& c) { return c.op.prepares; })) {
    for (bool few : {false, true}) check_evaluation_in_bf16(c, few);
  }
}

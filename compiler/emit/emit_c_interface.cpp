// NAME.h and NAME_c.cpp: the model for C, and for every language that can call C.
#include <fmt/format.h>

#include "compiler/emit/emit_parts.h"

namespace netc {

namespace {

/// "const float* image, const int32_t* label"
std::string c_parameters(const Emission& emission, const std::vector<ValueId>& values) {
  std::string text;
  for (ValueId value : values) {
    const DType type = emission.model().graph[value].type;
    text += fmt::format("const {}* {}, ", cpp::c_type(type), emission.argument(value));
  }
  return text;
}

std::string shape_comment(const Graph& graph, const std::vector<ValueId>& values) {
  std::string text;
  for (ValueId value : values)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", graph[value].name, to_string(graph[value].shape));
  return text;
}

/// The pointers of C as the views that the model takes: "{image, {batch, 1, 28, 28}}".
std::string views(const Emission& emission, const std::vector<ValueId>& values) {
  std::string text;
  for (ValueId value : values) {
    std::vector<std::string> extents;
    for (std::int64_t extent : emission.model().graph[value].shape.extents())
      extents.push_back(extent == Shape::batch ? "batch" : std::to_string(extent));
    text += fmt::format("{}{{{}, {}}}", text.empty() ? "" : ", ", emission.argument(value), cpp::braces(extents));
  }
  return text;
}

std::vector<ValueId> inputs_and_labels(const Graph& graph) {
  std::vector<ValueId> all = graph.inputs;
  all.insert(all.end(), graph.labels.begin(), graph.labels.end());
  return all;
}

constexpr const char* access_declarations =
    R"(/* Parameters by path, `"conv.weight"`. Values are PyTorch's, in row-major order, whatever order kernels use; what is
   written counts from the next pass on. */

/* The path of parameter 0, 1, …; null behind the last. */
const char* {0}_parameter(int64_t index);
/* Writes the number of dimensions and, for each, its extent; at most 6. */
int {0}_shape({0}_model* model, const char* path, int64_t* extents, int* dimensions);
/* All elements are copied out or in; `count` is their number. */
int {0}_get({0}_model* model, const char* path, float* elements, int64_t count);
int {0}_set({0}_model* model, const char* path, const float* elements, int64_t count);
/* One element, at as many indices as the parameter has dimensions. */
int {0}_get_element({0}_model* model, const char* path, const int64_t* index, int dimensions, float* element);
int {0}_set_element({0}_model* model, const char* path, const int64_t* index, int dimensions, float element);
)";

constexpr const char* access_definitions = R"(
const char* {0}_parameter(int64_t index) {{
  const auto& parameters = {0}::description().parameters;
  const bool exists = index >= 0 && index < static_cast<int64_t>(parameters.size());
  return exists ? parameters[static_cast<std::size_t>(index)].path.c_str() : nullptr;
}}

int {0}_shape({0}_model* model, const char* path, int64_t* extents, int* dimensions) {{
  return guarded([&] {{
    const netc::Extents shape = model->model.parameter(path).shape();
    std::copy(shape.begin(), shape.end(), extents);
    *dimensions = shape.size();
  }});
}}

int {0}_get({0}_model* model, const char* path, float* elements, int64_t count) {{
  return guarded([&] {{
    const netc::View<float> from = parameter(model, path, count);
    netc::View<float>(elements, from.shape()).copy_from(from);
  }});
}}

int {0}_set({0}_model* model, const char* path, const float* elements, int64_t count) {{
  return guarded([&] {{
    const netc::View<float> to = parameter(model, path, count);
    to.copy_from(netc::View<const float>(elements, to.shape()));
  }});
}}

int {0}_get_element({0}_model* model, const char* path, const int64_t* index, int dimensions, float* element) {{
  return guarded([&] {{ *element = model->model.parameter(path).at(extents(index, dimensions)); }});
}}

int {0}_set_element({0}_model* model, const char* path, const int64_t* index, int dimensions, float element) {{
  return guarded([&] {{ model->model.parameter(path).at(extents(index, dimensions)) = element; }});
}}
)";

std::string train_declaration(const Emission& emission) {
  if (!emission.has_loss()) return "";
  const Graph& graph = emission.model().graph;
  return fmt::format(R"(/* One step of stochastic gradient descent on {1}; writes the mean loss. */
int {0}_train_step({0}_model* model, {2}int64_t batch, double lr, float* loss);
)",
                     emission.name(), shape_comment(graph, inputs_and_labels(graph)),
                     c_parameters(emission, inputs_and_labels(graph)));
}

std::string train_definition(const Emission& emission) {
  if (!emission.has_loss()) return "";
  const Graph& graph = emission.model().graph;
  return fmt::format(R"(
int {0}_train_step({0}_model* model, {1}int64_t batch, double lr, float* loss) {{
  return guarded([&] {{
    netc::Sgd optimizer(lr);
    *loss = model->model.train_step({2}, optimizer);
  }});
}}
)",
                     emission.name(), c_parameters(emission, inputs_and_labels(graph)),
                     views(emission, inputs_and_labels(graph)));
}

}  // namespace

std::string emit_c_header(const Emission& emission) {
  const Graph& graph = emission.model().graph;
  const std::string c_preamble =
      fmt::format("/* The model {0} for C. Generated by netc from {1}: change that file, not this one. */\n",
                  emission.name(), emission.source());
  std::string guard = emission.name() + "_h";
  return c_preamble + fmt::format(R"(#ifndef {1}
#define {1}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

typedef struct {0}_model {0}_model;

/* What went wrong in this thread's last call that did not return 0. */
const char* {0}_error(void);

/* A model initialised from `seed`, or from a safetensors file; a null pointer on failure. */
{0}_model* {0}_create(uint64_t seed);
{0}_model* {0}_create_from(const char* file);
void {0}_destroy({0}_model* model);

/* Parameters and buffers from and to a safetensors file. The functions below return 0, or 1 after an error. */
int {0}_load({0}_model* model, const char* file);
int {0}_save({0}_model* model, const char* file);
/* Lets evaluation keep what it computes from parameters alone; what the functions below set counts as ever. */
int {0}_freeze({0}_model* model);

{6}
/* Evaluation mode: {2} -> {3}, written to `output`. */
int {0}_forward({0}_model* model, {4}int64_t batch, float* output);
{5}
#ifdef __cplusplus
}}
#endif

#endif
)",
                                  emission.name(), guard, shape_comment(graph, graph.inputs),
                                  to_string(graph[graph.outputs[0]].shape), c_parameters(emission, graph.inputs),
                                  train_declaration(emission), fmt::format(access_declarations, emission.name()));
}

std::string emit_c_interface(const Emission& emission) {
  const Graph& graph = emission.model().graph;
  return preamble(emission, fmt::format("The model {} for C.", emission.name())) +
         fmt::format(R"(#include "{0}.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "{0}.hpp"

struct {0}_model {{
  {0}::Model model;
}};

namespace {{

thread_local std::string last_error;

/// Turns exceptions into a status.
template <class Action>
int guarded(Action action) {{
  try {{
    action();
    return 0;
  }} catch (const std::exception& error) {{
    last_error = error.what();
    return 1;
  }}
}}

/// From a seed or a file; a null pointer on failure.
template <class From>
{0}_model* create(const From& from) {{
  {0}_model* model = nullptr;
  guarded([&] {{ model = new {0}_model{{{0}::Model(from)}}; }});
  return model;
}}

netc::Extents extents(const int64_t* values, int count) {{
  return netc::Extents(std::vector<int64_t>(values, values + std::max(count, 0)));
}}

/// The parameter at `path`, if it has this many elements.
netc::View<float> parameter({0}_model* model, const char* path, int64_t count) {{
  netc::View<float> found = model->model.parameter(path);
  if (found.size() == count) return found;
  throw netc::Error(netc::ErrorKind::mismatch, std::string(path) + " has " + std::to_string(found.size()) +
                                                   " elements, not " + std::to_string(count));
}}

}}  // namespace

const char* {0}_error(void) {{ return last_error.c_str(); }}

{0}_model* {0}_create(uint64_t seed) {{ return create(seed); }}

{0}_model* {0}_create_from(const char* file) {{ return create(std::filesystem::path(file)); }}

void {0}_destroy({0}_model* model) {{ delete model; }}

int {0}_load({0}_model* model, const char* file) {{
  return guarded([&] {{ model->model.load(file); }});
}}

int {0}_save({0}_model* model, const char* file) {{
  return guarded([&] {{ model->model.save(file); }});
}}

int {0}_freeze({0}_model* model) {{
  return guarded([&] {{ model->model.freeze(); }});
}}
{4}
int {0}_forward({0}_model* model, {1}int64_t batch, float* output) {{
  return guarded([&] {{
    const netc::View<const float> result = model->model.forward({2});
    std::copy_n(result.data(), result.size(), output);
  }});
}}
{3})",
                     emission.name(), c_parameters(emission, graph.inputs), views(emission, graph.inputs),
                     train_definition(emission), fmt::format(access_definitions, emission.name()));
}

}  // namespace netc

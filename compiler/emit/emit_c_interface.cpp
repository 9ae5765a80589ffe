// NAME.h and NAME_c.cpp: the model for C, and for every language that can call C. What the functions do is
// netc/c_interface.h.
#include <fmt/format.h>

#include "compiler/emit/emit_parts.h"

namespace netc {

namespace {

using Texts = std::vector<std::string>;

/// A function for C: what the header says, of those behind it without a comment, too; and the statement that it is.
struct CFunction {
  std::string comment;
  std::string result;
  std::string name;  // behind "MODEL_"
  Texts parameters;
  std::string body;
};

/// "const float* image", "const int32_t* label"
Texts pointers(const Emission& emission, const std::vector<ValueId>& values) {
  Texts texts;
  for (ValueId value : values) {
    const DType type = emission.model().graph[value].type;
    texts.push_back(fmt::format("const {}* {}", cpp::c_type(type), emission.argument(value)));
  }
  return texts;
}

/// The pointers as tensors: "{netc::View(image, {batch, 1, 28, 28})}".
std::string tensors(const Emission& emission, const std::vector<ValueId>& values) {
  const Graph& graph = emission.model().graph;
  const auto extent = [](std::int64_t of) { return of == Shape::batch ? "batch" : std::to_string(of); };
  const auto view = [&](ValueId value) {
    return fmt::format("netc::View({}, {{{}}})", emission.argument(value),
                       cpp::joined(graph[value].shape.extents(), extent));
  };
  return fmt::format("{{{}}}", cpp::joined(values, view));
}

Texts operator+(Texts texts, const Texts& more) {
  texts.insert(texts.end(), more.begin(), more.end());
  return texts;
}

/// A call of what netc/c_interface.h has, as a function's body.
std::string call(const std::string& function, const Texts& arguments) {
  return cpp::list(fmt::format("  return netc::c::{}(", function), arguments, ");");
}

/// Models, files, parameters and buffers.
std::vector<CFunction> access_functions(const std::string& name) {
  const std::string handle = name + "_model*";
  const std::string model = handle + " model";
  const std::string constant = "const " + model;
  const std::string path = "const char* path";
  const std::string file = "const char* file";
  const Texts index{"const int64_t* index", "int dimensions"};
  const auto make = [&](const char* from) {
    return fmt::format("  return netc::c::create<{0}_model>([&] {{ return {0}::Model({1}); }});\n", name, from);
  };
  const auto paths_of = [&](const char* what) {
    return call("path_of", {fmt::format("{}::description().{}", name, what), "index"});
  };
  return {
      {"What went wrong in this thread's last call that returned no success.",
       "const char*",
       "error",
       {"void"},
       call("last_error", {})},
      {"A model initialised from `seed`, or from a safetensors file; a null pointer on failure. One thread at a time "
       "may "
       "use it.",
       handle,
       "create",
       {"uint64_t seed"},
       make("seed")},
      {"", handle, "create_from", {file}, make("netc::c::path(file)")},
      {"", "void", "destroy", {model}, "  delete model;\n"},
      {"Parameters and buffers from and to a safetensors file. From here on, an `int` is 0, or 1 after an error.",
       "int",
       "load",
       {model, file},
       call("load", {"network(model)", "file"})},
      {"", "int", "save", {constant, file}, call("save", {"network(model)", "file"})},
      {"From now on evaluation packs weights once, not each time; what these functions change counts all the same.",
       "int",
       "freeze",
       {model},
       call("freeze", {"network(model)"})},
      {"Threads to compute with, for all models of this library; 0: one per processor.",
       "int",
       "set_threads",
       {"int threads"},
       call("set_threads", {"threads"})},
      {"The path of parameter, or of buffer, 0, 1, ...; null behind the last.",
       "const char*",
       "parameter",
       {"int64_t index"},
       paths_of("parameters")},
      {"", "const char*", "buffer", {"int64_t index"}, paths_of("buffers")},
      {"A parameter or buffer by its path, such as \"conv.weight\": the number of dimensions, at most 6, and each "
       "extent.",
       "int",
       "shape",
       {constant, path, "int64_t* extents", "int* dimensions"},
       call("shape", {"network(model)", "path", "extents", "dimensions"})},
      {"All elements out or in, row-major in PyTorch's order of dimensions; `count` is their number.",
       "int",
       "get",
       {constant, path, "float* elements", "int64_t count"},
       call("get", {"network(model)", "path", "elements", "count"})},
      {"",
       "int",
       "set",
       {model, path, "const float* elements", "int64_t count"},
       call("set", {"network(model)", "path", "elements", "count"})},
      {"One element, at as many indices as there are dimensions.", "int", "get_element",
       Texts{constant, path} + index + Texts{"float* element"},
       call("get_element", {"network(model)", "path", "index", "dimensions", "element"})},
      {"", "int", "set_element", Texts{model, path} + index + Texts{"float element"},
       call("set_element", {"network(model)", "path", "index", "dimensions", "element"})},
  };
}

CFunction forward_function(const Emission& emission) {
  const Graph& graph = emission.model().graph;
  return {fmt::format("Evaluation mode: {} -> {}, written to `output`; `count` is the number of its elements.",
                      describe(graph, graph.inputs), describe(graph, {graph.outputs[0]})),
          "int", "forward",
          Texts{emission.name() + "_model* model"} + pointers(emission, graph.inputs) +
              Texts{"int64_t batch", "float* output", "int64_t count"},
          call("forward", {"network(model)", tensors(emission, graph.inputs), "output", "count"})};
}

std::vector<CFunction> training_functions(const Emission& emission) {
  const Graph& graph = emission.model().graph;
  const std::string& name = emission.name();
  const std::string model = name + "_model* model";
  const std::string optimizer = name + "_optimizer*";
  const std::string taken = describe(graph, inputs_and_labels(graph));
  const Texts arguments = pointers(emission, inputs_and_labels(graph)) + Texts{"int64_t batch"};
  const std::string inputs = tensors(emission, graph.inputs);
  const std::string labels = tensors(emission, graph.labels);
  return {
      {fmt::format("Evaluation mode, {}: writes the mean loss.", taken), "int", "evaluate_loss",
       Texts{model} + arguments + Texts{"float* loss"},
       call("evaluate_loss", {"network(model)", inputs, labels, "loss"})},
      {"The optimizer of the `train` clause, which may keep something from step to step; a null pointer on failure.",
       optimizer,
       "optimizer_create",
       {"void"},
       fmt::format("  return netc::c::create<{0}_optimizer>([] {{ return "
                   "netc::make_optimizer({0}::description().recipe); }});\n",
                   name)},
      {"", "void", "optimizer_destroy", {optimizer + " optimizer"}, "  delete optimizer;\n"},
      {fmt::format("A training step at the rate `lr`, {}: writes the mean loss from before it.", taken), "int",
       "train_step", Texts{model, optimizer + " optimizer"} + arguments + Texts{"double lr", "float* loss"},
       call("train_step", {"network(model)", "method(optimizer)", "lr", inputs, labels, "loss"})},
      {"The gradient that the last step left of a parameter.",
       "int",
       "gradient",
       {model, "const char* path", "float* elements", "int64_t count"},
       call("gradient", {"network(model)", "path", "elements", "count"})},
  };
}

std::vector<CFunction> functions_of(const Emission& emission) {
  std::vector<CFunction> functions = access_functions(emission.name());
  functions.push_back(forward_function(emission));
  if (!emission.has_loss()) return functions;
  for (CFunction& function : training_functions(emission)) functions.push_back(std::move(function));
  return functions;
}

/// "int lenet_load(lenet_model* model, const char* file)" and what stands behind it.
std::string head(const Emission& emission, const CFunction& of, const char* behind) {
  return cpp::list(fmt::format("{} {}_{}(", of.result, emission.name(), of.name), of.parameters, behind);
}

std::string declaration(const Emission& emission, const CFunction& of) {
  return (of.comment.empty() ? "" : "\n" + cpp::wrapped("/*", "  ", of.comment, " */")) + head(emission, of, ");");
}

std::string definition(const Emission& emission, const CFunction& of) {
  return fmt::format("\n{}{}}}\n", head(emission, of, ") {"), of.body);
}

}  // namespace

std::string emit_c_header(const Emission& emission) {
  using fmt::arg;
  std::string declarations;
  for (const CFunction& function : functions_of(emission)) declarations += declaration(emission, function);
  return fmt::format(
      R"(/* The model {model} for C. Generated by netc from {source}: change that file, not this one. */
#ifndef NETC_{model}_H
#define NETC_{model}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

typedef struct {model}_model {model}_model;
{optimizer}{declarations}
#ifdef __cplusplus
}}
#endif

#endif
)",
      arg("model", emission.name()), arg("source", emission.source()),
      arg("optimizer",
          emission.has_loss() ? fmt::format("typedef struct {0}_optimizer {0}_optimizer;\n", emission.name()) : ""),
      arg("declarations", declarations));
}

std::string emit_c_interface(const Emission& emission) {
  using fmt::arg;
  std::string definitions;
  for (const CFunction& function : functions_of(emission)) definitions += definition(emission, function);
  const std::string optimizer = !emission.has_loss() ? ""
                                                     : fmt::format(R"(
struct {0}_optimizer {{
  std::unique_ptr<netc::Optimizer> optimizer;
}};
)",
                                                                   emission.name());
  const std::string method = !emission.has_loss() ? ""
                                                  : fmt::format(R"(
netc::Optimizer* method({0}_optimizer* optimizer) {{
  return optimizer == nullptr ? nullptr : optimizer->optimizer.get();
}}
)",
                                                                emission.name());
  return preamble(fmt::format("The model {} for C.", emission.name()), emission.source()) +
         fmt::format(R"(#include "{model}.h"

#include <netc/c_interface.h>

#include <memory>

#include "{model}.hpp"

struct {model}_model {{
  {model}::Model model;
}};
{optimizer}
namespace {{

// Null pointers stay null pointers, which netc/c_interface.h refuses.

netc::Network* network({model}_model* model) {{
  return model == nullptr ? nullptr : &model->model;
}}

const netc::Network* network(const {model}_model* model) {{
  return model == nullptr ? nullptr : &model->model;
}}
{method}
}}  // namespace
{definitions})",
                     arg("model", emission.name()), arg("optimizer", optimizer), arg("method", method),
                     arg("definitions", definitions));
}

}  // namespace netc

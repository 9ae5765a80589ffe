// The command `run`: one batch from files through the model, results to files.
#include <fmt/format.h>

#include <cstdio>
#include <limits>
#include <optional>

#include "netc/any_tensor.h"
#include "netc/commands.h"
#include "netc/npy.h"
#include "netc/overrides.h"
#include "netc/safetensors.h"

namespace netc {

namespace {

struct RunOptions {
  std::string weights;
  std::vector<std::string> inputs;
  std::vector<std::string> labels;
  std::optional<std::string> mode;
  std::optional<int> steps;
  std::vector<std::string> outputs;
  std::string gradients;
  std::string save;
  std::optional<std::uint64_t> seed;
  std::string device = "auto";
  ThreadOptions threads;
  std::vector<std::string> set;
};

template <class T>
AnyTensor copy(const NpyArray& array) {
  return AnyTensor(Tensor<T>(array.shape, array.view<T>().to_vector()));
}

/// NumPy's whole numbers are 64 bits wide by default, netc's 32.
AnyTensor narrow(const std::string& file, const NpyArray& array) {
  Tensor<std::int32_t> tensor(array.shape);
  std::int32_t* to = tensor.data();
  array.view<std::int64_t>().for_each([&](const std::int64_t& value) {
    if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max()) {
      throw Error(ErrorKind::format, fmt::format("{}: expected numbers of 32 bits, found {}", file, value));
    }
    *to++ = static_cast<std::int32_t>(value);
  });
  return AnyTensor(std::move(tensor));
}

AnyTensor read_tensor(const std::string& file, const TensorSpec& spec) {
  const NpyArray array = read_npy(file);
  if (spec.type == DType::f32 && array.type == NpyType::f32) return copy<float>(array);
  if (spec.type == DType::u8 && array.type == NpyType::u8) return copy<std::uint8_t>(array);
  if (spec.type == DType::i32 && array.type == NpyType::i32) return copy<std::int32_t>(array);
  if (spec.type == DType::i32 && array.type == NpyType::i64) return narrow(file, array);
  const char* expected = spec.type == DType::f32 ? "float32" : spec.type == DType::u8 ? "uint8" : "int32 or int64";
  throw Error(ErrorKind::mismatch,
              fmt::format("{}: expected {} for {}, found {}", file, expected, spec.name, to_string(array.type)));
}

/// The tensors of `--input` or `--label`, in the order of the model's specifications.
std::vector<AnyTensor> read_tensors(const std::string& option, const std::vector<std::string>& bindings,
                                    const std::vector<TensorSpec>& specs) {
  std::vector<std::optional<AnyTensor>> found(specs.size());
  for (const std::string& binding : bindings) {
    const auto [index, file] = split_binding(option, binding, specs);
    if (found[index]) throw Error(ErrorKind::usage, fmt::format("{} {}: given twice", option, specs[index].name));
    found[index] = read_tensor(file, specs[index]);
  }
  std::vector<AnyTensor> tensors;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (!found[i]) throw Error(ErrorKind::usage, fmt::format("expected {} {}=FILE.npy", option, specs[i].name));
    tensors.push_back(std::move(*found[i]));
  }
  return tensors;
}

std::vector<AnyView> views_of(const std::vector<AnyTensor>& tensors) {
  std::vector<AnyView> views;
  views.reserve(tensors.size());
  for (const AnyTensor& tensor : tensors) views.push_back(tensor.view());
  return views;
}

/// One invocation of the command.
class Run {
 public:
  Run(const Model& model, const RunOptions& options)
      : description_(model.description), options_(options), recipe_(model.description.recipe) {
    apply_overrides(recipe_, options.set);
    if (options.seed) recipe_.seed = *options.seed;
    check_recipe(recipe_);
    check_options();
    inputs_ = read_tensors("--input", options.inputs, description_.inputs);
    if (!options.labels.empty()) labels_ = read_tensors("--label", options.labels, description_.labels);
    network_ = model.make(choose_device(options.device, description_));
    network_->load(options.weights);
    network_->set_seed(recipe_.seed);
  }

  void run() {
    if (training()) {
      train();
    } else {
      infer();
    }
    std::fflush(stdout);
    write_outputs();
    if (!options_.gradients.empty()) write_gradients();
    if (!options_.save.empty()) network_->save(options_.save);
  }

 private:
  bool training() const {
    if (options_.mode) return *options_.mode == "train";
    return options_.steps.has_value() || !options_.gradients.empty();
  }

  void check_options() const {
    const auto require = [](bool right, const char* message) {
      if (!right) throw Error(ErrorKind::usage, message);
    };
    require(training() || !options_.steps, "--steps needs --mode train");
    require(training() || options_.gradients.empty(), "--gradients needs --mode train");
    require(options_.labels.empty() || !description_.labels.empty(), "--label: the model has no `loss`");
    require(!training() || !description_.labels.empty(), "--mode train: the model has no `loss`");
    require(!training() || !options_.labels.empty(), "--mode train needs --label FILE.npy");
    for (const std::string& binding : options_.outputs) split_binding("--output", binding, description_.outputs);
  }

  void infer() {
    if (labels_.empty()) {
      network_->forward(views_of(inputs_));
    } else {
      fmt::print("loss: {:.9g}\n", network_->evaluate_loss(views_of(inputs_), views_of(labels_)));
    }
  }

  /// Without `--steps` the gradients of one batch, and no update.
  void train() {
    const std::unique_ptr<Optimizer> optimizer = make_optimizer(recipe_);
    const int steps = options_.steps.value_or(1);
    if (options_.steps) optimizer->prepare(network_->parameters_flat().size(), network_->device());
    for (int step = 1; step <= steps; ++step) {
      fmt::print("loss: {:.9g}\n", network_->backward(views_of(inputs_), views_of(labels_)));
      if (step == steps && !options_.gradients.empty()) keep_input_gradients();
      if (options_.steps) {
        optimizer->step(network_->parameters_flat(), network_->gradients_flat(), network_->device());
      }
    }
  }

  /// Copies, because they are to be had only before the parameters move.
  void keep_input_gradients() {
    for (std::size_t i = 0; i < description_.inputs.size(); ++i) {
      const TensorSpec& spec = description_.inputs[i];
      if (spec.type != DType::f32) continue;
      const View<const float> gradient = network_->input_gradient(static_cast<int>(i));
      input_gradients_.emplace_back("input." + spec.name, Tensor<float>(gradient.shape(), gradient.to_vector()));
    }
  }

  void write_outputs() const {
    for (const std::string& binding : options_.outputs) {
      const auto [index, file] = split_binding("--output", binding, description_.outputs);
      write_npy(file, network_->output(static_cast<int>(index)));
    }
  }

  void write_gradients() const {
    std::vector<NamedTensor> tensors;
    for (const ParameterSpec& spec : description_.parameters) {
      tensors.push_back({spec.path, network_->gradient(spec.path)});
    }
    for (const auto& [name, gradient] : input_gradients_) tensors.push_back({name, gradient.view()});
    write_safetensors(options_.gradients, tensors);
  }

  const Description& description_;
  const RunOptions& options_;
  Recipe recipe_;
  std::vector<AnyTensor> inputs_;
  std::vector<AnyTensor> labels_;
  std::unique_ptr<Network> network_;
  std::vector<std::pair<std::string, Tensor<float>>> input_gradients_;
};

void run(const Model& model, const RunOptions& options) {
  use_threads(model, options.threads);
  Run(model, options).run();
}

}  // namespace

void add_run_command(CLI::App& app, const Model& model) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Run one batch from files, or some optimizer steps on it");
  command->add_option("--weights", options->weights, "safetensors file")->required()->type_name("FILE");
  command->add_option("--input", options->inputs, "an input; NAME may be left out where there is one")
      ->required()
      ->type_name("NAME=FILE.npy")
      ->allow_extra_args(false);
  command->add_option("--label", options->labels, "what the loss compares with")
      ->type_name("FILE.npy")
      ->allow_extra_args(false);
  command->add_option("--mode", options->mode, "train where --steps or --gradients are given, else eval")
      ->check(CLI::IsMember({"eval", "train"}));
  command->add_option("--steps", options->steps, "steps of the recipe's optimizer on this batch, all at the rate lr")
      ->check(above_zero())
      ->type_name("K");
  command->add_option("--output", options->outputs, "write an output; NAME may be left out where there is one")
      ->type_name("NAME=FILE.npy")
      ->allow_extra_args(false);
  command->add_option("--gradients", options->gradients, "write the gradients of parameters and inputs")
      ->type_name("FILE");
  command->add_option("--save", options->save, "write parameters and buffers after the run")->type_name("FILE");
  command->add_option("--seed", options->seed, "seed of dropout")->type_name("S");
  add_device_option(*command, options->device);
  add_thread_options(*command, options->threads);
  command
      ->add_option("--set", options->set, "change the recipe: optimizer, clip_grad_norm, …, as in its `train` clause")
      ->type_name("train.NAME=VALUE")
      ->allow_extra_args(false);
  command->callback([&model, options] { run(model, *options); });
}

}  // namespace netc

// The command `eval`: loss and accuracy of given weights on the test data.
#include <fmt/format.h>

#include <optional>

#include "netc/commands.h"
#include "netc/evaluate.h"

namespace netc {

namespace {

struct EvalOptions {
  std::string weights;
  std::string data = default_data_folder().string();
  std::optional<std::int64_t> limit;
  std::string device = "auto";
  ThreadOptions threads;
};

void eval(const Model& model, const EvalOptions& options) {
  const Description& description = model.description;
  require_data(description);
  require_classifier(description);
  use_threads(model, options.threads);
  const std::unique_ptr<Network> network = model.make(choose_device(options.device, description));
  network->load(options.weights);
  const ImageSet images = load_data(description.recipe.data, Split::test, options.data, options.limit);
  Loader loader(images, evaluation_options(description.recipe, description));
  const RunningMetrics metrics = evaluate(*network, loader);
  fmt::print("{}: test loss {:.3f}, test acc {:.3f}, {} examples\n", description.name, metrics.loss(),
             metrics.accuracy(), metrics.examples);
}

}  // namespace

void add_eval_command(CLI::App& app, const Model& model) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "Loss and accuracy on the test data");
  command->add_option("--weights", options->weights, "safetensors file")->required()->type_name("FILE");
  command->add_option("--data", options->data, "folder of the data set")->type_name("DIR")->capture_default_str();
  command->add_option("--limit", options->limit, "use the first N examples")->check(above_zero())->type_name("N");
  add_device_option(*command, options->device);
  add_thread_options(*command, options->threads);
  command->callback([&model, options] { eval(model, *options); });
}

}  // namespace netc

// Evaluation over a loader's batches.
#include "netc/evaluate.h"

#include <fmt/format.h>

#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace netc {

void require_classifier(const Description& description) {
  const bool fits = description.inputs.size() == 1 && description.labels.size() == 1 &&
                    description.labels[0].type == DType::i32 && description.outputs[0].shape.size() == 2;
  if (fits) return;
  throw Error(
      ErrorKind::mismatch,
      fmt::format("{}: its data set has one image and one class an example: expected a model with one input, an "
                  "output [N, classes] and the loss cross_entropy",
                  description.name));
}

void require_data(const Description& description) {
  if (!description.recipe.data.name.empty()) return;
  throw Error(ErrorKind::usage, fmt::format("{} has no `train` clause with data", description.name));
}

LoaderOptions evaluation_options(const Recipe& recipe, const Description& description,
                                 std::vector<std::int32_t> examples) {
  return {recipe.batch, recipe.data.resize, description.inputs[0].type, std::nullopt, std::move(examples)};
}

namespace {

/// Freezes a network for an evaluation and leaves it as it was, also behind an exception: what the evaluation started
/// is finished, and what the caller had frozen stays frozen.
class FrozenNetwork {
 public:
  explicit FrozenNetwork(Network& network) : network_(network), was_frozen_(network.frozen()) {
    if (network.steps_under_way() > 0) {
      throw Error(ErrorKind::usage,
                  fmt::format("{}: finish the steps under way before an evaluation", network.description().name));
    }
    network.freeze();
  }
  ~FrozenNetwork() {
    while (network_.steps_under_way() > 0) drop_step();
    if (!was_frozen_) network_.unfreeze();
  }
  FrozenNetwork(const FrozenNetwork&) = delete;
  FrozenNetwork& operator=(const FrozenNetwork&) = delete;

 private:
  void drop_step() {
    try {
      network_.finish_step();
    } catch (const Error&) {
      // The exception that ended the evaluation says what is wrong.
    }
  }

  Network& network_;
  bool was_frozen_;
};

}  // namespace

RunningMetrics evaluate(Network& network, Loader& loader) {
  RunningMetrics metrics;
  std::deque<std::vector<std::int32_t>> under_way;  // the classes of batches that were started
  const auto finish = [&] {
    const auto [loss, output] = network.finish_step();
    metrics.add(loss, output, under_way.front());
    under_way.pop_front();
  };
  const FrozenNetwork frozen(network);
  loader.start(0);
  while (const Batch* batch = loader.next()) {
    const AnyView images = batch->images();
    const AnyView labels = batch->labels();
    network.start_evaluation({&images, 1}, {&labels, 1});
    under_way.emplace_back(batch->label_values.begin(), batch->label_values.begin() + batch->size);
    if (network.steps_under_way() == network.steps_at_once()) finish();
  }
  while (!under_way.empty()) finish();
  return metrics;
}

}  // namespace netc

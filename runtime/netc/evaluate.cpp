// Evaluation over a loader's batches.
#include "netc/evaluate.h"

#include <fmt/format.h>

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

RunningMetrics evaluate(Network& network, Loader& loader) {
  RunningMetrics metrics;
  network.freeze();
  loader.start(0);
  while (const Batch* batch = loader.next()) {
    const AnyView images = batch->images();
    const AnyView labels = batch->labels();
    const float loss = network.evaluate_loss({&images, 1}, {&labels, 1});
    metrics.add(loss, network.output(0), {batch->label_values.data(), static_cast<std::size_t>(batch->size)});
  }
  network.unfreeze();
  return metrics;
}

}  // namespace netc

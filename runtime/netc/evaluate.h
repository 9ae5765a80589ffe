// Loss and accuracy of a model on a data set, in evaluation mode.
#pragma once

#include <cstdint>
#include <vector>

#include "netc/loader.h"
#include "netc/metrics.h"
#include "netc/network.h"

namespace netc {

/// What the model takes and gives must fit a data set of images and classes. Throws Error (mismatch).
void require_classifier(const Description& description);
/// The model must say what its data are. Throws Error (usage).
void require_data(const Description& description);

/// How such a model is given examples (none: all of them), in their order, as they are.
LoaderOptions evaluation_options(const Recipe& recipe, const Description& description,
                                 std::vector<std::int32_t> examples = {});

/// Means over all examples, which `loader` gives in any order, in evaluation mode; the network is left as it was.
/// Throws Error (usage) while steps are under way, and as `Network::start_evaluation`.
RunningMetrics evaluate(Network& network, Loader& loader);

}  // namespace netc

// Loss and accuracy of a model on a data set, in evaluation mode.
#pragma once

#include "netc/loader.h"
#include "netc/metrics.h"
#include "netc/network.h"

namespace netc {

/// What the model takes and gives must fit a data set of images and classes. Throws Error (mismatch).
void require_classifier(const Description& description);

/// Means over all examples. `loader` gives them in any order.
RunningMetrics evaluate(Network& network, Loader& loader);

}  // namespace netc

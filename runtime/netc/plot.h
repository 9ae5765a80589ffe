// The curves of a training run as a picture.
#pragma once

#include <span>
#include <string>

#include "netc/metrics.h"

namespace netc {

/// An SVG document with two panels over epochs: the loss, and the accuracy, on training, test and, where there are any,
/// validation data; thin, training within the epochs.
std::string plot_curves(const std::string& model, std::span<const EpochMetrics> epochs,
                        std::span<const CurvePoint> points);

}  // namespace netc

// The program around a model: train, eval, bench, profile, run.
#pragma once

#include <functional>
#include <memory>

#include "netc/network.h"

namespace netc {

/// Makes the model on a device; commands give it its parameters, which may still be zero.
using MakeNetwork = std::function<std::unique_ptr<Network>(Device device)>;

/// The generated program's main: `MODEL train|eval|bench|profile|run …`. Exit status 0 done, 1 wrong input, 2 wrong
/// usage, 3 a bug.
int program(int argc, char** argv, const Description& description, const MakeNetwork& make);
/// The same for a model that computes on the CPU alone.
int program(int argc, char** argv, const Description& description,
            const std::function<std::unique_ptr<Network>()>& make);

}  // namespace netc

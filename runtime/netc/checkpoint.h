// A training run on disk: everything that is needed to continue it bit for bit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "netc/metrics.h"
#include "netc/network.h"
#include "netc/optimizer.h"
#include "netc/recipe.h"

namespace netc {

/// Where a run stands. Random numbers and the order of examples are functions of seed, epoch and step, so these numbers
/// are all of their state.
struct TrainingState {
  std::vector<EpochMetrics> finished;  // epochs
  std::int64_t next_batch = 0;         // of the epoch under way
  RunningMetrics running;              // over the epoch so far
  std::vector<CurvePoint> points;      // of all epochs
  RunningMetrics since_point;          // over the batches since the last of them
  double epoch_compute_seconds = 0;    // of the epoch so far: copy, forward, backward, step
  double epoch_seconds = 0;
  double compute_seconds = 0;  // of all epochs so far
  std::int64_t examples = 0;   // of all epochs so far
};

/// What must be equal for a run to be the continuation of another.
struct RunIdentity {
  Recipe recipe;  // epochs and early_stop may differ
  std::int64_t examples = 0;
};

/// The file in a checkpoint folder.
std::filesystem::path checkpoint_file(const std::filesystem::path& folder);

/// Atomic. Throws Error (io).
void save_checkpoint(const std::filesystem::path& file, Network& network, Optimizer& optimizer, const RunIdentity& run,
                     const TrainingState& state);

/// All or nothing. Throws Error (io, format, mismatch) naming the file, what was expected and what was found.
TrainingState load_checkpoint(const std::filesystem::path& file, Network& network, Optimizer& optimizer,
                              const RunIdentity& run);

}  // namespace netc

// What is measured while a model trains.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netc/tensor.h"

namespace netc {

/// Loss and accuracy on a set of examples.
struct Scores {
  double loss = 0;
  double accuracy = 0;
};

/// Running means over examples.
struct RunningMetrics {
  std::int64_t examples = 0;
  double loss_sum = 0;
  std::int64_t correct = 0;

  /// Adds a batch: its mean loss, its outputs [batch, classes] and its classes [batch].
  void add(float mean_loss, View<const float> output, std::span<const std::int32_t> labels);
  void add(const RunningMetrics& others);
  double loss() const { return loss_sum / static_cast<double>(examples); }
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(examples); }
  Scores scores() const { return {loss(), accuracy()}; }
};

/// How many rows of [batch, classes] have their largest value (the first, if there are several) at the label.
std::int64_t count_correct(View<const float> output, std::span<const std::int32_t> labels);

/// One finished epoch. Loss and training accuracy are means over the epoch in training mode, those of validation and
/// test data are taken in evaluation mode after it.
struct EpochMetrics {
  int epoch = 0;  // from 1
  double loss = 0;
  double train_accuracy = 0;
  double test_loss = 0;
  double test_accuracy = 0;
  double examples_per_second = 0;  // copy, forward, backward and step; not loading
  double seconds = 0;              // of the whole epoch, test included
  double lr = 0;                   // of the last step
  std::optional<Scores> validation{};
};

/// How training goes within an epoch: means over the batches since the point before, in training mode.
struct CurvePoint {
  double epoch = 0;  // passes over the training data so far; 0.5 is the middle of the first
  Scores train;
};

/// The epoch whose weights are the best: that of the highest validation accuracy or, without validation, of the lowest
/// training loss; the first of equals. None where there is no such number.
std::optional<std::size_t> best_epoch(std::span<const EpochMetrics> epochs);

/// How many epochs have passed since the validation loss was at its lowest.
int epochs_since_lowest(std::span<const EpochMetrics> epochs);

/// One object a line.
std::string to_json_lines(std::span<const EpochMetrics> epochs);
/// A header and one line an epoch or a point.
std::string to_csv(std::span<const EpochMetrics> epochs);
std::string to_csv(std::span<const CurvePoint> points);
/// A JSON array with all digits, and back; throws Error (format).
std::string to_json(std::span<const EpochMetrics> epochs);
std::string to_json(std::span<const CurvePoint> points);
std::vector<EpochMetrics> epochs_from_json(const std::string& text);
std::vector<CurvePoint> points_from_json(const std::string& text);

}  // namespace netc

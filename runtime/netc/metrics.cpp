// Running means and the text forms of metrics.
#include "netc/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "netc/error.h"
#include "netc/file.h"

namespace netc {

using Json = nlohmann::ordered_json;

void RunningMetrics::add(float mean_loss, View<const float> output, std::span<const std::int32_t> labels) {
  const auto count = static_cast<std::int64_t>(labels.size());
  examples += count;
  loss_sum += static_cast<double>(mean_loss) * static_cast<double>(count);
  correct += count_correct(output, labels);
}

void RunningMetrics::add(const RunningMetrics& others) {
  examples += others.examples;
  loss_sum += others.loss_sum;
  correct += others.correct;
}

std::int64_t count_correct(View<const float> output, std::span<const std::int32_t> labels) {
  const std::int64_t rows = output.rank() == 0 ? 0 : output.shape()[0];
  if (rows != static_cast<std::int64_t>(labels.size()) || rows == 0) {
    throw Error(ErrorKind::mismatch,
                fmt::format("accuracy: expected a row of outputs for each of {} labels, found outputs {}",
                            labels.size(), to_string(output.shape())));
  }
  const std::int64_t classes = output.size() / rows;
  const float* row = output.data();
  std::int64_t correct = 0;
  for (std::int32_t label : labels) {
    correct += std::max_element(row, row + classes) - row == label ? 1 : 0;
    row += classes;
  }
  return correct;
}

namespace {

Json to_object(const EpochMetrics& epoch) {
  Json object{{"epoch", epoch.epoch}, {"lr", epoch.lr}, {"loss", epoch.loss}, {"train_accuracy", epoch.train_accuracy}};
  if (epoch.validation) {
    object["validation_loss"] = epoch.validation->loss;
    object["validation_accuracy"] = epoch.validation->accuracy;
  }
  object["test_loss"] = epoch.test_loss;
  object["test_accuracy"] = epoch.test_accuracy;
  object["examples_per_second"] = epoch.examples_per_second;
  object["seconds"] = epoch.seconds;
  return object;
}

/// JSON has no infinities: a diverged loss is written as null, and read back as not a number.
double number(const Json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

EpochMetrics epoch_from_object(const Json& object) {
  const auto read = [&](const char* key) { return number(object.at(key)); };
  EpochMetrics epoch{.epoch = object.at("epoch").get<int>(),
                     .loss = read("loss"),
                     .train_accuracy = read("train_accuracy"),
                     .test_loss = read("test_loss"),
                     .test_accuracy = read("test_accuracy"),
                     .examples_per_second = read("examples_per_second"),
                     .seconds = read("seconds"),
                     .lr = read("lr")};
  if (object.contains("validation_loss")) {
    epoch.validation = Scores{read("validation_loss"), read("validation_accuracy")};
  }
  return epoch;
}

Json to_object(const CurvePoint& point) {
  return {{"epoch", point.epoch}, {"loss", point.train.loss}, {"train_accuracy", point.train.accuracy}};
}

CurvePoint point_from_object(const Json& object) {
  return {number(object.at("epoch")), {number(object.at("loss")), number(object.at("train_accuracy"))}};
}

template <class T>
std::string to_array(std::span<const T> items) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(to_object(item));
  return array.dump();
}

template <class T>
std::vector<T> from_array(const std::string& text, T (*from)(const Json& object)) {
  try {
    std::vector<T> items;
    for (const Json& object : Json::parse(text)) items.push_back(from(object));
    return items;
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::format, fmt::format("metrics: {}", printable(error.what())));
  }
}

}  // namespace

std::optional<std::size_t> best_epoch(std::span<const EpochMetrics> epochs) {
  std::optional<std::size_t> best;
  double highest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    const double score = epochs[i].validation ? epochs[i].validation->accuracy : -epochs[i].loss;
    if (!(score > highest)) continue;  // nor is what is no number
    highest = score;
    best = i;
  }
  return best;
}

int epochs_since_lowest(std::span<const EpochMetrics> epochs) {
  int since = 0;
  double lowest = std::numeric_limits<double>::infinity();
  for (const EpochMetrics& epoch : epochs) {
    ++since;
    if (!epoch.validation || !(epoch.validation->loss < lowest)) continue;
    lowest = epoch.validation->loss;
    since = 0;
  }
  return since;
}

std::string to_json_lines(std::span<const EpochMetrics> epochs) {
  std::string text;
  for (const EpochMetrics& epoch : epochs) text += to_object(epoch).dump() + "\n";
  return text;
}

std::string to_csv(std::span<const EpochMetrics> epochs) {
  std::string text =
      "epoch,lr,loss,train_accuracy,validation_loss,validation_accuracy,test_loss,test_accuracy,examples_per_second,"
      "seconds\n";
  for (const EpochMetrics& e : epochs) {
    const std::string validation =
        e.validation ? fmt::format("{:.6f},{:.6f}", e.validation->loss, e.validation->accuracy) : ",";
    text += fmt::format("{},{:.6g},{:.6f},{:.6f},{},{:.6f},{:.6f},{:.1f},{:.3f}\n", e.epoch, e.lr, e.loss,
                        e.train_accuracy, validation, e.test_loss, e.test_accuracy, e.examples_per_second, e.seconds);
  }
  return text;
}

std::string to_csv(std::span<const CurvePoint> points) {
  std::string text = "epoch,loss,train_accuracy\n";
  for (const CurvePoint& p : points) {
    text += fmt::format("{:.4f},{:.6f},{:.6f}\n", p.epoch, p.train.loss, p.train.accuracy);
  }
  return text;
}

std::string to_json(std::span<const EpochMetrics> epochs) {
  return to_array(epochs);
}

std::string to_json(std::span<const CurvePoint> points) {
  return to_array(points);
}

std::vector<EpochMetrics> epochs_from_json(const std::string& text) {
  return from_array(text, epoch_from_object);
}

std::vector<CurvePoint> points_from_json(const std::string& text) {
  return from_array(text, point_from_object);
}

}  // namespace netc

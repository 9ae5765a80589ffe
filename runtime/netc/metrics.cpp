// Running means and the text forms of metrics.
#include "netc/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "netc/error.h"

namespace netc {

using Json = nlohmann::ordered_json;

void RunningMetrics::add(float mean_loss, View<const float> output, std::span<const std::int32_t> labels) {
  const auto count = static_cast<std::int64_t>(labels.size());
  examples += count;
  loss_sum += static_cast<double>(mean_loss) * static_cast<double>(count);
  correct += count_correct(output, labels);
}

std::int64_t count_correct(View<const float> output, std::span<const std::int32_t> labels) {
  const std::int64_t classes = output.size() / output.shape()[0];
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
  return {{"epoch", epoch.epoch},
          {"loss", epoch.loss},
          {"train_accuracy", epoch.train_accuracy},
          {"test_loss", epoch.test_loss},
          {"test_accuracy", epoch.test_accuracy},
          {"examples_per_second", epoch.examples_per_second},
          {"seconds", epoch.seconds}};
}

/// JSON has no infinities: a diverged loss is written as null, and read back as not a number.
double number(const Json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

EpochMetrics from_object(const Json& object) {
  return {object.at("epoch").get<int>(),  number(object.at("loss")),          number(object.at("train_accuracy")),
          number(object.at("test_loss")), number(object.at("test_accuracy")), number(object.at("examples_per_second")),
          number(object.at("seconds"))};
}

}  // namespace

std::string to_json_lines(std::span<const EpochMetrics> epochs) {
  std::string text;
  for (const EpochMetrics& epoch : epochs) text += to_object(epoch).dump() + "\n";
  return text;
}

std::string to_csv(std::span<const EpochMetrics> epochs) {
  std::string text = "epoch,loss,train_accuracy,test_loss,test_accuracy,examples_per_second,seconds\n";
  for (const EpochMetrics& e : epochs) {
    text += fmt::format("{},{:.6f},{:.6f},{:.6f},{:.6f},{:.1f},{:.3f}\n", e.epoch, e.loss, e.train_accuracy,
                        e.test_loss, e.test_accuracy, e.examples_per_second, e.seconds);
  }
  return text;
}

std::string to_json(std::span<const EpochMetrics> epochs) {
  Json array = Json::array();
  for (const EpochMetrics& epoch : epochs) array.push_back(to_object(epoch));
  return array.dump();
}

std::vector<EpochMetrics> epochs_from_json(const std::string& text) {
  try {
    std::vector<EpochMetrics> epochs;
    for (const Json& object : Json::parse(text)) epochs.push_back(from_object(object));
    return epochs;
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::format, fmt::format("metrics: {}", error.what()));
  }
}

}  // namespace netc

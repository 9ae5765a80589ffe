// Checkpoints are safetensors files; what is no tensor is JSON in the metadata.
#include "netc/checkpoint.h"

#include <fmt/format.h>

#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "netc/safetensors.h"
#include "netc/settings.h"

namespace netc {

namespace {

using Json = nlohmann::ordered_json;

constexpr int version = 3;  // 1: recipes had fewer settings; 2: no curve within epochs

/// What a run may change when it is continued: when it ends.
bool may_differ(const RecipeEntry& entry) {
  return entry.path == "epochs" || entry.path == "early_stop";
}

Json to_json(const RunIdentity& run) {
  Json json{{"examples", run.examples}};
  for (const RecipeEntry& entry : entries(run.recipe)) {
    if (may_differ(entry)) continue;
    std::visit([&](const auto& value) { json[entry.path] = value; }, entry.value);
  }
  return json;
}

Json to_json(const RunningMetrics& running) {
  return {{"examples", running.examples}, {"loss", running.loss_sum}, {"correct", running.correct}};
}

RunningMetrics running_from_json(const Json& json) {
  // A loss that diverged is null in JSON.
  const Json& loss = json.at("loss");
  return {.examples = json.at("examples").get<std::int64_t>(),
          .loss_sum = loss.is_null() ? std::numeric_limits<double>::quiet_NaN() : loss.get<double>(),
          .correct = json.at("correct").get<std::int64_t>()};
}

Json to_json(const TrainingState& state) {
  return {{"next_batch", state.next_batch},
          {"running", to_json(state.running)},
          {"since_point", to_json(state.since_point)},
          {"epoch_compute_seconds", state.epoch_compute_seconds},
          {"epoch_seconds", state.epoch_seconds},
          {"compute_seconds", state.compute_seconds},
          {"examples", state.examples}};
}

TrainingState state_from_json(const Json& json) {
  TrainingState state;
  json.at("next_batch").get_to(state.next_batch);
  state.running = running_from_json(json.at("running"));
  state.since_point = running_from_json(json.at("since_point"));
  json.at("epoch_compute_seconds").get_to(state.epoch_compute_seconds);
  json.at("epoch_seconds").get_to(state.epoch_seconds);
  json.at("compute_seconds").get_to(state.compute_seconds);
  json.at("examples").get_to(state.examples);
  return state;
}

/// Every tensor of a run under a name of its own. Arrays of the optimizer that follow the parameters are kept by
/// parameter, so that a checkpoint does not depend on how the parameters are laid out in memory.
std::vector<std::pair<std::string, View<float>>> tensors_of(Network& network, Optimizer& optimizer) {
  const Description& description = network.description();
  std::vector<std::pair<std::string, View<float>>> tensors;
  for (const ParameterSpec& spec : description.parameters) {
    tensors.emplace_back("model/" + spec.path, network.parameter(spec.path));
  }
  for (const ParameterSpec& spec : description.buffers) {
    tensors.emplace_back("model/" + spec.path, network.buffer(spec.path));
  }
  const std::size_t floats = network.parameters_flat().size();
  for (const auto& [name, values] : optimizer.state(floats)) {
    const std::string prefix = fmt::format("optimizer/{}", name);
    if (values.size() != floats) {
      tensors.emplace_back(prefix, View<float>(values.data(), {static_cast<std::int64_t>(values.size())}));
      continue;
    }
    for (const ParameterSpec& spec : description.parameters) {
      const View<float> view(values.data() + spec.offset, Extents(spec.shape), Extents(spec.strides));
      tensors.emplace_back(fmt::format("{}/{}", prefix, spec.path), view);
    }
  }
  return tensors;
}

bool is_sound(const RunningMetrics& running) {
  return running.examples >= 0 && running.correct >= 0 && running.correct <= running.examples;
}

/// What a program could not have saved, and must not go on from.
void require_sound(const std::string& file, const TrainingState& state) {
  bool sound = state.next_batch >= 0 && is_sound(state.running) && is_sound(state.since_point) &&
               (state.running.examples == 0) == (state.next_batch == 0);
  for (std::size_t i = 0; i < state.finished.size(); ++i) {
    sound = sound && state.finished[i].epoch == static_cast<int>(i) + 1;
  }
  if (!sound) throw Error(ErrorKind::format, fmt::format("{}: not a checkpoint: its counters are wrong", file));
}

[[noreturn]] void refuse(const std::string& file, const std::string& what, const std::string& expected,
                         const std::string& found) {
  throw Error(ErrorKind::mismatch, fmt::format("{}: {}: expected {}, found {}", file, what, expected, found));
}

void require_same_run(const std::string& file, const Json& expected, const Json& found) {
  for (const auto& [key, value] : expected.items()) {
    const auto other = found.find(key);
    if (other == found.end()) refuse(file, key, value.dump(), "nothing");
    if (*other != value) refuse(file, key, value.dump(), printable(other->dump()));
  }
  for (const auto& [key, value] : found.items()) {
    if (!expected.contains(key)) refuse(file, printable(key), "nothing", printable(value.dump()));
  }
}

const std::string& text_of(const SafetensorsReader& reader, const std::string& key) {
  const auto found = reader.metadata().find(key);
  if (found != reader.metadata().end()) return found->second;
  throw Error(ErrorKind::format, fmt::format("{}: not a checkpoint: no '{}' in its metadata", reader.name(), key));
}

void read_curves(const SafetensorsReader& reader, TrainingState& state) {
  const std::string& epochs = text_of(reader, "epochs");
  const std::string& points = text_of(reader, "points");
  try {
    state.finished = epochs_from_json(epochs);
    state.points = points_from_json(points);
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}: not a checkpoint: {}", reader.name(), error.what()));
  }
}

/// Where a run stands, after checks that it is this run.
TrainingState read_state(const SafetensorsReader& reader, const Description& description, const RunIdentity& run,
                         std::uint32_t& step) {
  const std::string& name = reader.name();
  if (const std::string& model = text_of(reader, "model"); model != description.name) {
    refuse(name, "model", description.name, printable(model));
  }
  try {
    const Json json = Json::parse(text_of(reader, "state"));
    if (json.at("version") != version) {
      refuse(name, "version of checkpoints", std::to_string(version),
             printable(json.at("version").dump()) + ": begin the run anew");
    }
    require_same_run(name, to_json(run), Json::parse(text_of(reader, "run")));
    json.at("step").get_to(step);
    TrainingState state = state_from_json(json);
    read_curves(reader, state);
    require_sound(name, state);
    return state;
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::format, fmt::format("{}: not a checkpoint: {}", name, printable(error.what())));
  }
}

}  // namespace

std::filesystem::path checkpoint_file(const std::filesystem::path& folder) {
  return folder / "checkpoint.safetensors";
}

void save_checkpoint(const std::filesystem::path& file, Network& network, Optimizer& optimizer, const RunIdentity& run,
                     const TrainingState& state) {
  Json json = to_json(state);
  json["version"] = version;
  json["step"] = network.step();
  std::vector<NamedTensor> tensors;
  for (const auto& [name, view] : tensors_of(network, optimizer)) tensors.push_back({name, view});
  write_safetensors(file, tensors,
                    {{"model", network.description().name},
                     {"run", to_json(run).dump()},
                     {"state", json.dump()},
                     {"epochs", to_json(state.finished)},
                     {"points", to_json(state.points)}});
}

TrainingState load_checkpoint(const std::filesystem::path& file, Network& network, Optimizer& optimizer,
                              const RunIdentity& run) {
  const SafetensorsReader reader(file);
  std::uint32_t step = 0;
  TrainingState state = read_state(reader, network.description(), run, step);
  const auto tensors = tensors_of(network, optimizer);
  reader.copy_to(tensors);
  network.set_step(step);
  return state;
}

}  // namespace netc

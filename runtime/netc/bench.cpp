// The command `bench`: times training steps or forward passes on random data.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "netc/commands.h"
#include "netc/workload.h"

namespace netc {

namespace {

struct BenchOptions : WorkloadOptions {
  bool json = false;
};

/// The times of a step, one for each block, sorted, in milliseconds.
std::vector<double> measure(Workload& workload, double seconds) {
  constexpr int warm_up = 3;
  constexpr std::size_t least = 5;
  workload.time(warm_up);
  const int steps = workload.steps_of_block(seconds);
  std::vector<double> times;
  for (double sum = 0; times.size() < least || sum < seconds;) {
    const double time = workload.time(steps);
    sum += time * steps;
    times.push_back(time * 1e3);
  }
  std::sort(times.begin(), times.end());
  return times;
}

std::int64_t process_peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

void bench(const Model& model, const BenchOptions& options) {
  Workload workload(model, options);
  const std::vector<double> times = measure(workload, options.seconds);
  const double median = times[times.size() / 2];
  const double rate = static_cast<double>(options.batch) / median * 1e3;
  if (!options.json) {
    fmt::print("{}: {}, batch {}, {}: best {:.3f} ms, median {:.3f} ms, {:.1f} examples/s, {:.1f} MB\n",
               model.description.name, options.mode, options.batch, workload.place(), times.front(), median, rate,
               static_cast<double>(workload.bytes()) / 1e6);
    return;
  }
  const nlohmann::ordered_json json{{"model", model.description.name},
                                    {"mode", options.mode},
                                    {"batch", options.batch},
                                    {"device", to_string(workload.device())},
                                    {"threads", threads()},
                                    {"best_ms", times.front()},
                                    {"median_ms", median},
                                    {"examples_per_second", rate},
                                    {"peak_bytes", workload.bytes()},
                                    {"scratch_bytes", workload.scratch_bytes()},
                                    {"process_peak_bytes", process_peak_bytes()}};
  fmt::print("{}\n", json.dump());
}

}  // namespace

void add_bench_command(CLI::App& app, const Model& model) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "Time training steps or forward passes on random data");
  add_workload_options(*command, model, *options);
  command->add_flag("--json", options->json, "one JSON object instead of a line of text");
  command->callback([&model, options] { bench(model, *options); });
}

}  // namespace netc

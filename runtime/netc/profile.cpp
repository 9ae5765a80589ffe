// The command `profile`: where the time of a step goes, kernel by kernel, and how far each is from what the machine can
// do.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>

#include "netc/commands.h"
#include "netc/file.h"
#include "netc/roofline.h"
#include "netc/workload.h"

namespace netc {

namespace {

struct ProfileOptions : WorkloadOptions {
  std::string svg;
  bool json = false;
};

/// One call of a kernel in every step, at its fastest.
struct Call {
  const Kernel* kernel;
  Work work;
  double seconds;
};

struct Profile {
  std::string place;        // see Workload
  std::vector<Call> calls;  // in the order of a step
  double step_seconds = 0;  // at its fastest, with each kernel waited for
  double free_seconds = 0;  // on a GPU where kernels are launched as one and training steps overlap, else 0
};

/// By its data sheet, in TF32. Choice: bounds that stay the same from GPU to GPU, those of `netc summary`, in place of
/// measured ones (2026-11).
constexpr Roofline h100{495e12, 3.35e12};

/// Runs steps for so long and keeps the shortest time of each call.
Profile measure(Workload& workload, double seconds) {
  constexpr int warm_up = 2;
  constexpr int least = 3;
  workload.time(warm_up);
  Profile profile;
  profile.place = workload.place();
  if (workload.device() == Device::cuda) profile.free_seconds = workload.time(workload.steps_of_block(seconds));
  std::size_t next = 0;
  const ObservedKernels observed([&](const Kernel& kernel, const Launch& launch, double time) {
    if (next == profile.calls.size()) profile.calls.push_back({&kernel, kernel.work(launch.batch), time});
    profile.calls[next].seconds = std::min(profile.calls[next].seconds, time);
    ++next;
  });
  double sum = 0;
  for (int step = 0; step < least || sum < seconds; ++step) {
    next = 0;
    const double time = workload.time(1);
    profile.step_seconds = step == 0 ? time : std::min(profile.step_seconds, time);
    sum += time;
  }
  return profile;
}

/// The share of the machine's peak, of arithmetic or of memory, whichever limits the call.
double roofline_share(const Call& call, const Roofline& machine) {
  const double least = std::max(call.work.flops / machine.flops_per_second, call.work.bytes / machine.bytes_per_second);
  return least / call.seconds;
}

double kernel_seconds(const Profile& profile) {
  return std::accumulate(profile.calls.begin(), profile.calls.end(), 0.0,
                         [](double sum, const Call& call) { return sum + call.seconds; });
}

void print_table(const Profile& profile, const Roofline& machine) {
  fmt::print("{:>9}  {:>6}  {:>8}  {:>7}  {:>8}  kernel\n", "ms", "share", "GFLOP/s", "GB/s", "roofline");
  for (const Call& call : profile.calls) {
    fmt::print("{:9.3f}  {:5.1f}%  {:8.1f}  {:7.1f}  {:7.0f}%  {}\n", call.seconds * 1e3,
               100 * call.seconds / profile.step_seconds, call.work.flops / call.seconds / 1e9,
               call.work.bytes / call.seconds / 1e9, 100 * roofline_share(call, machine), call.kernel->name());
  }
}

void print_summary(const std::string& model, const ProfileOptions& options, const Profile& profile,
                   const Roofline& machine) {
  double flops = 0;
  for (const Call& call : profile.calls) flops += call.work.flops;
  fmt::print("{}: {}, batch {}, {}: {:.3f} ms, {:.3f} ms of them in {} kernels; {:.1f} GFLOP/s\n", model, options.mode,
             options.batch, profile.place, profile.step_seconds * 1e3, kernel_seconds(profile) * 1e3,
             profile.calls.size(), flops / profile.step_seconds / 1e9);
  if (profile.free_seconds > 0) {
    fmt::print("{:.3f} ms where kernels are launched together; the machine is an H100 by its data sheet, in TF32\n",
               profile.free_seconds * 1e3);
  }
  fmt::print("machine: {:.1f} GFLOP/s, {:.1f} GB/s\n", machine.flops_per_second / 1e9, machine.bytes_per_second / 1e9);
}

void print_json(const std::string& model, const ProfileOptions& options, const Profile& profile,
                const Roofline& machine) {
  nlohmann::ordered_json kernels = nlohmann::ordered_json::array();
  for (const Call& call : profile.calls) {
    kernels.push_back({{"name", call.kernel->name()},
                       {"ms", call.seconds * 1e3},
                       {"gflop", call.work.flops / 1e9},
                       {"gigabytes", call.work.bytes / 1e9}});
  }
  nlohmann::ordered_json json{{"model", model},
                              {"mode", options.mode},
                              {"batch", options.batch},
                              {"place", profile.place},
                              {"threads", threads()},
                              {"ms", profile.step_seconds * 1e3},
                              {"machine_gflops", machine.flops_per_second / 1e9},
                              {"machine_gigabytes_per_second", machine.bytes_per_second / 1e9},
                              {"kernels", kernels}};
  if (profile.free_seconds > 0) json["free_ms"] = profile.free_seconds * 1e3;
  fmt::print("{}\n", json.dump());
}

/// Bars, the longest call first.
std::string draw(const std::string& title, const Profile& profile, const Roofline& machine) {
  std::vector<Call> calls = profile.calls;
  std::stable_sort(calls.begin(), calls.end(), [](const Call& a, const Call& b) { return a.seconds > b.seconds; });
  constexpr double row = 20, top = 84, left = 330, length = 420, width = 920;
  const double height = top + row * static_cast<double>(calls.size()) + 20;
  std::string svg = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}">
<style>
text {{ font-family: "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; font-size: 12px; fill: #1f2933; }}
.title {{ font-size: 20px; font-weight: 600; }}
.note {{ font-size: 13px; fill: #616e7c; }}
</style>
<rect width="{0}" height="{1}" fill="#ffffff"/>
<text x="28" y="36" class="title">{2}</text>
<text x="28" y="58" class="note">time of each kernel; dark: what the machine's peak of {3:.0f} GFLOP/s or {4:.0f} GB/s leaves; orange: beyond that peak</text>
)",
      width, height, title, machine.flops_per_second / 1e9, machine.bytes_per_second / 1e9);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Call& call = calls[i];
    const double y = top + row * static_cast<double>(i);
    const double bar = length * call.seconds / calls.front().seconds;
    const double share = roofline_share(call, machine);
    const char* color = share > 1 ? "#d55e00" : "#0072b2";
    svg += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>)", left - 10, y + 13,
                       call.kernel->name());
    svg += fmt::format(R"(<rect x="{}" y="{:.1f}" width="{:.1f}" height="14" fill="#9ecae8"/>)", left, y + 2, bar);
    svg += fmt::format(R"(<rect x="{}" y="{:.1f}" width="{:.1f}" height="14" fill="{}"/>)", left, y + 2,
                       bar * std::min(share, 1.0), color);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{:.2f} ms, {:.0f}%</text>\n", left + bar + 8, y + 13,
                       call.seconds * 1e3, 100 * share);
  }
  return svg + "</svg>\n";
}

/// Its rates at their best: a clock that others keep low is no peak.
Roofline best_of(const Roofline& a, const Roofline& b) {
  return {std::max(a.flops_per_second, b.flops_per_second), std::max(a.bytes_per_second, b.bytes_per_second)};
}

void profile(const Model& model, const ProfileOptions& options) {
  const std::string& name = model.description.name;
  Workload workload(model, options);
  const bool gpu = workload.device() == Device::cuda;
  const Roofline before = gpu ? h100 : measure_roofline(threads());
  const Profile profile = measure(workload, options.seconds);
  const Roofline machine = gpu ? h100 : best_of(before, measure_roofline(threads()));
  if (options.json) {
    print_json(name, options, profile, machine);
  } else {
    print_table(profile, machine);
    print_summary(name, options, profile, machine);
  }
  if (options.svg.empty()) return;
  const std::string title = fmt::format("{}: {}, batch {}, {}, {:.2f} ms", name, options.mode, options.batch,
                                        profile.place, profile.step_seconds * 1e3);
  write_file(options.svg, draw(title, profile, machine));
}

}  // namespace

void add_profile_command(CLI::App& app, const Model& model) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* command = app.add_subcommand("profile", "Time each kernel of a step, beside what the machine can do");
  add_workload_options(*command, model, *options);
  command->add_option("--svg", options->svg, "draw the kernels, the longest first")->type_name("FILE");
  command->add_flag("--json", options->json, "one JSON object instead of a table");
  command->footer(
      "The roofline is the share of what the machine's arithmetic or memory can do, whichever limits the kernel, as\n"
      "measured before and after the run. It may exceed 100 %: Winograd's algorithm takes fewer products than are\n"
      "counted, and data that stay in caches come faster than from memory.");
  command->callback([&model, options] { profile(model, *options); });
}

}  // namespace netc

// Progress of an epoch: a bar on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace netc {

/// Writes to standard error. That nobody can read it ends no run.
void say(std::string_view text);

class Progress {
 public:
  /// Writes to standard error. `label` is what stands before the bar; `unit` is what is counted.
  Progress(std::string label, std::int64_t total, std::int64_t done = 0, std::string unit = "examples");
  /// Takes the bar off the terminal.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` is shown behind the bar: the loss so far. Nothing is shown before something is done: it has no rate.
  void update(std::int64_t done, const std::string& note);

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  std::int64_t total_;
  std::int64_t first_;
  std::string unit_;
  bool terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = start_;
};

}  // namespace netc

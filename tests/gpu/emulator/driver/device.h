// The one device: its memory, modules, streams and counts, and the error that ended its use.
#pragma once

#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "../counts.h"
#include "../device_memory.h"
#include "../program.h"
#include "../warp.h"
#include "settings.h"
#include "types.h"

namespace netc::emulator {

struct Function {
  Program program;
  int dynamic_shared_limit = 0;  ///< 0: what every launch may have
};

struct LoadedModule {
  std::map<std::string, Function> functions;
  struct Global {
    Address address;
    std::size_t bytes;
  };
  std::map<std::string, Global> globals;
};

using Operation = std::function<Result()>;

struct Graph {
  std::vector<Operation> operations;
};

/// Work is done at once, except while it is captured, and in lazy streams.
struct Stream {
  std::unique_ptr<Graph> capture;
  std::deque<Operation> pending;
};

struct LaunchRequest {
  Function* function;
  Dim3 grid;
  Dim3 block;
  std::uint32_t shared_bytes;
};

class Device {
 public:
  /// Never destroyed by itself: programs free memory while they end.
  static Device& instance() { return *current(); }
  /// Begins anew, as in another process.
  static void reset();
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  std::recursive_mutex& mutex() { return mutex_; }
  const Settings& settings() const { return settings_; }
  DeviceMemory& memory() { return memory_; }
  Counts& counts() { return counts_; }

  Result initialize();
  bool initialized() const { return initialized_; }
  /// What every call returns once a kernel has failed.
  Result error() const { return error_; }

  Result allocate(Address* address, std::size_t bytes, Visible visible = Visible::to_the_device);
  Result free(Address address);
  Result load_module(LoadedModule** module, const char* image, std::string* message);
  Result unload_module(LoadedModule* module);

  /// Does the work, or records it where the stream captures, or leaves it to who waits for it where streams are lazy.
  /// `stream` may be null, the default stream, which is never lazy.
  Result submit(Stream* stream, const Operation& operation);
  /// Does what lazy streams were left, in their order, until `done()`; or all of it, of one stream or of each.
  Result catch_up(Stream* stream, const std::function<bool()>& done);
  Result catch_up(Stream* stream);
  Result catch_up();
  Result begin_capture(Stream* stream);
  Result end_capture(Stream* stream, Graph** graph);
  bool capturing() const { return capturing_ > 0; }
  Result synchronize();

  Result check(const LaunchRequest& request) const;
  Result launch(const LaunchRequest& request, const std::vector<std::uint8_t>& parameters);

  template <class... Arguments>
  void log(const char* format, const Arguments&... arguments);
  /// Writes the counts to the log, and adds them to the totals.
  void finish();

 private:
  Device();
  static Device*& current();
  Result fail(Result result, const std::string& message);
  std::unique_ptr<LoadedModule> build_module(const char* image);

  Settings settings_;
  DeviceMemory memory_;
  Counts counts_{};
  std::recursive_mutex mutex_;
  bool initialized_ = false;
  Result error_ = Result::success;
  int capturing_ = 0;
  std::set<Stream*> behind_;  // have pending work
  std::map<LoadedModule*, std::unique_ptr<LoadedModule>> modules_;
  std::FILE* log_ = nullptr;
};

}  // namespace netc::emulator

#include <fmt/format.h>

template <class... Arguments>
void netc::emulator::Device::log(const char* format, const Arguments&... arguments) {
  if (log_ == nullptr) return;
  fmt::print(log_, fmt::runtime(format), arguments...);
  std::fputc('\n', log_);
  std::fflush(log_);
}

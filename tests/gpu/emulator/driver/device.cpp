// What the device does for the driver's calls.
#include "device.h"

#include <algorithm>
#include <cstring>

#include "../decoder.h"
#include "../fault.h"
#include "../launch.h"
#include "fat_binary.h"

namespace netc::emulator {
namespace {

constexpr std::uint32_t kSharedLimit = 48 << 10;  // without cuFuncSetAttribute

/// The version of PTX that a driver knows: CUDA 11.x brought 7.x, 12.x 8.x, and so on.
int ptx_version(std::int64_t driver) {
  return static_cast<int>((driver / 1000 - 4) * 10 + std::min<std::int64_t>(driver % 1000 / 10, 9));
}

std::string text_of(const Counts& counts) {
  return fmt::format(
      "allocations {} frees {} pinned {} live_bytes {} peak_bytes {} to_device {} bytes {} to_host {} bytes {} "
      "on_device {} bytes {} sets {} modules {} launches {} graph_launches {} synchronizations {} instructions {} "
      "multiply_adds {} uninitialized_reads {}",
      counts.allocations, counts.frees, counts.pinned_allocations, counts.live_bytes, counts.peak_bytes,
      counts.copies_to_device, counts.bytes_to_device, counts.copies_to_host, counts.bytes_to_host,
      counts.copies_on_device, counts.bytes_on_device, counts.sets, counts.modules, counts.launches,
      counts.graph_launches, counts.synchronizations, counts.instructions, counts.multiply_adds,
      counts.uninitialized_reads);
}

}  // namespace

Device*& Device::current() {
  static auto* device = new Device;
  return device;
}

void Device::reset() {
  delete current();
  current() = new Device;
}

Device::~Device() {
  finish();
  if (log_ != nullptr) std::fclose(log_);
}

Device::Device() : settings_(Settings::from_environment()), memory_(static_cast<std::size_t>(settings_.memory)) {
  if (!settings_.log.empty()) log_ = std::fopen(settings_.log.c_str(), "w");
}

Result Device::initialize() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    fmt::print(stderr, "CUDA emulator: needs a processor with AVX2 and FMA\n");
    return Result::no_device;
  }
  if (settings_.devices == 0) return Result::no_device;
  initialized_ = true;
  return Result::success;
}

Result Device::fail(Result result, const std::string& message) {
  fmt::print(stderr, "CUDA emulator: {}\n", message);
  log("error {} {}", name_of(result), message);
  error_ = result;
  return result;
}

Result Device::allocate(Address* address, std::size_t bytes, Visible visible) {
  if (bytes == 0) return Result::invalid_value;
  if (capturing()) return Result::stream_capture_unsupported;
  *address = memory_.allocate(bytes, visible);
  log("allocate {}{}", bytes, *address == 0 ? " fails" : "");
  if (*address == 0) return Result::out_of_memory;
  ++counts_.allocations;
  counts_.allocated_bytes += static_cast<std::int64_t>(bytes);
  return Result::success;
}

Result Device::free(Address address) {
  if (address == 0) return Result::success;
  if (const Result before = catch_up(); before != Result::success) return before;
  if (!memory_.free(address)) return Result::invalid_value;
  ++counts_.frees;
  log("free");
  return Result::success;
}

std::unique_ptr<LoadedModule> Device::build_module(const char* image) {
  const Module module = parse_ptx(image);
  if (module.version > ptx_version(settings_.driver)) {
    throw Fault(Result::unsupported_ptx_version,
                fmt::format("PTX {}.{} is newer than the driver", module.version / 10, module.version % 10));
  }
  if (module.capability > settings_.capability) {
    throw Fault(Result::no_binary_for_gpu,
                fmt::format("PTX for sm_{} on sm_{}", module.capability, settings_.capability));
  }
  auto result = std::make_unique<LoadedModule>();
  Symbols symbols;
  for (const Variable& variable : module.variables) {
    if (variable.space == Space::shared) {
      symbols[variable.name] = 0;  // `extern .shared`: where a launch's own shared memory begins
      continue;
    }
    const auto bytes = static_cast<std::size_t>(std::max<std::int64_t>(variable.bytes, 1));
    const Address address = memory_.allocate(bytes);
    if (address == 0) throw Fault(Result::out_of_memory, "no memory for the module's variables");
    std::memset(DeviceMemory::host(address), 0, bytes);
    std::copy(variable.initial.begin(), variable.initial.end(), DeviceMemory::host(address));
    symbols[variable.name] = address;
    result->globals[variable.name] = {address, bytes};
  }
  for (const Kernel& kernel : module.kernels) result->functions[kernel.name].program = decode(kernel, symbols);
  return result;
}

Result Device::load_module(LoadedModule** module, const char* image, std::string* message) {
  if (std::memcmp(image, "\177ELF", 4) == 0) {
    *message = "a binary for a device: the emulator takes PTX";
    return Result::no_binary_for_gpu;
  }
  try {
    const std::optional<std::string> packed = ptx_in_fat_binary(image);
    std::unique_ptr<LoadedModule> built = build_module(packed ? packed->c_str() : image);
    *module = built.get();
    modules_[built.get()] = std::move(built);
    ++counts_.modules;
    for (const auto& [name, function] : (*module)->functions) {
      log("load {} instructions {}", name, function.program.instructions.size());
    }
    return Result::success;
  } catch (const PtxError& error) {
    *message = error.what();
    fmt::print(stderr, "CUDA emulator: {}\n", error.what());
    return Result::invalid_ptx;
  } catch (const Fault& fault) {
    *message = fault.what();
    return fault.code();
  }
}

Result Device::unload_module(LoadedModule* module) {
  const auto found = modules_.find(module);
  if (found == modules_.end()) return Result::invalid_handle;
  if (const Result before = catch_up(); before != Result::success) return before;
  for (const auto& [name, global] : module->globals) memory_.free(global.address);
  modules_.erase(found);
  return Result::success;
}

Result Device::submit(Stream* stream, const Operation& operation) {
  if (stream != nullptr && stream->capture != nullptr) {
    stream->capture->operations.push_back(operation);
    return Result::success;
  }
  if (stream == nullptr && capturing()) return Result::stream_capture_implicit;
  if (stream == nullptr || !settings_.lazy) return operation();
  stream->pending.push_back(operation);
  behind_.insert(stream);
  return Result::success;
}

Result Device::catch_up(Stream* stream, const std::function<bool()>& done) {
  if (stream == nullptr) return Result::success;
  Result result = error_;
  while (result == Result::success && !stream->pending.empty() && !done()) {
    const Operation operation = std::move(stream->pending.front());
    stream->pending.pop_front();
    result = operation();
  }
  if (result != Result::success) stream->pending.clear();
  if (stream->pending.empty()) behind_.erase(stream);
  return result;
}

Result Device::catch_up(Stream* stream) {
  return catch_up(stream, [] { return false; });
}

Result Device::catch_up() {
  while (!behind_.empty()) {
    const Result result = catch_up(*behind_.begin());
    if (result != Result::success) return result;
  }
  return Result::success;
}

Result Device::begin_capture(Stream* stream) {
  if (stream == nullptr) return Result::stream_capture_unsupported;
  if (stream->capture != nullptr) return Result::invalid_value;
  stream->capture = std::make_unique<Graph>();
  ++capturing_;
  return Result::success;
}

Result Device::end_capture(Stream* stream, Graph** graph) {
  if (stream == nullptr || stream->capture == nullptr) return Result::stream_capture_unmatched;
  *graph = stream->capture.release();
  --capturing_;
  return Result::success;
}

Result Device::synchronize() {
  if (capturing()) return Result::stream_capture_unsupported;
  ++counts_.synchronizations;
  log("synchronize");
  return Result::success;
}

Result Device::check(const LaunchRequest& request) const {
  const Dim3& grid = request.grid;
  const Dim3& block = request.block;
  const bool some = grid.count() > 0 && block.count() > 0;
  const bool fits = block.count() <= 1024 && block.z <= 64 && grid.y <= 65535 && grid.z <= 65535;
  const auto limit =
      std::max<std::uint32_t>(kSharedLimit, static_cast<std::uint32_t>(request.function->dynamic_shared_limit));
  const auto shared = static_cast<std::uint32_t>(request.function->program.shared_bytes) + request.shared_bytes;
  return some && fits && shared <= limit ? Result::success : Result::invalid_value;
}

Result Device::launch(const LaunchRequest& request, const std::vector<std::uint8_t>& parameters) {
  ++counts_.launches;
  const Program& program = request.function->program;
  if (settings_.lost_after >= 0 && counts_.launches > settings_.lost_after) {
    return fail(Result::launch_failed, fmt::format("lost before launch {}, as asked", counts_.launches));
  }
  LaunchCounts done;
  try {
    if (settings_.execute) done = run(program, request.grid, request.block, request.shared_bytes, parameters, memory_);
  } catch (const Fault& fault) {
    return fail(fault.code(), fault.what());
  }
  counts_.instructions += done.instructions;
  counts_.multiply_adds += done.multiply_adds;
  counts_.uninitialized_reads += done.uninitialized_reads;
  log("launch {} grid {},{},{} block {},{},{} shared {} instructions {} multiply_adds {} uninitialized {}",
      program.name, request.grid.x, request.grid.y, request.grid.z, request.block.x, request.block.y, request.block.z,
      static_cast<std::uint32_t>(program.shared_bytes) + request.shared_bytes, done.instructions, done.multiply_adds,
      done.uninitialized_reads);
  return Result::success;
}

void Device::finish() {
  counts_.live_bytes = static_cast<std::int64_t>(memory_.live());
  counts_.peak_bytes = static_cast<std::int64_t>(memory_.peak());
  const std::string counts = text_of(counts_);
  log("counts {}", counts);
  if (settings_.totals.empty() || counts_.launches == 0) return;
  std::FILE* totals = std::fopen(settings_.totals.c_str(), "a");
  if (totals == nullptr) return;
  fmt::print(totals, "{}\n", counts);
  std::fclose(totals);
}

}  // namespace netc::emulator

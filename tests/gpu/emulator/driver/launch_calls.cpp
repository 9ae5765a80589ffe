// cuModule..., cuLaunchKernel, cuFunc...: kernels.
#include <algorithm>
#include <cstring>

#include "entry.h"

namespace netc::emulator {
namespace {

enum class JitOption : int { max_registers = 0, error_log = 5, error_log_size = 6 };

/// Hands the reason of a failure to who asked for it by options of cuModuleLoadDataEx.
void write_error_log(const std::string& message, unsigned count, const JitOption* options, void** values) {
  char* buffer = nullptr;
  std::size_t size = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == JitOption::error_log) buffer = static_cast<char*>(values[i]);
    if (options[i] == JitOption::error_log_size) size = reinterpret_cast<std::size_t>(values[i]);
  }
  if (buffer == nullptr || size == 0) return;
  const std::size_t copied = std::min(size - 1, message.size());
  std::memcpy(buffer, message.data(), copied);
  buffer[copied] = 0;
}

void note_register_cap(Counts& counts, unsigned count, const JitOption* options, void** values) {
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] != JitOption::max_registers) continue;
    const auto cap = static_cast<std::int64_t>(reinterpret_cast<std::size_t>(values[i]));
    counts.register_cap = counts.register_cap == 0 ? cap : std::min(counts.register_cap, cap);
  }
}

/// The values that `kernelParams` points to, laid out as the kernel expects.
std::vector<std::uint8_t> gather_parameters(const Program& program, void** values) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(program.parameters_size));
  for (std::size_t i = 0; i < program.parameter_offsets.size(); ++i) {
    std::memcpy(bytes.data() + program.parameter_offsets[i], values[i],
                static_cast<std::size_t>(program.parameter_bytes[i]));
  }
  return bytes;
}

}  // namespace

NETC_CUDA_API cuModuleLoadDataEx(LoadedModule** module, const void* image, unsigned count, JitOption* options,
                                 void** values) {
  return with_context([&](Device& device) {
    std::string message;
    note_register_cap(device.counts(), count, options, values);
    const Result result = device.load_module(module, static_cast<const char*>(image), &message);
    if (result != Result::success) write_error_log(message, count, options, values);
    return result;
  });
}

NETC_CUDA_API cuModuleLoadData(LoadedModule** module, const void* image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

NETC_CUDA_API cuModuleUnload(LoadedModule* module) {
  return with_context([&](Device& device) { return device.unload_module(module); });
}

NETC_CUDA_API cuModuleGetFunction(Function** function, LoadedModule* module, const char* name) {
  return with_context([&](Device& /*device*/) {
    const auto found = module->functions.find(name);
    if (found == module->functions.end()) return Result::not_found;
    *function = &found->second;
    return Result::success;
  });
}

NETC_CUDA_API cuModuleGetGlobal_v2(Address* address, std::size_t* bytes, LoadedModule* module, const char* name) {
  return with_context([&](Device& /*device*/) {
    const auto found = module->globals.find(name);
    if (found == module->globals.end()) return Result::not_found;
    if (address != nullptr) *address = found->second.address;
    if (bytes != nullptr) *bytes = found->second.bytes;
    return Result::success;
  });
}

NETC_CUDA_API cuFuncSetAttribute(Function* function, int attribute, int value) {
  return with_context([&](Device& /*device*/) {
    constexpr int kMaxDynamicShared = 8;
    constexpr int kLimit = 163 << 10;  // of capability 80
    if (attribute != kMaxDynamicShared) return Result::success;
    if (value < 0 || value > kLimit) return Result::invalid_value;
    function->dynamic_shared_limit = value;
    return Result::success;
  });
}

NETC_CUDA_API cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                             unsigned block_y, unsigned block_z, unsigned shared_bytes, Stream* stream,
                             void** parameters, void** extra) {
  return with_context([&](Device& device) {
    if (function == nullptr) return Result::invalid_handle;
    if (extra != nullptr && parameters == nullptr) return Result::not_supported;
    const LaunchRequest request{function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes};
    const Result checked = device.check(request);
    if (checked != Result::success) return checked;
    const std::vector<std::uint8_t> values = gather_parameters(function->program, parameters);
    return device.submit(stream, [&device, request, values] { return device.launch(request, values); });
  });
}

}  // namespace netc::emulator

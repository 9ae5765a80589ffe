// cuInit, cuDevice..., cuCtx...: the device and its contexts.
#include <algorithm>
#include <cstring>
#include <map>
#include <type_traits>

#include "entry.h"

namespace netc::emulator {

bool ContextStack::push(Context* context) {
  if (context == nullptr || size_ == contexts_.size()) return false;
  contexts_[size_++] = context;
  return true;
}

void ContextStack::pop() {
  if (size_ > 0) --size_;
}

void ContextStack::remove(const Context* context) {
  size_ =
      static_cast<std::size_t>(std::remove(contexts_.begin(), contexts_.begin() + size_, context) - contexts_.begin());
}

ContextStack& context_stack() {
  static_assert(std::is_trivially_destructible_v<ContextStack>);
  thread_local ContextStack stack{};
  return stack;
}

namespace {

constexpr char kName[] = "netc CUDA emulator";

Context& primary_context() {
  static auto* const context = new Context;
  return *context;
}

int attribute(const Settings& settings, Attribute which) {
  static const std::map<Attribute, int> fixed = {{Attribute::max_threads_per_block, 1024},
                                                 {Attribute::max_block_x, 1024},
                                                 {Attribute::max_block_y, 1024},
                                                 {Attribute::max_block_z, 64},
                                                 {Attribute::max_grid_x, 2147483647},
                                                 {Attribute::max_grid_y, 65535},
                                                 {Attribute::max_grid_z, 65535},
                                                 {Attribute::shared_memory_per_block, 48 << 10},
                                                 {Attribute::constant_memory, 64 << 10},
                                                 {Attribute::warp_size, kWarpSize},
                                                 {Attribute::registers_per_block, 65536},
                                                 {Attribute::clock_rate, 1410000},
                                                 {Attribute::multiprocessors, 108},
                                                 {Attribute::unified_addressing, 1},
                                                 {Attribute::shared_memory_per_multiprocessor, 164 << 10},
                                                 {Attribute::registers_per_multiprocessor, 65536},
                                                 {Attribute::shared_memory_per_block_optin, 163 << 10}};
  if (which == Attribute::concurrent_managed_access) return settings.managed ? 1 : 0;
  if (which == Attribute::capability_major) return static_cast<int>(settings.capability / 10);
  if (which == Attribute::capability_minor) return static_cast<int>(settings.capability % 10);
  const auto found = fixed.find(which);
  return found == fixed.end() ? 0 : found->second;
}

}  // namespace

NETC_CUDA_API cuInit(unsigned flags) {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  return code(flags != 0 ? Result::invalid_value : device.initialize());
}

NETC_CUDA_API cuDriverGetVersion(int* version) {
  *version = static_cast<int>(Device::instance().settings().driver);
  return 0;
}

NETC_CUDA_API cuDeviceGetCount(int* count) {
  return with_device([&](Device& device) {
    *count = static_cast<int>(device.settings().devices);
    return Result::success;
  });
}

NETC_CUDA_API cuDeviceGet(int* handle, int ordinal) {
  return with_device([&](Device& device) {
    if (ordinal < 0 || ordinal >= device.settings().devices) return Result::invalid_device;
    *handle = ordinal;
    return Result::success;
  });
}

NETC_CUDA_API cuDeviceGetAttribute(int* value, Attribute which, int /*device*/) {
  return with_device([&](Device& device) {
    *value = attribute(device.settings(), which);
    return Result::success;
  });
}

NETC_CUDA_API cuDeviceGetName(char* name, int size, int /*device*/) {
  if (size <= 0) return code(Result::invalid_value);
  const std::size_t copied = std::min(sizeof(kName) - 1, static_cast<std::size_t>(size) - 1);
  std::memcpy(name, kName, copied);
  name[copied] = 0;
  return 0;
}

NETC_CUDA_API cuDeviceTotalMem_v2(std::size_t* bytes, int /*device*/) {
  return with_device([&](Device& device) {
    *bytes = device.memory().total();
    return Result::success;
  });
}

NETC_CUDA_API cuCtxCreate_v2(Context** context, unsigned /*flags*/, int ordinal) {
  return with_device([&](Device& device) {
    if (ordinal < 0 || ordinal >= device.settings().devices) return Result::invalid_device;
    *context = new Context{ordinal};
    return context_stack().push(*context) ? Result::success : Result::invalid_context;
  });
}

NETC_CUDA_API cuCtxDestroy_v2(Context* context) {
  context_stack().remove(context);
  if (context != &primary_context()) delete context;
  return 0;
}

NETC_CUDA_API cuDevicePrimaryCtxRetain(Context** context, int /*device*/) {
  return with_device([&](Device& /*device*/) {
    *context = &primary_context();
    return Result::success;
  });
}

NETC_CUDA_API cuDevicePrimaryCtxRelease_v2(int /*device*/) {
  return 0;
}

NETC_CUDA_API cuCtxPushCurrent_v2(Context* context) {
  return with_device(
      [&](Device& /*device*/) { return context_stack().push(context) ? Result::success : Result::invalid_context; });
}

NETC_CUDA_API cuCtxPopCurrent_v2(Context** context) {
  return with_device([&](Device& /*device*/) {
    if (context_stack().current() == nullptr) return Result::invalid_context;
    if (context != nullptr) *context = context_stack().current();
    context_stack().pop();
    return Result::success;
  });
}

NETC_CUDA_API cuCtxSetCurrent(Context* context) {
  return with_device([&](Device& /*device*/) {
    context_stack().pop();
    return context == nullptr || context_stack().push(context) ? Result::success : Result::invalid_context;
  });
}

NETC_CUDA_API cuCtxGetCurrent(Context** context) {
  *context = context_stack().current();
  return 0;
}

NETC_CUDA_API cuCtxGetDevice(int* device) {
  if (context_stack().current() == nullptr) return code(Result::invalid_context);
  *device = context_stack().current()->device;
  return 0;
}

NETC_CUDA_API cuCtxGetApiVersion(Context* /*context*/, unsigned* version) {
  *version = 3020;
  return 0;
}

NETC_CUDA_API cuCtxSynchronize() {
  return with_context([](Device& device) {
    const Result before = device.catch_up();
    return before == Result::success ? device.synchronize() : before;
  });
}

NETC_CUDA_API cuProfilerStart() {
  return 0;
}

NETC_CUDA_API cuProfilerStop() {
  return 0;
}

NETC_CUDA_API cuGetErrorName(Result result, const char** name) {
  *name = name_of(result);
  return code(*name == nullptr ? Result::invalid_value : Result::success);
}

NETC_CUDA_API cuGetErrorString(Result result, const char** text) {
  *text = meaning_of(result);
  return code(*text == nullptr ? Result::invalid_value : Result::success);
}

extern "C" __attribute__((visibility("default"))) void netc_emulator_counts(Counts* counts) {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  *counts = device.counts();
  counts->live_bytes = static_cast<std::int64_t>(device.memory().live());
  counts->peak_bytes = static_cast<std::int64_t>(device.memory().peak());
}

extern "C" __attribute__((visibility("default"))) void netc_emulator_reset() {
  Device::reset();
  context_stack().clear();
}

namespace {

[[gnu::destructor]] void finish() {
  Device::instance().finish();
}

}  // namespace
}  // namespace netc::emulator

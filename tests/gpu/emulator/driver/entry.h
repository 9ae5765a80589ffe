// What every entry point of the driver has in common.
#pragma once

#include <array>
#include <mutex>

#include "device.h"

#define NETC_CUDA_API extern "C" __attribute__((visibility("default"))) int

namespace netc::emulator {

/// A context; the device has but one state, so contexts are only told apart.
struct Context {
  int device = 0;
};

/// The contexts that a thread has pushed, the current one last. It has no destructor: Halide's runtime releases its
/// device after the thread's other variables are gone.
class ContextStack {
 public:
  Context* current() const { return size_ == 0 ? nullptr : contexts_[size_ - 1]; }
  bool push(Context* context);
  void pop();
  void remove(const Context* context);
  void clear() { size_ = 0; }

 private:
  std::array<Context*, 32> contexts_;
  std::size_t size_;
};

ContextStack& context_stack();

inline int code(Result result) {
  return static_cast<int>(result);
}

/// Calls `act(device)` if the driver is initialized.
template <class Act>
int with_device(const Act& act) {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  if (!device.initialized()) return code(Result::not_initialized);
  return code(act(device));
}

/// Calls `act(device)` if the thread has a current context and no kernel has failed.
template <class Act>
int with_context(const Act& act) {
  return with_device([&](Device& device) {
    if (context_stack().current() == nullptr) return Result::invalid_context;
    return device.error() != Result::success ? device.error() : act(device);
  });
}

}  // namespace netc::emulator

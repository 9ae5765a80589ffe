#include "netc/cuda.h"

#include <HalideRuntimeCuda.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "netc/error.h"

namespace netc::cuda {

namespace {

// What the driver's own header would declare.
using Status = int;
using Context = void*;
using Address = unsigned long long;

constexpr Status success = 0;
constexpr Status out_of_memory = 2;
constexpr unsigned attach_global = 1;

enum Attribute : int { capability_major = 75, capability_minor = 76 };

// Kernels are PTX 7.0 for compute capability 8.0.
constexpr int least_driver = 11000;
constexpr int least_capability = 80;

struct Functions {
  Status (*init)(unsigned flags);
  Status (*driver_version)(int* version);
  Status (*device_count)(int* count);
  Status (*device)(int* device, int ordinal);
  Status (*device_name)(char* name, int size, int device);
  Status (*device_attribute)(int* value, Attribute attribute, int device);
  Status (*retain_context)(Context* context, int device);
  Status (*push_context)(Context context);
  Status (*pop_context)(Context* context);
  Status (*synchronize)();
  Status (*memory_info)(std::size_t* free, std::size_t* total);
  Status (*allocate)(Address* memory, std::size_t bytes);
  Status (*allocate_managed)(Address* memory, std::size_t bytes, unsigned flags);
  Status (*release)(Address memory);
  Status (*to_device)(Address to, const void* from, std::size_t bytes);
  Status (*to_host)(void* to, Address from, std::size_t bytes);
  Status (*error_name)(Status status, const char** name);
};

/// The driver, its first GPU, and that GPU's primary context.
class Driver {
 public:
  static const Driver& get() {
    static const Driver& driver = *new Driver;  // never destroyed: what the GPU holds is freed at exit, in any order
    return driver;
  }

  const std::string& problem() const { return problem_; }
  const Functions& call() const { return functions_; }
  Context context() const { return context_; }

  std::string name_of(Status status) const {
    const char* name = nullptr;
    if (functions_.error_name == nullptr || functions_.error_name(status, &name) != success || name == nullptr) {
      return fmt::format("error {}", status);
    }
    return name;
  }

 private:
  Driver() : problem_(load()) {
    if (problem_.empty()) problem_ = open();
    if (!problem_.empty()) return;
    // Without this, Halide has the driver spill what 64 registers do not hold.
    ::setenv("HL_CUDA_JIT_MAX_REGISTERS", "255", 0);
    halide_set_cuda_acquire_context([](void*, void** context, bool) {
      *context = get().context();
      return success;
    });
    halide_set_cuda_release_context([](void*) { return success; });
  }

  /// Halide's runtime finds the driver by these global symbols.
  std::string load() {
    void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) return fmt::format("there is no CUDA driver ({})", ::dlerror());
    std::string missing;
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
      if (function == nullptr && missing.empty()) missing = name;
    };
    Functions& f = functions_;
    find(f.error_name, "cuGetErrorName");
    find(f.init, "cuInit");
    find(f.driver_version, "cuDriverGetVersion");
    find(f.device_count, "cuDeviceGetCount");
    find(f.device, "cuDeviceGet");
    find(f.device_name, "cuDeviceGetName");
    find(f.device_attribute, "cuDeviceGetAttribute");
    find(f.retain_context, "cuDevicePrimaryCtxRetain");
    find(f.push_context, "cuCtxPushCurrent_v2");
    find(f.pop_context, "cuCtxPopCurrent_v2");
    find(f.synchronize, "cuCtxSynchronize");
    find(f.memory_info, "cuMemGetInfo_v2");
    find(f.allocate, "cuMemAlloc_v2");
    find(f.allocate_managed, "cuMemAllocManaged");
    find(f.release, "cuMemFree_v2");
    find(f.to_device, "cuMemcpyHtoD_v2");
    find(f.to_host, "cuMemcpyDtoH_v2");
    return missing.empty() ? "" : fmt::format("the CUDA driver is too old: it has no {}", missing);
  }

  std::string open() {
    int version = 0;
    int count = 0;
    int device = 0;
    if (const Status status = functions_.init(0); status != success) return failed("cuInit", status);
    if (const Status status = functions_.driver_version(&version); status != success) {
      return failed("cuDriverGetVersion", status);
    }
    if (version < least_driver) {
      return fmt::format("the CUDA driver is too old: it is for CUDA {}.{}, expected {}.0 or later", version / 1000,
                         version % 1000 / 10, least_driver / 1000);
    }
    if (const Status status = functions_.device_count(&count); status != success) {
      return failed("cuDeviceGetCount", status);
    }
    if (count == 0) return "the CUDA driver finds no GPU";
    if (const Status status = functions_.device(&device, 0); status != success) return failed("cuDeviceGet", status);
    if (std::string why = too_little(device); !why.empty()) return why;
    const Status status = functions_.retain_context(&context_, device);
    return status == success ? "" : failed("cuDevicePrimaryCtxRetain", status);
  }

  std::string too_little(int device) const {
    std::array<char, 256> name{};
    int major = 0;
    int minor = 0;
    functions_.device_name(name.data(), static_cast<int>(name.size()), device);
    functions_.device_attribute(&major, capability_major, device);
    functions_.device_attribute(&minor, capability_minor, device);
    if (10 * major + minor >= least_capability) return "";
    return fmt::format("the GPU {} has compute capability {}.{}, expected {}.0 or more", name.data(), major, minor,
                       least_capability / 10);
  }

  std::string failed(const char* function, Status status) const {
    return fmt::format("{}: {}", function, name_of(status));
  }

  Functions functions_{};
  Context context_ = nullptr;
  std::string problem_;
};

void require(Status status, const char* function) {
  if (status == success) return;
  throw Error(ErrorKind::device, fmt::format("CUDA: {}: {}", function, Driver::get().name_of(status)));
}

/// The GPU's context is this thread's for as long as this lives.
class CurrentContext {
 public:
  CurrentContext() : driver_(Driver::get()) {
    if (!driver_.problem().empty()) throw Error(ErrorKind::device, driver_.problem());
    require(call().push_context(driver_.context()), "cuCtxPushCurrent");
  }
  ~CurrentContext() {
    Context context = nullptr;
    call().pop_context(&context);
  }
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

  const Functions& call() const { return driver_.call(); }

 private:
  const Driver& driver_;
};

Address address(const void* memory) {
  return reinterpret_cast<Address>(memory);
}

}  // namespace

const std::string& problem() {
  return Driver::get().problem();
}

void* allocate(std::int64_t bytes, Memory kind, const std::string& purpose) {
  const CurrentContext current;
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1));
  const bool shared = kind == Memory::shared;
  Address memory = 0;
  const Status status =
      shared ? current.call().allocate_managed(&memory, size, attach_global) : current.call().allocate(&memory, size);
  if (status == out_of_memory) {
    throw Error(ErrorKind::memory, fmt::format("cannot allocate {} bytes for {} on the GPU: {}", size, purpose,
                                               Driver::get().name_of(status)));
  }
  require(status, shared ? "cuMemAllocManaged" : "cuMemAlloc");
  return reinterpret_cast<void*>(memory);
}

void release(void* memory) noexcept try {
  if (memory == nullptr) return;
  const CurrentContext current;
  current.call().release(address(memory));
} catch (const Error&) {
  // The GPU is lost, and its memory with it.
}

std::int64_t free_bytes() {
  const CurrentContext current;
  std::size_t free = 0;
  std::size_t total = 0;
  require(current.call().memory_info(&free, &total), "cuMemGetInfo");
  return static_cast<std::int64_t>(free);
}

void copy_to_device(void* to, const void* from, std::int64_t bytes) {
  const CurrentContext current;
  require(current.call().to_device(address(to), from, static_cast<std::size_t>(bytes)), "cuMemcpyHtoD");
}

void copy_to_host(void* to, const void* from, std::int64_t bytes) {
  const CurrentContext current;
  require(current.call().to_host(to, address(from), static_cast<std::size_t>(bytes)), "cuMemcpyDtoH");
}

void synchronize() {
  const CurrentContext current;
  require(current.call().synchronize(), "cuCtxSynchronize");
}

}  // namespace netc::cuda

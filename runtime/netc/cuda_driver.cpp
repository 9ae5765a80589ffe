#include "netc/cuda_driver.h"

#include <HalideRuntimeCuda.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "netc/cuda_queue.h"
#include "netc/error.h"

namespace netc::cuda {

namespace {

// Kernels are PTX 7.0 for compute capability 8.0.
constexpr int least_driver = 11000;
constexpr int least_capability = 80;

/// Whether there is such a function.
template <class Function>
bool look_up(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

}  // namespace

const Driver& Driver::get() {
  static const Driver& driver = *new Driver;  // never destroyed: what the GPU holds is freed at exit, in any order
  return driver;
}

std::string Driver::name_of(Status status) const {
  const char* name = nullptr;
  if (functions_.error_name == nullptr || functions_.error_name(status, &name) != success || name == nullptr) {
    return fmt::format("error {}", status);
  }
  return name;
}

Driver::Driver() : problem_(load()) {
  if (problem_.empty()) problem_ = open();
  if (!problem_.empty()) return;
  // Without this, Halide has the driver spill what 64 registers do not hold.
  ::setenv("HL_CUDA_JIT_MAX_REGISTERS", "255", 0);
  halide_set_cuda_acquire_context([](void*, void** context, bool) {
    *context = get().context();
    return success;
  });
  halide_set_cuda_release_context([](void*) { return success; });
  halide_set_cuda_get_stream([](void*, void*, void** stream) {
    *stream = current_stream();
    return success;
  });
}

/// Halide's runtime finds the driver by these global symbols.
std::string Driver::load() {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) return fmt::format("there is no CUDA driver ({})", ::dlerror());
  std::string missing;
  const auto find = [&](auto& function, const char* name) {
    if (!look_up(library, name, function) && missing.empty()) missing = name;
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
  find(f.allocate_pinned, "cuMemAllocHost_v2");
  find(f.release_pinned, "cuMemFreeHost");
  find(f.to_device, "cuMemcpyHtoDAsync_v2");
  find(f.to_host, "cuMemcpyDtoHAsync_v2");
  find(f.create_stream, "cuStreamCreate");
  find(f.destroy_stream, "cuStreamDestroy_v2");
  find(f.wait_for_stream, "cuStreamSynchronize");
  find(f.create_event, "cuEventCreate");
  find(f.destroy_event, "cuEventDestroy_v2");
  find(f.record_event, "cuEventRecord");
  find(f.wait_for_event, "cuEventSynchronize");
  if (missing.empty()) find_graphs(library);
  return missing.empty() ? "" : fmt::format("the CUDA driver is too old: it has no {}", missing);
}

/// All of these functions or none.
void Driver::find_graphs(void* library) {
  bool all = true;
  const auto find = [&](auto& function, const char* name) { all = look_up(library, name, function) && all; };
  find(functions_.begin_capture, "cuStreamBeginCapture_v2");
  find(functions_.end_capture, "cuStreamEndCapture");
  find(functions_.instantiate, "cuGraphInstantiateWithFlags");
  find(functions_.launch_graph, "cuGraphLaunch");
  find(functions_.destroy_graph, "cuGraphDestroy");
  find(functions_.destroy_executable, "cuGraphExecDestroy");
  has_graphs_ = all;
}

std::string Driver::open() {
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

std::string Driver::too_little(int device) const {
  std::array<char, 256> name{};
  int major = 0;
  int minor = 0;
  int shares = 0;
  functions_.device_name(name.data(), static_cast<int>(name.size()), device);
  functions_.device_attribute(&major, capability_major, device);
  functions_.device_attribute(&minor, capability_minor, device);
  functions_.device_attribute(&shares, concurrent_managed_access, device);
  if (10 * major + minor < least_capability) {
    return fmt::format("the GPU {} has compute capability {}.{}, expected {}.0 or more", name.data(), major, minor,
                       least_capability / 10);
  }
  if (shares != 0) return "";
  return fmt::format(
      "the GPU {} cannot share memory with the CPU while it computes (concurrentManagedAccess), as under Windows and "
      "WSL",
      name.data());
}

std::string Driver::failed(const char* function, Status status) const {
  return fmt::format("{}: {}", function, name_of(status));
}

void require(Status status, const char* function) {
  if (status == success) return;
  throw Error(ErrorKind::device, fmt::format("CUDA: {}: {}", function, Driver::get().name_of(status)));
}

CurrentContext::CurrentContext() : driver_(Driver::get()) {
  if (!driver_.problem().empty()) throw Error(ErrorKind::device, driver_.problem());
  require(call().push_context(driver_.context()), "cuCtxPushCurrent");
}

CurrentContext::~CurrentContext() {
  Handle context = nullptr;
  call().pop_context(&context);
}

}  // namespace netc::cuda

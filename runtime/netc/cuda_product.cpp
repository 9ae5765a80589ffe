// The stage of a pipeline that calls a kernel for tensor cores (see compiler/ops/tensor_cores.h).
#include <HalideRuntimeCuda.h>

#include <array>
#include <map>
#include <mutex>

namespace {

/// Modules stay loaded, as those of pipelines do: an image is a constant of its pipeline.
class ProductModules {
 public:
  /// What Halide's runtime knows the module by; it is loaded where it is not yet.
  int load(const char* image, int bytes, void** state) {
    const std::lock_guard lock(mutex_);
    void*& known = states_[image];
    const int status = halide_cuda_initialize_kernels(nullptr, &known, image, bytes);
    *state = known;
    return status;
  }

 private:
  std::mutex mutex_;
  std::map<const char*, void*> states_;
};

ProductModules& product_modules() {
  static ProductModules& modules = *new ProductModules;  // never destroyed: the driver may be gone before
  return modules;
}

struct ProductKernel {
  const char* image;
  int image_bytes;
  const char* name;
  int blocks_x;
  int blocks_y;
  int threads;
  int batch;
};

/// All operands are on the device, or brought there; the last one is written.
template <std::size_t count>
int run(const ProductKernel& kernel, const std::array<halide_buffer_t*, count>& operands) {
  const halide_device_interface_t* device = halide_cuda_device_interface();
  for (halide_buffer_t* operand : operands) {
    if (operand->is_bounds_query()) return halide_error_code_success;
  }
  for (std::size_t i = 0; i + 1 < count; ++i) {
    if (const int status = halide_copy_to_device(nullptr, operands[i], device); status != 0) return status;
  }
  if (const int status = halide_device_malloc(nullptr, operands.back(), device); status != 0) return status;
  void* state = nullptr;
  if (const int status = product_modules().load(kernel.image, kernel.image_bytes, &state); status != 0) return status;
  std::array<void*, count + 2> arguments{};
  std::array<std::size_t, count + 2> sizes{};
  std::array<std::int8_t, count + 2> is_buffer{};
  for (std::size_t i = 0; i < count; ++i) {
    arguments[i] = operands[i];
    sizes[i] = sizeof(std::uint64_t);
    is_buffer[i] = 1;
  }
  int batch = kernel.batch;
  arguments[count] = &batch;
  sizes[count] = sizeof batch;
  const int status = halide_cuda_run(nullptr, state, kernel.name, kernel.blocks_x, kernel.blocks_y, 1, kernel.threads,
                                     1, 1, 0, sizes.data(), arguments.data(), is_buffer.data());
  halide_cuda_finalize_kernels(nullptr, state);
  operands.back()->set_device_dirty(true);
  return status;
}

}  // namespace

extern "C" int netc_cuda_product(const char* image, int image_bytes, const char* name, int blocks_x, int blocks_y,
                                 int threads, int batch, halide_buffer_t* a, halide_buffer_t* b,
                                 halide_buffer_t* result) {
  return run<3>({image, image_bytes, name, blocks_x, blocks_y, threads, batch}, {a, b, result});
}

extern "C" int netc_cuda_product_with_start(const char* image, int image_bytes, const char* name, int blocks_x,
                                            int blocks_y, int threads, int batch, halide_buffer_t* a,
                                            halide_buffer_t* b, halide_buffer_t* start, halide_buffer_t* result) {
  return run<4>({image, image_bytes, name, blocks_x, blocks_y, threads, batch}, {a, b, start, result});
}

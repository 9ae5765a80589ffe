// The driver's functions, and the GPU that they are for. For the files of namespace cuda alone.
#pragma once

#include <cstddef>
#include <string>

namespace netc::cuda {

// What the driver's own header would declare.
using Status = int;
using Handle = void*;  // of contexts, streams, events, graphs
using Address = unsigned long long;

constexpr Status success = 0;
constexpr Status out_of_memory = 2;

enum Attribute : int { capability_major = 75, capability_minor = 76, concurrent_managed_access = 89 };

struct Functions {
  Status (*init)(unsigned flags);
  Status (*driver_version)(int* version);
  Status (*device_count)(int* count);
  Status (*device)(int* device, int ordinal);
  Status (*device_name)(char* name, int size, int device);
  Status (*device_attribute)(int* value, Attribute attribute, int device);
  Status (*retain_context)(Handle* context, int device);
  Status (*push_context)(Handle context);
  Status (*pop_context)(Handle* context);
  Status (*synchronize)();
  Status (*memory_info)(std::size_t* free, std::size_t* total);
  Status (*allocate)(Address* memory, std::size_t bytes);
  Status (*allocate_managed)(Address* memory, std::size_t bytes, unsigned flags);
  Status (*release)(Address memory);
  Status (*allocate_pinned)(void** memory, std::size_t bytes);
  Status (*release_pinned)(void* memory);
  Status (*to_device)(Address to, const void* from, std::size_t bytes, Handle stream);
  Status (*to_host)(void* to, Address from, std::size_t bytes, Handle stream);
  Status (*create_stream)(Handle* stream, unsigned flags);
  Status (*destroy_stream)(Handle stream);
  Status (*wait_for_stream)(Handle stream);
  Status (*create_event)(Handle* event, unsigned flags);
  Status (*destroy_event)(Handle event);
  Status (*record_event)(Handle event, Handle stream);
  Status (*wait_for_event)(Handle event);
  // Missing in drivers that have no graphs.
  Status (*begin_capture)(Handle stream, int mode);
  Status (*end_capture)(Handle stream, Handle* graph);
  Status (*instantiate)(Handle* executable, Handle graph, unsigned long long flags);
  Status (*launch_graph)(Handle executable, Handle stream);
  Status (*destroy_graph)(Handle graph);
  Status (*destroy_executable)(Handle executable);
  Status (*error_name)(Status status, const char** name);
};

/// The driver, its first GPU, and that GPU's primary context.
class Driver {
 public:
  static const Driver& get();

  /// Why kernels cannot run on it; "" where they can.
  const std::string& problem() const { return problem_; }
  const Functions& call() const { return functions_; }
  Handle context() const { return context_; }
  /// Whether it has the functions for graphs.
  bool has_graphs() const { return has_graphs_; }
  std::string name_of(Status status) const;

 private:
  Driver();
  std::string load();
  void find_graphs(void* library);
  std::string open();
  std::string too_little(int device) const;
  std::string failed(const char* function, Status status) const;

  Functions functions_{};
  bool has_graphs_ = false;
  Handle context_ = nullptr;
  std::string problem_;
};

/// Throws Error (device) with the driver's name for what went wrong.
void require(Status status, const char* function);

/// The GPU's context is this thread's for as long as this lives. Throws Error (device) where there is no GPU.
class CurrentContext {
 public:
  CurrentContext();
  ~CurrentContext();
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

  const Functions& call() const { return driver_.call(); }

 private:
  const Driver& driver_;
};

inline Address address(const void* memory) {
  return reinterpret_cast<Address>(memory);
}

}  // namespace netc::cuda

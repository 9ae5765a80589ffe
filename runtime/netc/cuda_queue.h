// Work for the GPU that is done in order while the CPU goes on. Errors are those of cuda.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "netc/cuda_scratch.h"

namespace netc::cuda {

/// Page-locked memory of the CPU's: the GPU reads and writes it by itself.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  /// Makes it at least so long; its contents are lost when it grows.
  void reserve(std::int64_t bytes);
  std::byte* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// A CUDA stream.
class Queue {
 public:
  Queue();
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  /// Between memory of the GPU's and pinned memory.
  void copy_to_device(void* to, const void* from, std::int64_t bytes) const;
  void copy_to_host(void* to, const void* from, std::int64_t bytes) const;
  /// Until all of its work is done.
  void wait() const;
  void* stream() const { return stream_; }
  /// For the kernels in it.
  ScratchPool& scratch() const { return scratch_; }

 private:
  void* stream_ = nullptr;
  mutable ScratchPool scratch_;
};

/// Kernels that this thread launches go to the queue for as long as this lives; else to the driver's own.
class InQueue {
 public:
  explicit InQueue(const Queue& queue);
  ~InQueue();
  InQueue(const InQueue&) = delete;
  InQueue& operator=(const InQueue&) = delete;

 private:
  const Queue* before_;
};

/// Where this thread's kernels go, and what they take scratch memory from.
void* current_stream();
ScratchPool& current_scratch();

/// A place in a queue's work.
class Mark {
 public:
  Mark() = default;
  ~Mark();
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;

  void set(const Queue& queue);
  /// Until the work before it is done; not at all where it was never set.
  void wait() const;

 private:
  void* event_ = nullptr;
};

/// Kernels that were launched once and are from then on launched as one: a CUDA graph.
class Recording {
 public:
  Recording() = default;
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Records what `launch` sends to the queue, which is not run. Returns false where the driver cannot.
  bool record(const Queue& queue, const std::function<void()>& launch);
  void run(const Queue& queue) const;

 private:
  void clear() noexcept;

  void* executable_ = nullptr;
};

}  // namespace netc::cuda

#include "netc/cuda_queue.h"

#include <fmt/format.h>

#include "netc/cuda_driver.h"
#include "netc/error.h"

namespace netc::cuda {

namespace {

// Does not wait for the driver's own stream, nor that for this one.
constexpr unsigned non_blocking = 1;
// Events are marks alone: no times.
constexpr unsigned no_timing = 2;
// Other threads, and allocations of this one, go on as always.
constexpr int capture_relaxed = 2;

thread_local const Queue* queue_in_use = nullptr;

/// Calls a function that ends something; a lost GPU has ended it.
template <class Function>
void end(Function function) noexcept try {
  const CurrentContext current;
  function(current.call());
} catch (const Error&) {
  // Lost, and what it held with it.
}

}  // namespace

PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) end([&](const Functions& call) { call.release_pinned(data_); });
}

void PinnedMemory::reserve(std::int64_t bytes) {
  if (bytes <= bytes_) return;
  const CurrentContext current;
  if (data_ != nullptr) require(current.call().release_pinned(data_), "cuMemFreeHost");
  data_ = nullptr;
  bytes_ = 0;
  void* memory = nullptr;
  const Status status = current.call().allocate_pinned(&memory, static_cast<std::size_t>(bytes));
  if (status == out_of_memory) {
    throw Error(ErrorKind::memory, fmt::format("cannot allocate {} bytes of page-locked memory", bytes));
  }
  require(status, "cuMemAllocHost");
  data_ = static_cast<std::byte*>(memory);
  bytes_ = bytes;
}

Queue::Queue() {
  const CurrentContext current;
  require(current.call().create_stream(&stream_, non_blocking), "cuStreamCreate");
}

Queue::~Queue() {
  end([&](const Functions& call) { call.destroy_stream(stream_); });
}

void Queue::copy_to_device(void* to, const void* from, std::int64_t bytes) const {
  const CurrentContext current;
  require(current.call().to_device(address(to), from, static_cast<std::size_t>(bytes), stream_), "cuMemcpyHtoDAsync");
}

void Queue::copy_to_host(void* to, const void* from, std::int64_t bytes) const {
  const CurrentContext current;
  require(current.call().to_host(to, address(from), static_cast<std::size_t>(bytes), stream_), "cuMemcpyDtoHAsync");
}

void Queue::wait() const {
  const CurrentContext current;
  require(current.call().wait_for_stream(stream_), "cuStreamSynchronize");
}

InQueue::InQueue(const Queue& queue) : before_(queue_in_use) {
  queue_in_use = &queue;
}

InQueue::~InQueue() {
  queue_in_use = before_;
}

void* current_stream() {
  return queue_in_use == nullptr ? nullptr : queue_in_use->stream();
}

ScratchPool& current_scratch() {
  static ScratchPool& of_the_driver = *new ScratchPool;  // never destroyed: the driver may be gone before
  return queue_in_use == nullptr ? of_the_driver : queue_in_use->scratch();
}

Mark::~Mark() {
  if (event_ != nullptr) end([&](const Functions& call) { call.destroy_event(event_); });
}

void Mark::set(const Queue& queue) {
  const CurrentContext current;
  if (event_ == nullptr) require(current.call().create_event(&event_, no_timing), "cuEventCreate");
  require(current.call().record_event(event_, queue.stream()), "cuEventRecord");
}

void Mark::wait() const {
  if (event_ == nullptr) return;
  const CurrentContext current;
  require(current.call().wait_for_event(event_), "cuEventSynchronize");
}

Recording::~Recording() {
  clear();
}

void Recording::clear() noexcept {
  if (executable_ != nullptr) end([&](const Functions& call) { call.destroy_executable(executable_); });
  executable_ = nullptr;
}

bool Recording::record(const Queue& queue, const std::function<void()>& launch) {
  clear();
  if (!Driver::get().has_graphs()) return false;
  const CurrentContext current;
  if (current.call().begin_capture(queue.stream(), capture_relaxed) != success) return false;
  bool launched = true;
  try {
    launch();
  } catch (const Error&) {
    launched = false;  // whoever launches them one by one hears why
  }
  Handle graph = nullptr;
  const bool captured = current.call().end_capture(queue.stream(), &graph) == success && graph != nullptr;
  const bool complete = launched && captured && current.call().instantiate(&executable_, graph, 0) == success;
  if (captured) current.call().destroy_graph(graph);
  if (!complete) executable_ = nullptr;
  return complete;
}

void Recording::run(const Queue& queue) const {
  const CurrentContext current;
  require(current.call().launch_graph(executable_, queue.stream()), "cuGraphLaunch");
}

}  // namespace netc::cuda

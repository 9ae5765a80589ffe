// cuStream..., cuEvent..., cuGraph...: order and capture.
#include <chrono>

#include "entry.h"

namespace netc::emulator {

struct Event {
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
  Stream* stream = nullptr;  // that it is to be recorded in
  int submitted = 0;         // so many times, and so many of them are done
  int done = 0;
};

namespace {

Result wait_for(Device& device, Event* event) {
  if (event->done == event->submitted) return Result::success;
  return device.catch_up(event->stream, [&] { return event->done == event->submitted; });
}

}  // namespace

NETC_CUDA_API cuStreamCreate(Stream** stream, unsigned /*flags*/) {
  return with_context([&](Device& /*device*/) {
    *stream = new Stream;
    return Result::success;
  });
}

NETC_CUDA_API cuStreamCreateWithPriority(Stream** stream, unsigned flags, int /*priority*/) {
  return cuStreamCreate(stream, flags);
}

NETC_CUDA_API cuStreamDestroy_v2(Stream* stream) {
  const int before = with_device([&](Device& device) { return device.catch_up(stream); });
  delete stream;
  return before;
}

NETC_CUDA_API cuStreamSynchronize(Stream* stream) {
  return with_context([&](Device& device) {
    const Result before = device.catch_up(stream);
    return before == Result::success ? device.synchronize() : before;
  });
}

NETC_CUDA_API cuStreamQuery(Stream* stream) {
  return with_context([&](Device& device) {
    return device.capturing() ? Result::stream_capture_unsupported : device.catch_up(stream);
  });
}

NETC_CUDA_API cuStreamWaitEvent(Stream* /*stream*/, Event* event, unsigned /*flags*/) {
  return with_context([&](Device& device) { return wait_for(device, event); });
}

NETC_CUDA_API cuStreamBeginCapture_v2(Stream* stream, int /*mode*/) {
  return with_context([&](Device& device) { return device.begin_capture(stream); });
}

NETC_CUDA_API cuStreamEndCapture(Stream* stream, Graph** graph) {
  return with_context([&](Device& device) { return device.end_capture(stream, graph); });
}

NETC_CUDA_API cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long /*flags*/) {
  return with_context([&](Device& /*device*/) {
    *executable = new Graph(*graph);
    return Result::success;
  });
}

NETC_CUDA_API cuGraphLaunch(Graph* executable, Stream* stream) {
  return with_context([&](Device& device) {
    return device.submit(stream, [&device, executable] {
      ++device.counts().graph_launches;
      device.log("graph {}", executable->operations.size());
      const std::int64_t launches = device.counts().launches;
      for (const Operation& operation : executable->operations) {
        const Result result = operation();
        if (result != Result::success) return result;
      }
      device.counts().launches_in_graphs += device.counts().launches - launches;
      return Result::success;
    });
  });
}

NETC_CUDA_API cuGraphDestroy(Graph* graph) {
  delete graph;
  return 0;
}

NETC_CUDA_API cuGraphExecDestroy(Graph* executable) {
  const int before = with_device([](Device& device) { return device.catch_up(); });
  delete executable;
  return before;
}

NETC_CUDA_API cuEventCreate(Event** event, unsigned /*flags*/) {
  return with_context([&](Device& /*device*/) {
    *event = new Event;
    return Result::success;
  });
}

NETC_CUDA_API cuEventDestroy_v2(Event* event) {
  const int before = with_device([&](Device& device) { return wait_for(device, event); });
  delete event;
  return before;
}

NETC_CUDA_API cuEventRecord(Event* event, Stream* stream) {
  return with_context([&](Device& device) {
    event->stream = stream;
    ++event->submitted;
    return device.submit(stream, [event] {
      event->time = std::chrono::steady_clock::now();
      event->recorded = true;
      ++event->done;
      return Result::success;
    });
  });
}

NETC_CUDA_API cuEventSynchronize(Event* event) {
  return with_context([&](Device& device) {
    const Result before = wait_for(device, event);
    return before == Result::success ? device.synchronize() : before;
  });
}

NETC_CUDA_API cuEventQuery(Event* event) {
  return with_context([&](Device& device) { return wait_for(device, event); });
}

NETC_CUDA_API cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
  if (!start->recorded || !end->recorded) return code(Result::invalid_handle);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return 0;
}

}  // namespace netc::emulator

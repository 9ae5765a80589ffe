// cuStream..., cuEvent..., cuGraph...: order and capture.
#include <chrono>

#include "entry.h"

namespace netc::emulator {

struct Event {
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
};

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
  delete stream;
  return 0;
}

NETC_CUDA_API cuStreamSynchronize(Stream* /*stream*/) {
  return with_context([](Device& device) { return device.synchronize(); });
}

NETC_CUDA_API cuStreamQuery(Stream* /*stream*/) {
  return with_context(
      [](Device& device) { return device.capturing() ? Result::stream_capture_unsupported : Result::success; });
}

NETC_CUDA_API cuStreamWaitEvent(Stream* /*stream*/, Event* /*event*/, unsigned /*flags*/) {
  return with_context([](Device& /*device*/) { return Result::success; });
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
      for (const Operation& operation : executable->operations) {
        const Result result = operation();
        if (result != Result::success) return result;
      }
      return Result::success;
    });
  });
}

NETC_CUDA_API cuGraphDestroy(Graph* graph) {
  delete graph;
  return 0;
}

NETC_CUDA_API cuGraphExecDestroy(Graph* executable) {
  delete executable;
  return 0;
}

NETC_CUDA_API cuEventCreate(Event** event, unsigned /*flags*/) {
  return with_context([&](Device& /*device*/) {
    *event = new Event;
    return Result::success;
  });
}

NETC_CUDA_API cuEventDestroy_v2(Event* event) {
  delete event;
  return 0;
}

NETC_CUDA_API cuEventRecord(Event* event, Stream* stream) {
  return with_context([&](Device& device) {
    return device.submit(stream, [event] {
      event->time = std::chrono::steady_clock::now();
      event->recorded = true;
      return Result::success;
    });
  });
}

NETC_CUDA_API cuEventSynchronize(Event* /*event*/) {
  return with_context([](Device& device) { return device.synchronize(); });
}

NETC_CUDA_API cuEventQuery(Event* /*event*/) {
  return with_context([](Device& /*device*/) { return Result::success; });
}

NETC_CUDA_API cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
  if (!start->recorded || !end->recorded) return code(Result::invalid_handle);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return 0;
}

}  // namespace netc::emulator

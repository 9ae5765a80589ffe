#include "netc/gpu_session.h"

#include <cstring>
#include <utility>

#include "netc/error.h"

namespace netc {

namespace {

std::int64_t total_bytes(std::span<const GpuSession::Part> parts) {
  std::int64_t bytes = 0;
  for (const GpuSession::Part& part : parts) bytes += part.bytes;
  return bytes;
}

}  // namespace

GpuSession::~GpuSession() {
  try {
    queue_.wait();
  } catch (const Error&) {
    // The GPU is lost: nothing is under way.
  }
}

void GpuSession::upload(void* device, std::span<const Source> sources) {
  const std::int64_t bytes = sources.back().offset + sources.back().bytes;
  if (bytes > uploads_.back().memory.bytes()) reserve_uploads(bytes);
  Slot& upload = slot(uploads_, uploaded_++);
  upload.copied.wait();
  for (const Source& source : sources) {
    std::memcpy(upload.memory.data() + source.offset, source.host, static_cast<std::size_t>(source.bytes));
  }
  queue_.copy_to_device(device, upload.memory.data(), bytes);
  upload.copied.set(queue_);
}

/// All of them at once: no step but the first allocates. Where the last has room, so have those before it.
void GpuSession::reserve_uploads(std::int64_t bytes) {
  for (Slot& upload : uploads_) {
    upload.copied.wait();
    upload.memory.reserve(bytes);
  }
}

void GpuSession::download(void* to, const void* from, std::int64_t bytes) {
  result_.reserve(bytes);
  queue_.copy_to_host(result_.data(), from, bytes);
  queue_.wait();
  std::memcpy(to, result_.data(), static_cast<std::size_t>(bytes));
}

/// Those that never held anything get their memory with the first: what others hold may still be read.
void GpuSession::start_download(std::span<const Part> parts) {
  const std::int64_t bytes = total_bytes(parts);
  for (Slot& unused : downloads_) {
    if (unused.memory.bytes() == 0) unused.memory.reserve(bytes);
  }
  Slot& download = slot(downloads_, started_);
  download.memory.reserve(bytes);
  std::byte* pinned = download.memory.data();
  for (const Part& part : parts) {
    queue_.copy_to_host(pinned, part.device, part.bytes);
    pinned += part.bytes;
  }
  download.copied.set(queue_);
  ++started_;
}

const std::byte* GpuSession::finish_download() {
  Slot& download = slot(downloads_, finished_++);
  download.copied.wait();
  return download.memory.data();
}

void GpuSession::Pass::run(const cuda::Queue& queue, Key key, const std::function<void(bool launching)>& launch) {
  const bool again = key == key_;
  key_ = std::move(key);
  if (!again) recorded_ = Recorded::no;  // also where the GPU had no memory for another graph
  if (again && recorded_ == Recorded::no) {
    recorded_ = recording_.record(queue, [&] { launch(true); }) ? Recorded::yes : Recorded::impossible;
  }
  const bool replays = again && recorded_ == Recorded::yes;
  launch(!replays);
  if (replays) recording_.run(queue);
}

}  // namespace netc

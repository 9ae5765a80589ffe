// What a network needs to run its passes on a GPU while the CPU goes on: a queue, pinned memory for what goes in and
// comes out, and passes that are launched as one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "netc/cuda_queue.h"

namespace netc {

class GpuSession {
 public:
  GpuSession() = default;
  /// Waits for what is under way.
  ~GpuSession();
  GpuSession(const GpuSession&) = delete;
  GpuSession& operator=(const GpuSession&) = delete;

  const cuda::Queue& queue() const { return queue_; }

  /// What goes to the GPU: so many bytes of the caller's, to a place behind where all of it goes.
  struct Source {
    const void* host;
    std::int64_t bytes;
    std::int64_t offset;
  };
  /// Copies all of them to the GPU at once, with what lies between. They come in the order of their places. On return
  /// the caller may change them, while the GPU may still be at work with those before.
  void upload(void* device, std::span<const Source> sources);

  /// Waits for what was launched, and copies.
  void download(void* to, const void* from, std::int64_t bytes);

  /// Memory of the GPU's.
  struct Part {
    const void* device;
    std::int64_t bytes;
  };
  /// Has the GPU copy parts of its memory, one after the other, when what was launched is done. At most two downloads
  /// may be under way.
  void start_download(std::span<const Part> parts);
  /// Waits for the one that was started first; what it copied stays until the next `start_download`.
  const std::byte* finish_download();

  /// A list of launches.
  class Pass {
   public:
    /// What tells two runs apart: where memory is, the examples, kernels. All else that kernels are told must be the
    /// same in every run.
    using Key = std::vector<std::uintptr_t>;

    /// `launch(false)` does all but launch. The first run launches one by one, which loads the kernels; the second
    /// records them, and from then on they are launched as one. Another key begins anew.
    void run(const cuda::Queue& queue, Key key, const std::function<void(bool launching)>& launch);

   private:
    enum class Recorded : std::uint8_t { no, yes, impossible };
    Key key_;
    Recorded recorded_ = Recorded::no;
    cuda::Recording recording_;
  };
  Pass training;
  Pass evaluation;

 private:
  struct Slot {
    cuda::PinnedMemory memory;
    cuda::Mark copied;
  };
  using Slots = std::array<Slot, 2>;  // one is filled while the other is read
  void reserve_uploads(std::int64_t bytes);
  static Slot& slot(Slots& slots, std::size_t number) { return slots[number % slots.size()]; }

  cuda::Queue queue_;
  Slots uploads_;
  std::size_t uploaded_ = 0;  // so many uploads have been
  Slots downloads_;
  std::size_t started_ = 0;
  std::size_t finished_ = 0;
  cuda::PinnedMemory result_;
};

}  // namespace netc

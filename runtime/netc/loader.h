// Batches of a data set, prepared by a background thread while the network computes.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "netc/augment.h"
#include "netc/dataset.h"
#include "netc/network.h"
#include "netc/resize.h"
#include "netc/tensor.h"

namespace netc {

/// Images [batch, 1, side, side] as pixels / 255 in float, or as bytes, and their classes [batch].
struct Batch {
  AnyView images() const;
  View<const std::int32_t> labels() const { return {label_values.data(), {size}}; }

  std::int64_t size = 0;
  int side = 0;
  DType type = DType::f32;
  std::vector<float> floats;
  std::vector<std::uint8_t> bytes;
  std::vector<std::int32_t> label_values;
};

struct LoaderOptions {
  std::int64_t batch = 1;
  int side = 0;  // pixels after the resize; 0: as stored
  DType type = DType::f32;
  std::optional<std::uint64_t> shuffle_seed;  // none: in the order of the data
  std::vector<std::int32_t> examples{};       // their numbers; none: all
  std::optional<Augmenter> augmenter{};       // of images of this size
};

class Loader {
 public:
  /// `images` must outlive the loader.
  Loader(const ImageSet& images, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  std::int64_t examples() const { return static_cast<std::int64_t>(options_.examples.size()); }
  /// The last batch may be smaller than the others.
  std::int64_t batches() const { return (examples() + options_.batch - 1) / options_.batch; }

  /// Begins an epoch at a batch; its order and what becomes of its images are functions of seed and epoch alone.
  void start(std::uint32_t epoch, std::int64_t first_batch = 0);
  /// The next batch, valid until the next call; null at the end of the epoch. Throws what went wrong in the background.
  const Batch* next();

 private:
  static constexpr std::int64_t slots = 2;  // one in use, one being filled

  void stop();
  void work(std::int64_t first_batch);
  void fill_slots(std::int64_t first_batch);
  void fill(Batch& batch, std::int64_t index);
  void copy_image(Batch& batch, std::int64_t slot, std::int64_t image);

  const ImageSet& images_;
  LoaderOptions options_;
  int side_;
  std::optional<Resizer> resizer_;
  std::vector<std::uint8_t> image_;  // the one that is being prepared
  std::uint32_t epoch_ = 0;
  std::vector<std::int32_t> order_;
  std::array<Batch, slots> batches_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t filled_ = 0;    // batches before this one are ready
  std::int64_t taken_ = 0;     // batches before this one were handed out
  std::int64_t released_ = 0;  // batches before this one are no longer used
  bool stopping_ = false;
  std::exception_ptr failure_;  // why no more batches become ready
  std::thread worker_;
};

}  // namespace netc

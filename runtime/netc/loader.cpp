// The background thread and its two slots.
#include "netc/loader.h"

#include <algorithm>
#include <numeric>

#include "netc/random.h"

namespace netc {

namespace {

/// A byte as a float in [0, 1].
const std::array<float, 256>& unit_floats() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 255.0f;
    return values;
  }();
  return table;
}

}  // namespace

AnyView Batch::images() const {
  const Extents shape{size, 1, side, side};
  if (type == DType::u8) return View<const std::uint8_t>(bytes.data(), shape);
  return View<const float>(floats.data(), shape);
}

Loader::Loader(const ImageSet& images, const LoaderOptions& options)
    : images_(images), options_(options), side_(options.side == 0 ? images.height : options.side) {
  const auto pixels = static_cast<std::size_t>(side_) * static_cast<std::size_t>(side_);
  if (side_ != images.height || side_ != images.width) {
    resizer_.emplace(images.height, images.width, side_, side_);
    resized_.resize(pixels);
  }
  const auto capacity = static_cast<std::size_t>(std::min(options.batch, images.count));
  for (Batch& batch : batches_) {
    batch.side = side_;
    batch.type = options.type;
    batch.label_values.resize(capacity);
    if (options.type == DType::u8) {
      batch.bytes.resize(capacity * pixels);
    } else {
      batch.floats.resize(capacity * pixels);
    }
  }
}

Loader::~Loader() {
  stop();
}

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

void Loader::start(std::uint32_t epoch, std::int64_t first_batch) {
  stop();
  stopping_ = false;
  filled_ = taken_ = released_ = first_batch;
  const auto count = static_cast<std::int32_t>(images_.count);
  if (options_.shuffle_seed) {
    order_ = permutation(count, *options_.shuffle_seed, epoch);
  } else {
    order_.resize(static_cast<std::size_t>(count));
    std::iota(order_.begin(), order_.end(), 0);
  }
  worker_ = std::thread([this, first_batch] { work(first_batch); });
}

const Batch* Loader::next() {
  std::unique_lock lock(mutex_);
  released_ = taken_;
  changed_.notify_all();
  if (taken_ >= batches()) return nullptr;
  changed_.wait(lock, [this] { return filled_ > taken_; });
  return &batches_[static_cast<std::size_t>(taken_++ % slots)];
}

void Loader::work(std::int64_t first_batch) {
  for (std::int64_t index = first_batch; index < batches(); ++index) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || index < released_ + slots; });
      if (stopping_) return;
    }
    fill(batches_[static_cast<std::size_t>(index % slots)], index);
    {
      const std::lock_guard lock(mutex_);
      filled_ = index + 1;
    }
    changed_.notify_all();
  }
}

void Loader::fill(Batch& batch, std::int64_t index) {
  const std::int64_t first = index * options_.batch;
  batch.size = std::min(options_.batch, images_.count - first);
  for (std::int64_t i = 0; i < batch.size; ++i) {
    const std::int32_t image = order_[static_cast<std::size_t>(first + i)];
    batch.label_values[static_cast<std::size_t>(i)] = images_.labels[static_cast<std::size_t>(image)];
    copy_image(batch, i, image);
  }
}

void Loader::copy_image(Batch& batch, std::int64_t slot, std::int64_t image) {
  const auto stored = static_cast<std::size_t>(images_.height) * static_cast<std::size_t>(images_.width);
  std::span<const std::uint8_t> pixels(&images_.pixels[static_cast<std::size_t>(image) * stored], stored);
  if (resizer_) {
    (*resizer_)(pixels, resized_);
    pixels = resized_;
  }
  const std::size_t offset = static_cast<std::size_t>(slot) * pixels.size();
  if (batch.type == DType::u8) {
    std::copy(pixels.begin(), pixels.end(), &batch.bytes[offset]);
    return;
  }
  const std::array<float, 256>& table = unit_floats();
  std::transform(pixels.begin(), pixels.end(), &batch.floats[offset], [&](std::uint8_t pixel) { return table[pixel]; });
}

}  // namespace netc

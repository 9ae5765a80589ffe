// The background thread and its two slots.
#include "netc/loader.h"

#include <algorithm>
#include <numeric>

#include "netc/affinity.h"
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

Loader::Loader(const ImageSet& images, LoaderOptions options)
    : images_(images),
      options_(std::move(options)),
      side_(options_.side == 0 ? images.height : options_.side),
      image_(static_cast<std::size_t>(side_) * static_cast<std::size_t>(side_)) {
  if (options_.examples.empty()) {
    options_.examples.resize(static_cast<std::size_t>(images.count));
    std::iota(options_.examples.begin(), options_.examples.end(), 0);
  }
  if (side_ != images.height || side_ != images.width) {
    resizer_.emplace(images.height, images.width, side_, side_);
  }
  const std::size_t pixels = image_.size();
  const auto capacity = static_cast<std::size_t>(std::min(options_.batch, examples()));
  for (Batch& batch : batches_) {
    batch.side = side_;
    batch.type = options_.type;
    batch.label_values.resize(capacity);
    if (options_.type == DType::u8) {
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
  failure_ = nullptr;
  filled_ = taken_ = released_ = first_batch;
  epoch_ = epoch;
  order_ = options_.examples;
  if (options_.shuffle_seed) {
    const auto order = permutation(static_cast<std::int32_t>(examples()), *options_.shuffle_seed, epoch);
    std::transform(order.begin(), order.end(), order_.begin(),
                   [this](std::int32_t i) { return options_.examples[static_cast<std::size_t>(i)]; });
  }
  worker_ = std::thread([this, first_batch] { work(first_batch); });
}

const Batch* Loader::next() {
  std::unique_lock lock(mutex_);
  released_ = taken_;
  changed_.notify_all();
  if (taken_ >= batches()) return nullptr;
  changed_.wait(lock, [this] { return filled_ > taken_ || failure_ != nullptr; });
  if (filled_ == taken_) std::rethrow_exception(failure_);
  return &batches_[static_cast<std::size_t>(taken_++ % slots)];
}

/// What goes wrong here, such as memory that is not to be had, is told to the thread that waits for batches.
void Loader::work(std::int64_t first_batch) {
  bind_thread(pthread_self(), any_processor);  // beside the threads that compute, which may be pinned
  try {
    fill_slots(first_batch);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
  }
  changed_.notify_all();
}

void Loader::fill_slots(std::int64_t first_batch) {
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
  batch.size = std::min(options_.batch, examples() - first);
  for (std::int64_t i = 0; i < batch.size; ++i) {
    const std::int32_t image = order_[static_cast<std::size_t>(first + i)];
    batch.label_values[static_cast<std::size_t>(i)] = images_.labels[static_cast<std::size_t>(image)];
    copy_image(batch, i, image);
  }
}

void Loader::copy_image(Batch& batch, std::int64_t slot, std::int64_t image) {
  const auto stored = static_cast<std::size_t>(images_.height) * static_cast<std::size_t>(images_.width);
  const std::span<const std::uint8_t> original(&images_.pixels[static_cast<std::size_t>(image) * stored], stored);
  if (resizer_) {
    (*resizer_)(original, image_);
  } else {
    std::copy(original.begin(), original.end(), image_.begin());
  }
  if (options_.augmenter) (*options_.augmenter)(image_, epoch_, static_cast<std::uint32_t>(image));
  const std::size_t offset = static_cast<std::size_t>(slot) * image_.size();
  if (batch.type == DType::u8) {
    std::copy(image_.begin(), image_.end(), &batch.bytes[offset]);
    return;
  }
  const std::array<float, 256>& table = unit_floats();
  std::transform(image_.begin(), image_.end(), &batch.floats[offset], [&](std::uint8_t pixel) { return table[pixel]; });
}

}  // namespace netc

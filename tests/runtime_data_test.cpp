// IDX files, Pillow's resize, augmentation, batches.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <set>
#include <thread>

#include "netc/augment.h"
#include "netc/dataset.h"
#include "netc/idx.h"
#include "netc/loader.h"
#include "netc/resize.h"
#include "netc/safetensors.h"
#include "tests/runtime_support.h"

namespace {

/// Threads but the one that runs the tests get no memory.
std::atomic<bool> others_get_no_memory = false;
const std::thread::id tests = std::this_thread::get_id();

}  // namespace

// They take the place of the C++ library's in this program. Inlined, `free` would look to GCC as if it did not match.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (others_get_no_memory && std::this_thread::get_id() != tests) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}

[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}

[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace netc {
namespace {

using test::check_error;
using test::read_text;
using test::TemporaryFolder;
using test::write_idx;
using test::write_text;

TEST_CASE("IDX files are read, compressed or not") {
  const TemporaryFolder folder;
  write_idx(folder / "a.gz", {2, 1, 3}, "abcdef");
  const IdxArray array = read_idx(folder / "a.gz", 3);
  CHECK(array.shape == std::vector<std::int64_t>{2, 1, 3});
  CHECK(array.bytes == std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'});
  write_text(folder / "plain", std::string("\0\0\x08\x01\0\0\0\x02xy", 10));
  CHECK(read_idx(folder / "plain", 1).bytes == std::vector<std::uint8_t>{'x', 'y'});
}

TEST_CASE("broken IDX files are refused, naming file, expected and found") {
  const TemporaryFolder folder;
  const auto file = folder / "a.gz";
  check_error(ErrorKind::io, {"a.gz", "cannot open"}, [&] { read_idx(file, 1); });
  write_idx(file, {4}, "abc");
  check_error(ErrorKind::format, {"a.gz", "expected 4 bytes", "found 3"}, [&] { read_idx(file, 1); });
  write_idx(file, {2}, "abc");
  check_error(ErrorKind::format, {"a.gz", "expected the end"}, [&] { read_idx(file, 1); });
  check_error(ErrorKind::format, {"a.gz", "0x00000803", "0x00000801"}, [&] { read_idx(file, 3); });
  write_idx(file, {0xffffffff, 0xffffffff, 0xffffffff}, "abc");
  check_error(ErrorKind::format, {"a.gz", "at most"}, [&] { read_idx(file, 3); });
  write_text(file, "");
  check_error(ErrorKind::format, {"expected 4 bytes of header, found 0"}, [&] { read_idx(file, 1); });
  write_idx(file, {3000}, std::string(3000, 'x') + std::string(50, 'y'));
  std::string compressed = read_text(file);
  write_text(file, compressed.substr(0, compressed.size() - 12));
  check_error(ErrorKind::format, {"a.gz"}, [&] { read_idx(file, 1); });
  compressed[compressed.size() - 6] = static_cast<char>(compressed[compressed.size() - 6] ^ 1);  // the checksum
  write_text(file, compressed);
  check_error(ErrorKind::format, {"a.gz"}, [&] { read_idx(file, 1); });
}

const DataRecipe fashion{"fashion_mnist", 0};

TEST_CASE("a missing data set says how to get it") {
  check_error(ErrorKind::io, {"/nowhere/train-images-idx3-ubyte.gz", "apt-get install dataset-fashion-mnist", "--data"},
              [] { load_data(fashion, Split::train, "/nowhere"); });
  check_error(ErrorKind::usage, {"cifar", "fashion_mnist"}, [] { load_data({"cifar", 0}, Split::train, "/nowhere"); });
}

TEST_CASE("data that does not fit together is refused") {
  const TemporaryFolder folder;
  const auto images = folder / "t10k-images-idx3-ubyte.gz";
  const auto labels = folder / "t10k-labels-idx1-ubyte.gz";
  const auto load = [&] { load_data(fashion, Split::test, folder.path()); };
  write_idx(images, {2, 28, 28}, std::string(2 * 784, 'p'));
  write_idx(labels, {3}, std::string("\1\2\3"));
  check_error(ErrorKind::format, {"labels-idx1", "expected 2 labels", "found 3"}, load);
  write_idx(labels, {2}, std::string("\1\x0a"));
  check_error(ErrorKind::format, {"labels-idx1", "below 10", "found 10"}, load);
  write_idx(images, {2, 8, 8}, std::string(128, 'p'));
  check_error(ErrorKind::format, {"images-idx3", "28x28", "8x8"}, load);
  write_idx(images, {0, 28, 28}, "");
  check_error(ErrorKind::format, {"images-idx3", "at least one"}, load);
}

TEST_CASE("resized images are Pillow's, bit for bit") {
  const SafetensorsReader file(test::vectors() / "resize.safetensors");
  int compared = 0;
  for (int i = 0; file.tensors().contains(std::to_string(i) + ".in"); ++i, ++compared) {
    CAPTURE(i);
    const StoredTensor& in = file.tensors().at(std::to_string(i) + ".in");
    const StoredTensor& expected = file.tensors().at(std::to_string(i) + ".out");
    const auto size = [](const StoredTensor& tensor, std::size_t d) { return static_cast<int>(tensor.shape[d]); };
    Resizer resizer(size(in, 0), size(in, 1), size(expected, 0), size(expected, 1));
    std::vector<std::uint8_t> out(expected.bytes.size());
    resizer({reinterpret_cast<const std::uint8_t*>(in.bytes.data()), in.bytes.size()}, out);
    CHECK(std::equal(out.begin(), out.end(), reinterpret_cast<const std::uint8_t*>(expected.bytes.data())));
  }
  CHECK(compared == 5);
}

std::vector<std::uint8_t> bytes_of(const SafetensorsReader& file, const std::string& name) {
  const StoredTensor& tensor = file.tensors().at(name);
  const auto* first = reinterpret_cast<const std::uint8_t*>(tensor.bytes.data());
  return {first, first + tensor.bytes.size()};
}

TEST_CASE("brightness and contrast are Pillow's, bit for bit") {
  const SafetensorsReader file(test::vectors() / "color.safetensors");
  const std::vector<std::uint8_t> image = bytes_of(file, "image");
  const float factors[] = {0.0f, 0.6f, 1.0f, 1.4f, 3.0f};
  for (std::size_t i = 0; i < std::size(factors); ++i) {
    CAPTURE(factors[i]);
    std::vector<std::uint8_t> pixels = image;
    scale_brightness(pixels, factors[i]);
    CHECK(pixels == bytes_of(file, "brightness." + std::to_string(i)));
    pixels = image;
    scale_contrast(pixels, factors[i]);
    CHECK(pixels == bytes_of(file, "contrast." + std::to_string(i)));
  }
}

TEST_CASE("flips and crops move pixels where they belong") {
  using Pixels = std::vector<std::uint8_t>;
  const Pixels image{1, 2, 3, 4, 5, 6, 7, 8, 9};
  const auto cropped = [&](int y, int x) {
    Pixels pixels = image;
    crop_padded(pixels, 3, 2, y, x);
    return pixels;
  };
  Pixels flipped = image;
  flip_horizontally(flipped, 3);
  CHECK(flipped == Pixels{3, 2, 1, 6, 5, 4, 9, 8, 7});
  CHECK(cropped(2, 2) == image);
  CHECK(cropped(3, 2) == Pixels{4, 5, 6, 7, 8, 9, 0, 0, 0});
  CHECK(cropped(1, 3) == Pixels{0, 0, 0, 2, 3, 0, 5, 6, 0});
  CHECK(cropped(0, 0) == Pixels{0, 0, 0, 0, 0, 0, 0, 0, 1});
  CHECK(cropped(4, 4) == Pixels{9, 0, 0, 0, 0, 0, 0, 0, 0});
}

const AugmentRecipe all_augmentations{{0.5}, {4}, {0.3, 0.3}};

/// A gradient from left to right, which no two changes leave alike.
std::vector<std::uint8_t> augmented(const AugmentRecipe& recipe, std::uint64_t seed, std::uint32_t epoch,
                                    std::uint32_t example) {
  std::vector<std::uint8_t> pixels(28 * 28);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i % 28 * 4 + i / 28);
  Augmenter(recipe, 28, seed)(pixels, epoch, example);
  return pixels;
}

TEST_CASE("what becomes of an image is a function of seed, epoch and example") {
  const auto reference = augmented(all_augmentations, 1, 2, 3);
  CHECK(augmented(all_augmentations, 1, 2, 3) == reference);
  CHECK(augmented(all_augmentations, 2, 2, 3) != reference);
  CHECK(augmented(all_augmentations, 1, 3, 3) != reference);
  CHECK(augmented(all_augmentations, 1, 2, 4) != reference);
  CHECK(augmented({}, 1, 2, 3) == augmented({}, 9, 9, 9));
}

TEST_CASE("flips and crops are as frequent as they should be") {
  constexpr int draws = 4000;
  int flips = 0;
  std::set<std::size_t> rows;
  const std::vector<std::uint8_t> plain = augmented({}, 1, 0, 0);
  for (std::uint32_t example = 0; example < draws; ++example) {
    if (augmented({.flip = {0.25}}, 1, 0, example) != plain) ++flips;
    const auto cropped = augmented({.crop = {2}}, 1, 0, example);
    // The place of the pixel that stood in the middle.
    const auto middle = std::find(cropped.begin(), cropped.end(), plain[14 * 28 + 27]);
    rows.insert(static_cast<std::size_t>(middle - cropped.begin()));
  }
  CHECK(flips == doctest::Approx(0.25 * draws).epsilon(0.1));
  CHECK(rows.size() >= 10);  // of 25 places, some of which push the pixel out
}

TEST_CASE("validation data are held out by the seed, and loaders keep to their part") {
  const TrainingSplit split = split_training_data(50, 0.3, 1);
  CHECK(split.validation.size() == 15);
  CHECK(split.training.size() == 35);
  std::vector<std::int32_t> both = split.training;
  both.insert(both.end(), split.validation.begin(), split.validation.end());
  std::sort(both.begin(), both.end());
  for (std::int32_t i = 0; i < 50; ++i) CHECK(both[static_cast<std::size_t>(i)] == i);
  CHECK(split_training_data(50, 0.3, 1).validation == split.validation);
  CHECK(split_training_data(50, 0.3, 2).validation != split.validation);
  CHECK(split_training_data(50, 7, 1).validation.size() == 7);
  CHECK(split_training_data(50, 0.001, 1).validation.size() == 1);
  CHECK(split_training_data(50, 0, 1).training.size() == 50);
  check_error(ErrorKind::usage, {"validation = 50", "none is left"}, [] { split_training_data(50, 50, 1); });
  check_error(ErrorKind::usage, {"validation = 0.5", "1 of 1"}, [] { split_training_data(1, 0.5, 1); });
}

/// Images whose first pixel and label tell which they are.
ImageSet numbered_images(int count) {
  ImageSet images{count, 28, 28, std::vector<std::uint8_t>(static_cast<std::size_t>(count) * 784), {}};
  for (int i = 0; i < count; ++i) {
    images.pixels[static_cast<std::size_t>(i) * 784] = static_cast<std::uint8_t>(i);
    images.labels.push_back(i);
  }
  return images;
}

std::vector<std::int32_t> labels_of(Loader& loader, std::uint32_t epoch, std::int64_t first_batch = 0) {
  std::vector<std::int32_t> labels;
  loader.start(epoch, first_batch);
  while (const Batch* batch = loader.next()) {
    for (std::int64_t i = 0; i < batch->size; ++i) {
      labels.push_back(batch->labels()(i));
      CHECK(batch->floats[static_cast<std::size_t>(i * 784)] == static_cast<float>(labels.back()) / 255.0f);
    }
  }
  return labels;
}

TEST_CASE("batches hold every example once, the last batch what is left") {
  const ImageSet images = numbered_images(23);
  Loader loader(images, {5, 0, DType::f32, 1});
  CHECK(loader.batches() == 5);
  std::vector<std::int64_t> sizes;
  loader.start(0);
  while (const Batch* batch = loader.next()) {
    sizes.push_back(batch->size);
    CHECK(batch->images().shape == Extents{batch->size, 1, 28, 28});
  }
  CHECK(sizes == std::vector<std::int64_t>{5, 5, 5, 5, 3});
  CHECK(loader.next() == nullptr);
  const std::vector<std::int32_t> labels = labels_of(loader, 0);
  CHECK(std::set(labels.begin(), labels.end()).size() == 23);
  CHECK(labels.size() == 23);
}

TEST_CASE("the order is a function of seed and epoch, and an epoch can begin at any batch") {
  const ImageSet images = numbered_images(50);
  Loader a(images, {8, 0, DType::f32, 1});
  Loader b(images, {8, 0, DType::f32, 1});
  Loader other(images, {8, 0, DType::f32, 2});
  Loader plain(images, {8, 0, DType::f32, std::nullopt});
  const std::vector<std::int32_t> epoch3 = labels_of(a, 3);
  CHECK(labels_of(a, 4) != epoch3);
  CHECK(labels_of(b, 3) == epoch3);
  CHECK(labels_of(other, 3) != epoch3);
  CHECK(labels_of(b, 3, 2) == std::vector(epoch3.begin() + 16, epoch3.end()));
  CHECK(labels_of(plain, 0) == images.labels);
}

TEST_CASE("a loader gives the examples that it was told, in any order") {
  const ImageSet images = numbered_images(50);
  const std::vector<std::int32_t> part{3, 10, 11, 40};
  Loader plain(images, {3, 0, DType::f32, std::nullopt, part});
  CHECK(plain.examples() == 4);
  CHECK(plain.batches() == 2);
  CHECK(labels_of(plain, 0) == part);
  Loader shuffled(images, {3, 0, DType::f32, 1, part});
  std::vector<std::int32_t> labels = labels_of(shuffled, 5);
  std::sort(labels.begin(), labels.end());
  CHECK(labels == part);
}

/// The images of an epoch by label.
std::map<std::int32_t, std::vector<std::uint8_t>> images_of(Loader& loader, std::uint32_t epoch) {
  std::map<std::int32_t, std::vector<std::uint8_t>> result;
  loader.start(epoch);
  while (const Batch* batch = loader.next()) {
    for (std::int64_t i = 0; i < batch->size; ++i) {
      const auto first = batch->bytes.begin() + i * 1600;
      result[batch->labels()(i)] = {first, first + 1600};
    }
  }
  return result;
}

TEST_CASE("augmentation follows the example, not its batch, and works on resized images") {
  ImageSet images = numbered_images(20);
  for (std::size_t i = 0; i < images.pixels.size(); ++i) images.pixels[i] = static_cast<std::uint8_t>(i * 7);
  const Augmenter augmenter(all_augmentations, 40, 1);
  Loader few(images, {3, 40, DType::u8, 1, {}, augmenter});
  Loader many(images, {20, 40, DType::u8, std::nullopt, {}, augmenter});
  Loader part(images, {2, 40, DType::u8, 2, {4, 7}, augmenter});
  Loader plain(images, {20, 40, DType::u8, std::nullopt});
  const auto reference = images_of(few, 3);
  CHECK(images_of(many, 3) == reference);
  CHECK(images_of(part, 3)[7] == reference.at(7));
  CHECK(images_of(many, 4) != reference);
  CHECK(images_of(plain, 3) != reference);
  CHECK(images_of(plain, 3) == images_of(plain, 4));
}

TEST_CASE("an epoch can be left before its end") {
  const ImageSet images = numbered_images(50);
  Loader loader(images, {8, 0, DType::f32, 1});
  for (std::uint32_t epoch = 0; epoch < 20; ++epoch) {
    loader.start(epoch);
    CHECK(loader.next()->size == 8);
  }
}

TEST_CASE("what goes wrong in the background is thrown by next, until an epoch begins anew") {
  const ImageSet images = numbered_images(20);
  const Augmenter takes_memory({.crop = {4}}, 28, 1);
  Loader loader(images, {8, 0, DType::f32, 1, {}, takes_memory});
  others_get_no_memory = true;
  loader.start(0);
  for (int call = 0; call < 2; ++call) CHECK_THROWS_AS(loader.next(), std::bad_alloc);
  others_get_no_memory = false;
  loader.start(0);
  CHECK(loader.next()->size == 8);
}

TEST_CASE("images are resized in the background, as floats or bytes") {
  ImageSet images = numbered_images(3);
  std::fill(images.pixels.begin(), images.pixels.end(), std::uint8_t{51});
  Loader floats(images, {2, 40, DType::f32, std::nullopt});
  Loader bytes(images, {2, 40, DType::u8, std::nullopt});
  floats.start(0);
  bytes.start(0);
  const Batch* batch = floats.next();
  CHECK(batch->images().shape == Extents{2, 1, 40, 40});
  CHECK(batch->images().type == DType::f32);
  CHECK(batch->floats == std::vector<float>(3200, 51.0f / 255.0f));
  CHECK(bytes.next()->images().type == DType::u8);
  const Batch* last = bytes.next();
  CHECK(last->size == 1);
  CHECK(std::count(last->bytes.begin(), last->bytes.begin() + 1600, 51) == 1600);
}

TEST_CASE("the real data set, where it is installed") {
  if (!std::filesystem::exists(default_data_folder())) return;
  const ImageSet train = load_data(fashion, Split::train, default_data_folder());
  CHECK(train.count == 60000);
  for (int label = 0; label < 10; ++label) CHECK(std::count(train.labels.begin(), train.labels.end(), label) == 6000);
  CHECK(load_data(fashion, Split::test, default_data_folder()).count == 10000);
}

}  // namespace
}  // namespace netc

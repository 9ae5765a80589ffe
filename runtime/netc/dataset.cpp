// Fashion-MNIST from IDX files.
#include "netc/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "netc/error.h"
#include "netc/idx.h"
#include "netc/random.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

constexpr DataSet fashion_mnist{
    "fashion_mnist", "Fashion-MNIST: gray images of ten kinds of clothes", 1, 28, 10, 60000};

/// The file as the package ships it, or unpacked.
fs::path find_file(const fs::path& folder, const std::string& name) {
  for (const fs::path& candidate : {folder / (name + ".gz"), folder / name}) {
    std::error_code error;
    if (fs::exists(candidate, error)) return candidate;
    if (error)
      throw Error(ErrorKind::io, fmt::format("{}: cannot look for it: {}", candidate.string(), error.message()));
  }
  throw Error(ErrorKind::io, fmt::format("{}: no such file; install it by `apt-get install dataset-fashion-mnist`, or "
                                         "say where it is by --data DIR",
                                         (folder / (name + ".gz")).string()));
}

void check(const fs::path& file, bool right, const std::string& expected, const std::string& found) {
  if (right) return;
  throw Error(ErrorKind::format, fmt::format("{}: expected {}, found {}", file.string(), expected, found));
}

ImageSet load_fashion_mnist(const fs::path& folder, const std::string& prefix) {
  const fs::path image_file = find_file(folder, prefix + "-images-idx3-ubyte");
  const fs::path label_file = find_file(folder, prefix + "-labels-idx1-ubyte");
  IdxArray images = read_idx(image_file, 3);
  const IdxArray labels = read_idx(label_file, 1);
  check(image_file, images.shape[0] > 0, "at least one image", "none");
  constexpr int side = fashion_mnist.pixels;
  constexpr int classes = fashion_mnist.classes;
  check(image_file, images.shape[1] == side && images.shape[2] == side, fmt::format("images of {0}x{0}", side),
        fmt::format("{}x{}", images.shape[1], images.shape[2]));
  check(label_file, labels.shape[0] == images.shape[0], fmt::format("{} labels", images.shape[0]),
        fmt::format("{}", labels.shape[0]));
  const auto largest = std::max_element(labels.bytes.begin(), labels.bytes.end());
  check(label_file, *largest < classes, fmt::format("labels below {}", classes), fmt::format("{}", *largest));
  return {images.shape[0], side, side, std::move(images.bytes), {labels.bytes.begin(), labels.bytes.end()}};
}

}  // namespace

const std::vector<DataSet>& data_sets() {
  static const std::vector<DataSet> table{fashion_mnist};
  return table;
}

const DataSet* find_data_set(std::string_view name) {
  const auto& table = data_sets();
  const auto found = std::find_if(table.begin(), table.end(), [&](const DataSet& set) { return set.name == name; });
  return found == table.end() ? nullptr : &*found;
}

void ImageSet::truncate(std::int64_t limit) {
  count = std::min(count, limit);
  pixels.resize(static_cast<std::size_t>(count * height * width));
  labels.resize(static_cast<std::size_t>(count));
}

TrainingSplit split_training_data(std::int64_t count, double validation, std::uint64_t seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  if (validation == 0) return {std::move(order), {}};
  const double wanted = validation < 1 ? validation * static_cast<double>(count) : validation;
  const std::int64_t held_out = std::max<std::int64_t>(std::llround(wanted), 1);
  if (held_out >= count) {
    throw Error(ErrorKind::usage, fmt::format("validation = {} holds out {} of {} training examples: none is left",
                                              validation, held_out, count));
  }
  RandomStream random(seed, "validation");
  shuffle(order, random);
  const auto middle = order.begin() + held_out;
  std::sort(order.begin(), middle);
  std::sort(middle, order.end());
  return {{middle, order.end()}, {order.begin(), middle}};
}

fs::path default_data_folder() {
  return "/usr/share/datasets/fashion-mnist";
}

ImageSet load_data(const DataRecipe& recipe, Split split, const fs::path& folder, std::optional<std::int64_t> limit) {
  if (recipe.name != fashion_mnist.name) {
    throw Error(ErrorKind::usage, fmt::format("data set '{}': expected fashion_mnist", recipe.name));
  }
  ImageSet images = load_fashion_mnist(folder, split == Split::train ? "train" : "t10k");
  if (limit) images.truncate(*limit);
  return images;
}

}  // namespace netc

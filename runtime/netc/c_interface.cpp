#include "netc/c_interface.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "netc/thread_pool.h"

namespace netc::c {

namespace {

/// Of a fixed length, so that nothing can go wrong while it is written.
thread_local std::array<char, 1024> error{};

template <class T>
T& required(T* pointer, const char* what) {
  if (pointer != nullptr) return *pointer;
  throw Error(ErrorKind::usage, fmt::format("{} is a null pointer", what));
}

std::string text(const char* path) {
  return &required(path, "the path");
}

template <class Model>
Model& model(Model* network) {
  return required(network, "the model");
}

bool is_buffer(const Network& network, std::string_view path) {
  const auto has_path = [&](const ParameterSpec& spec) { return spec.path == path; };
  const std::vector<ParameterSpec>& buffers = network.description().buffers;
  return std::any_of(buffers.begin(), buffers.end(), has_path);
}

/// A parameter or a buffer; of a constant network a view of constants.
template <class Model>
auto values(Model& network, const std::string& path) {
  return is_buffer(network, path) ? network.buffer(path) : network.parameter(path);
}

void require_count(const std::string& what, std::int64_t expected, std::int64_t count) {
  if (count == expected) return;
  throw Error(ErrorKind::mismatch, fmt::format("{} has {} elements, not {}", what, expected, count));
}

/// Copies all elements, row-major.
void copy_out(const std::string& what, const View<const float>& from, float* elements, std::int64_t count) {
  require_count(what, from.size(), count);
  View<float>(&required(elements, "the memory for the elements"), from.shape()).copy_from(from);
}

Extents extents(const std::int64_t* index, int dimensions) {
  Extents extents;
  for (int i = 0; i < dimensions; ++i) extents.push_back((&required(index, "the index"))[i]);
  return extents;
}

}  // namespace

int fail(const char* why) noexcept {
  const std::size_t length = std::min(std::strlen(why), error.size() - 1);
  std::memcpy(error.data(), why, length);
  error[length] = '\0';
  return 1;
}

const char* last_error() noexcept {
  return error.data();
}

std::filesystem::path path(const char* file) {
  return text(file);
}

int load(Network* network, const char* file) noexcept {
  return guarded([&] { model(network).load(text(file)); });
}

int save(const Network* network, const char* file) noexcept {
  return guarded([&] { model(network).save(text(file)); });
}

int freeze(Network* network) noexcept {
  return guarded([&] { model(network).freeze(); });
}

int set_threads(int threads) noexcept {
  return guarded([&] { netc::set_threads(threads); });
}

int shape(const Network* network, const char* path, std::int64_t* extents, int* dimensions) noexcept {
  return guarded([&] {
    const Extents shape = values(model(network), text(path)).shape();
    std::copy(shape.begin(), shape.end(), &required(extents, "the memory for the extents"));
    required(dimensions, "the memory for the number of dimensions") = shape.size();
  });
}

int get(const Network* network, const char* path, float* elements, std::int64_t count) noexcept {
  return guarded([&] { copy_out(text(path), values(model(network), text(path)), elements, count); });
}

int set(Network* network, const char* path, const float* elements, std::int64_t count) noexcept {
  return guarded([&] {
    const View<float> to = values(model(network), text(path));
    require_count(path, to.size(), count);
    to.copy_from({&required(elements, "the memory of the elements"), to.shape()});
  });
}

int get_element(const Network* network, const char* path, const std::int64_t* index, int dimensions,
                float* element) noexcept {
  return guarded([&] {
    const float found = values(model(network), text(path)).at(extents(index, dimensions));
    required(element, "the memory for the element") = found;
  });
}

int set_element(Network* network, const char* path, const std::int64_t* index, int dimensions, float element) noexcept {
  return guarded([&] { values(model(network), text(path)).at(extents(index, dimensions)) = element; });
}

int gradient(Network* network, const char* path, float* elements, std::int64_t count) noexcept {
  return guarded([&] { copy_out(text(path), model(network).gradient(text(path)), elements, count); });
}

int forward(Network* network, Tensors inputs, float* output, std::int64_t count) noexcept {
  return guarded([&] {
    const View<const float> result = model(network).forward({inputs.begin(), inputs.size()});
    copy_out("the output", result, output, count);
  });
}

int evaluate_loss(Network* network, Tensors inputs, Tensors labels, float* loss) noexcept {
  return guarded([&] {
    required(loss, "the memory for the loss") =
        model(network).evaluate_loss({inputs.begin(), inputs.size()}, {labels.begin(), labels.size()});
  });
}

int train_step(Network* network, Optimizer* optimizer, double lr, Tensors inputs, Tensors labels,
               float* loss) noexcept {
  return guarded([&] {
    float& mean = required(loss, "the memory for the loss");
    required(optimizer, "the optimizer").lr = lr;
    mean = model(network).train_step({inputs.begin(), inputs.size()}, {labels.begin(), labels.size()}, *optimizer);
  });
}

const char* path_of(const std::vector<ParameterSpec>& specs, std::int64_t index) noexcept {
  const bool exists = index >= 0 && index < static_cast<std::int64_t>(specs.size());
  return exists ? specs[static_cast<std::size_t>(index)].path.c_str() : nullptr;
}

}  // namespace netc::c

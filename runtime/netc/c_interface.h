// What the interface for C of a generated model does: functions that return a status in place of throwing.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <initializer_list>
#include <vector>

#include "netc/network.h"
#include "netc/optimizer.h"

namespace netc::c {

/// Makes `why` the thread's last error; returns 1.
int fail(const char* why) noexcept;

/// Does `action`; returns 0, or 1 where it threw, with what was thrown as the thread's last error.
template <class Action>
int guarded(const Action& action) noexcept {
  try {
    action();
    return 0;
  } catch (const std::exception& thrown) {
    return fail(thrown.what());
  } catch (...) {
    return fail("something was thrown that is no std::exception");
  }
}

/// What went wrong in this thread's last call that did not return 0; empty before.
const char* last_error() noexcept;

/// A file's path. Throws Error (usage) for a null pointer.
std::filesystem::path path(const char* file);

/// Null pointers in place of a network, an optimizer, a path or memory are errors. Paths are those of parameters and of
/// buffers.
int load(Network* network, const char* file) noexcept;
int save(const Network* network, const char* file) noexcept;
int freeze(Network* network) noexcept;
int set_threads(int threads) noexcept;
int shape(const Network* network, const char* path, std::int64_t* extents, int* dimensions) noexcept;
int get(const Network* network, const char* path, float* elements, std::int64_t count) noexcept;
int set(Network* network, const char* path, const float* elements, std::int64_t count) noexcept;
int get_element(const Network* network, const char* path, const std::int64_t* index, int dimensions,
                float* element) noexcept;
int set_element(Network* network, const char* path, const std::int64_t* index, int dimensions, float element) noexcept;
int gradient(Network* network, const char* path, float* elements, std::int64_t count) noexcept;

using Tensors = std::initializer_list<AnyView>;
/// `count`: the elements of the first output, all of which are copied to `output`.
int forward(Network* network, Tensors inputs, float* output, std::int64_t count) noexcept;
int evaluate_loss(Network* network, Tensors inputs, Tensors labels, float* loss) noexcept;
int train_step(Network* network, Optimizer* optimizer, double lr, Tensors inputs, Tensors labels, float* loss) noexcept;

/// The path of one of them, counted from 0; null behind the last.
const char* path_of(const std::vector<ParameterSpec>& specs, std::int64_t index) noexcept;

/// A `Handle` made of what `make` returns; a null pointer where that throws.
template <class Handle, class Make>
Handle* create(const Make& make) noexcept {
  Handle* handle = nullptr;
  guarded([&] { handle = new Handle{make()}; });
  return handle;
}

}  // namespace netc::c

// The driver's interface, as a test calls it: the emulator's, or that of the library that $NETC_CUDA_DRIVER names.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator/counts.h"

namespace netc::test {

/// Whether the driver is the emulator.
bool emulated();

/// The counts of the emulator that this process has loaded.
emulator::Counts emulator_counts();

/// The driver with a current context, as in a process of its own.
class Driver {
 public:
  using Address = std::uint64_t;

  struct Shape {
    std::array<unsigned, 3> grid{1, 1, 1};
    std::array<unsigned, 3> block{32, 1, 1};
    unsigned shared_bytes = 0;
  };

  Driver();

  /// Calls an entry point; returns its code. Pointers and integers only.
  template <class... Arguments>
  int call(const char* name, Arguments... arguments) const {
    return reinterpret_cast<int (*)(Arguments...)>(symbol(name))(arguments...);
  }
  /// As `call`, and fails the test unless it succeeds.
  template <class... Arguments>
  void require(const char* name, Arguments... arguments) const {
    check(name, call(name, arguments...));
  }

  template <class T>
  Address upload(const std::vector<T>& values) const {
    return upload(values.data(), values.size() * sizeof(T));
  }
  template <class T>
  std::vector<T> download(Address address, std::size_t count) const {
    std::vector<T> values(count);
    download(values.data(), address, count * sizeof(T));
    return values;
  }
  Address allocate(std::size_t bytes) const;

  /// Loads PTX and launches its kernel `k`; returns the launch's code.
  template <class... Arguments>
  int launch(const std::string& ptx, const Shape& shape, Arguments... arguments) const {
    std::array<void*, sizeof...(arguments)> pointers{&arguments...};
    return launch_kernel(ptx, shape, pointers.data());
  }

  emulator::Counts counts() const { return emulator_counts(); }

 private:
  static void* symbol(const char* name);
  static void check(const char* name, int code);
  Address upload(const void* values, std::size_t bytes) const;
  void download(void* values, Address address, std::size_t bytes) const;
  int launch_kernel(const std::string& ptx, const Shape& shape, void** arguments) const;

  void* context_ = nullptr;
};

/// A module with the kernel `k`: parameters such as ".param .u64 a", registers %p, %rs, %r and %rd of each width, and
/// `body`.
std::string kernel(const std::string& parameters, const std::string& body);

}  // namespace netc::test

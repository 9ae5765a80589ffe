// What a network computes on: the CPU, or a GPU by way of CUDA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace netc {

enum class Device : std::uint8_t { cpu, cuda };

/// "cpu" or "cuda".
const char* to_string(Device device);

/// Why this process cannot compute with CUDA ("libcuda.so.1: cannot open …"); "" where it can.
const std::string& cuda_problem();

/// CUDA where it can be used, else the CPU.
Device best_device();

/// Owns floats in memory of the CPU (see pages.h) or of a GPU (see cuda.h).
struct FreeFloats {
  Device device = Device::cpu;
  std::size_t bytes = 0;
  void operator()(float* floats) const;
};
using Floats = std::unique_ptr<float[], FreeFloats>;

}  // namespace netc

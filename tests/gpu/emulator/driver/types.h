// The driver's types and codes, in the layout of its C interface.
#pragma once

#include <cstddef>
#include <cstdint>

namespace netc::emulator {

/// CUresult, as far as used here.
enum class Result : int {
  success = 0,
  invalid_value = 1,
  out_of_memory = 2,
  not_initialized = 3,
  no_device = 100,
  invalid_device = 101,
  invalid_image = 200,
  invalid_context = 201,
  no_binary_for_gpu = 209,
  invalid_ptx = 218,
  unsupported_ptx_version = 222,
  invalid_handle = 400,
  not_found = 500,
  not_ready = 600,
  illegal_address = 700,
  launch_out_of_resources = 701,
  illegal_instruction = 715,
  misaligned_address = 716,
  launch_failed = 719,
  not_supported = 801,
  stream_capture_unsupported = 900,
  stream_capture_invalidated = 901,
  stream_capture_unmatched = 903,
  stream_capture_implicit = 906,
};

/// The code's name in the driver's interface, and what it means; nullptr for codes that are not listed.
const char* name_of(Result result);
const char* meaning_of(Result result);

/// CUdevice_attribute, as far as used here.
enum class Attribute : int {
  max_threads_per_block = 1,
  max_block_x = 2,
  max_block_y = 3,
  max_block_z = 4,
  max_grid_x = 5,
  max_grid_y = 6,
  max_grid_z = 7,
  shared_memory_per_block = 8,
  constant_memory = 9,
  warp_size = 10,
  registers_per_block = 12,
  clock_rate = 13,
  multiprocessors = 16,
  unified_addressing = 41,
  capability_major = 75,
  capability_minor = 76,
  shared_memory_per_multiprocessor = 81,
  registers_per_multiprocessor = 82,
  concurrent_managed_access = 89,
  shared_memory_per_block_optin = 97,
};

enum class MemoryType : int { host = 1, device = 2, array = 3, unified = 4 };

/// CUDA_MEMCPY2D.
struct Copy2D {
  std::size_t source_x;
  std::size_t source_y;
  MemoryType source_type;
  const void* source_host;
  std::uint64_t source_device;
  void* source_array;
  std::size_t source_pitch;
  std::size_t result_x;
  std::size_t result_y;
  MemoryType result_type;
  void* result_host;
  std::uint64_t result_device;
  void* result_array;
  std::size_t result_pitch;
  std::size_t width;
  std::size_t height;
};

/// CUDA_MEMCPY3D.
struct Copy3D {
  std::size_t source_x;
  std::size_t source_y;
  std::size_t source_z;
  std::size_t source_level;
  MemoryType source_type;
  const void* source_host;
  std::uint64_t source_device;
  void* source_array;
  void* reserved0;
  std::size_t source_pitch;
  std::size_t source_height;
  std::size_t result_x;
  std::size_t result_y;
  std::size_t result_z;
  std::size_t result_level;
  MemoryType result_type;
  void* result_host;
  std::uint64_t result_device;
  void* result_array;
  void* reserved1;
  std::size_t result_pitch;
  std::size_t result_height;
  std::size_t width;
  std::size_t height;
  std::size_t depth;
};

}  // namespace netc::emulator

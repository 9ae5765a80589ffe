// cuMem...: allocations, copies and fills.
#include <cstdlib>
#include <cstring>

#include "entry.h"

namespace netc::emulator {
namespace {

/// Rows of a copy of up to three dimensions: `pitch` bytes from row to row, `height` rows from plane to plane.
struct Side {
  MemoryType type;
  std::uint8_t* start;
  std::size_t pitch;
  std::size_t height;
};

struct Extent {
  std::size_t width;
  std::size_t height;
  std::size_t depth;
};

/// The bytes that a copy reaches from its first on.
std::size_t span(const Side& side, const Extent& extent) {
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0) return 0;
  return ((extent.depth - 1) * side.height + extent.height - 1) * side.pitch + extent.width;
}

/// Sets where a side starts; whether all of it is memory that is alive.
bool place(Device& device, MemoryType type, const void* host, Address address, std::size_t offset, const Extent& extent,
           Side* side) {
  side->type = type;
  side->start = static_cast<std::uint8_t*>(const_cast<void*>(host)) + offset;
  if (type != MemoryType::device) return type == MemoryType::host;
  side->start = device.memory().host(address + offset, span(*side, extent));
  return side->start != nullptr;
}

void copy_rows(const Side& result, const Side& source, const Extent& extent) {
  for (std::size_t z = 0; z < extent.depth; ++z) {
    for (std::size_t y = 0; y < extent.height; ++y) {
      std::memmove(result.start + (z * result.height + y) * result.pitch,
                   source.start + (z * source.height + y) * source.pitch, extent.width);
    }
  }
}

void count(Device& device, MemoryType from, MemoryType to, std::size_t bytes) {
  Counts& counts = device.counts();
  const auto size = static_cast<std::int64_t>(bytes);
  if (to == MemoryType::host) {
    ++counts.copies_to_host;
    counts.bytes_to_host += size;
  } else if (from == MemoryType::host) {
    ++counts.copies_to_device;
    counts.bytes_to_device += size;
  } else {
    ++counts.copies_on_device;
    counts.bytes_on_device += size;
  }
  device.log("copy {} {}",
             to == MemoryType::host     ? "to_host"
             : from == MemoryType::host ? "to_device"
                                        : "on_device",
             bytes);
}

Result copy_3d(Device& device, const Copy3D& copy) {
  const Extent extent{copy.width, copy.height, copy.depth};
  Side source{copy.source_type, nullptr, copy.source_pitch, copy.source_height};
  Side result{copy.result_type, nullptr, copy.result_pitch, copy.result_height};
  const std::size_t from = (copy.source_z * source.height + copy.source_y) * source.pitch + copy.source_x;
  const std::size_t to = (copy.result_z * result.height + copy.result_y) * result.pitch + copy.result_x;
  if (!place(device, copy.source_type, copy.source_host, copy.source_device, from, extent, &source) ||
      !place(device, copy.result_type, copy.result_host, copy.result_device, to, extent, &result)) {
    return Result::invalid_value;
  }
  copy_rows(result, source, extent);
  count(device, copy.source_type, copy.result_type, extent.width * extent.height * extent.depth);
  return Result::success;
}

int submit_copy(Stream* stream, const Copy3D& copy) {
  return with_context(
      [&](Device& device) { return device.submit(stream, [&device, copy] { return copy_3d(device, copy); }); });
}

Copy3D bytes_copy(std::size_t bytes) {
  Copy3D copy{};
  copy.width = copy.source_pitch = copy.result_pitch = bytes;
  copy.height = copy.depth = copy.source_height = copy.result_height = 1;
  return copy;
}

int copy_to_device(Stream* stream, Address result, const void* source, std::size_t bytes) {
  Copy3D copy = bytes_copy(bytes);
  copy.source_type = MemoryType::host;
  copy.source_host = source;
  copy.result_type = MemoryType::device;
  copy.result_device = result;
  return submit_copy(stream, copy);
}

int copy_to_host(Stream* stream, void* result, Address source, std::size_t bytes) {
  Copy3D copy = bytes_copy(bytes);
  copy.source_type = MemoryType::device;
  copy.source_device = source;
  copy.result_type = MemoryType::host;
  copy.result_host = result;
  return submit_copy(stream, copy);
}

int copy_on_device(Stream* stream, Address result, Address source, std::size_t bytes) {
  Copy3D copy = bytes_copy(bytes);
  copy.source_type = copy.result_type = MemoryType::device;
  copy.source_device = source;
  copy.result_device = result;
  return submit_copy(stream, copy);
}

Copy3D with_depth(const Copy2D& copy) {
  Copy3D result{};
  result.source_x = copy.source_x;
  result.source_y = copy.source_y;
  result.source_type = copy.source_type;
  result.source_host = copy.source_host;
  result.source_device = copy.source_device;
  result.source_pitch = copy.source_pitch == 0 ? copy.width : copy.source_pitch;
  result.result_x = copy.result_x;
  result.result_y = copy.result_y;
  result.result_type = copy.result_type;
  result.result_host = copy.result_host;
  result.result_device = copy.result_device;
  result.result_pitch = copy.result_pitch == 0 ? copy.width : copy.result_pitch;
  result.width = copy.width;
  result.height = copy.height;
  result.depth = 1;
  return result;
}

template <class T>
int fill(Stream* stream, Address address, T value, std::size_t count) {
  return with_context([&](Device& device) {
    return device.submit(stream, [&device, address, value, count] {
      std::uint8_t* place = device.memory().host(address, count * sizeof(T));
      if (place == nullptr || address % sizeof(T) != 0) return Result::invalid_value;
      for (std::size_t i = 0; i < count; ++i) std::memcpy(place + i * sizeof(T), &value, sizeof(T));
      ++device.counts().sets;
      device.log("set {}", count * sizeof(T));
      return Result::success;
    });
  });
}

int allocate_on_host(void** pointer, std::size_t bytes) {
  return with_context([&](Device& device) {
    *pointer = std::malloc(bytes);
    if (*pointer == nullptr) return Result::out_of_memory;
    ++device.counts().pinned_allocations;
    device.log("pinned {}", bytes);
    return Result::success;
  });
}

}  // namespace

NETC_CUDA_API cuMemAlloc_v2(Address* address, std::size_t bytes) {
  return with_context([&](Device& device) { return device.allocate(address, bytes); });
}

NETC_CUDA_API cuMemAllocManaged(Address* address, std::size_t bytes, unsigned /*flags*/) {
  return with_context([&](Device& device) { return device.allocate(address, bytes, Visible::to_both); });
}

NETC_CUDA_API cuMemFree_v2(Address address) {
  return with_context([&](Device& device) { return device.free(address); });
}

NETC_CUDA_API cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  return with_context([&](Device& device) {
    *total = device.memory().total();
    *free = *total - device.memory().live();
    return Result::success;
  });
}

NETC_CUDA_API cuMemHostAlloc(void** pointer, std::size_t bytes, unsigned /*flags*/) {
  return allocate_on_host(pointer, bytes);
}

NETC_CUDA_API cuMemAllocHost_v2(void** pointer, std::size_t bytes) {
  return allocate_on_host(pointer, bytes);
}

NETC_CUDA_API cuMemFreeHost(void* pointer) {
  const int before = with_context([](Device& device) { return device.catch_up(); });
  std::free(pointer);
  return before;
}

NETC_CUDA_API cuMemHostRegister_v2(void* /*pointer*/, std::size_t /*bytes*/, unsigned /*flags*/) {
  return 0;
}

NETC_CUDA_API cuMemHostUnregister(void* /*pointer*/) {
  return 0;
}

// Which context memory belongs to, or whether it is the device's.
NETC_CUDA_API cuPointerGetAttribute(void* value, int attribute, Address address) {
  return with_context([&](Device& device) {
    constexpr int kContext = 1;
    constexpr int kMemoryType = 2;
    if (device.memory().find(address).end == 0) return Result::invalid_value;
    if (attribute == kContext) {
      *static_cast<Context**>(value) = context_stack().current();
    } else if (attribute == kMemoryType) {
      *static_cast<MemoryType*>(value) = MemoryType::device;
    } else {
      return Result::not_supported;
    }
    return Result::success;
  });
}

NETC_CUDA_API cuMemcpyHtoD_v2(Address result, const void* source, std::size_t bytes) {
  return copy_to_device(nullptr, result, source, bytes);
}

NETC_CUDA_API cuMemcpyDtoH_v2(void* result, Address source, std::size_t bytes) {
  return copy_to_host(nullptr, result, source, bytes);
}

NETC_CUDA_API cuMemcpyDtoD_v2(Address result, Address source, std::size_t bytes) {
  return copy_on_device(nullptr, result, source, bytes);
}

NETC_CUDA_API cuMemcpyHtoDAsync_v2(Address result, const void* source, std::size_t bytes, Stream* stream) {
  return copy_to_device(stream, result, source, bytes);
}

NETC_CUDA_API cuMemcpyDtoHAsync_v2(void* result, Address source, std::size_t bytes, Stream* stream) {
  return copy_to_host(stream, result, source, bytes);
}

NETC_CUDA_API cuMemcpyDtoDAsync_v2(Address result, Address source, std::size_t bytes, Stream* stream) {
  return copy_on_device(stream, result, source, bytes);
}

NETC_CUDA_API cuMemcpy2D_v2(const Copy2D* copy) {
  return submit_copy(nullptr, with_depth(*copy));
}

NETC_CUDA_API cuMemcpy2DAsync_v2(const Copy2D* copy, Stream* stream) {
  return submit_copy(stream, with_depth(*copy));
}

NETC_CUDA_API cuMemcpy3D_v2(const Copy3D* copy) {
  return submit_copy(nullptr, *copy);
}

NETC_CUDA_API cuMemcpy3DAsync_v2(const Copy3D* copy, Stream* stream) {
  return submit_copy(stream, *copy);
}

NETC_CUDA_API cuMemsetD8_v2(Address address, std::uint8_t value, std::size_t count) {
  return fill(nullptr, address, value, count);
}

NETC_CUDA_API cuMemsetD32_v2(Address address, std::uint32_t value, std::size_t count) {
  return fill(nullptr, address, value, count);
}

NETC_CUDA_API cuMemsetD8Async(Address address, std::uint8_t value, std::size_t count, Stream* stream) {
  return fill(stream, address, value, count);
}

NETC_CUDA_API cuMemsetD32Async(Address address, std::uint32_t value, std::size_t count, Stream* stream) {
  return fill(stream, address, value, count);
}

}  // namespace netc::emulator

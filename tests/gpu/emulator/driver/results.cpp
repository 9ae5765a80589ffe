// Names and meanings of the driver's codes.
#include <algorithm>
#include <array>

#include "types.h"

namespace netc::emulator {
namespace {

struct Entry {
  Result result;
  const char* name;
  const char* meaning;
};

constexpr std::array<Entry, 24> kEntries = {
    {{Result::success, "CUDA_SUCCESS", "no error"},
     {Result::invalid_value, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
     {Result::out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
     {Result::not_initialized, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
     {Result::no_device, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
     {Result::invalid_device, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
     {Result::invalid_image, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
     {Result::invalid_context, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
     {Result::no_binary_for_gpu, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for the device"},
     {Result::invalid_ptx, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
     {Result::unsupported_ptx_version, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
      "the provided PTX was compiled with an unsupported toolchain."},
     {Result::invalid_handle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
     {Result::not_found, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
     {Result::not_ready, "CUDA_ERROR_NOT_READY", "device not ready"},
     {Result::illegal_address, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
     {Result::launch_out_of_resources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
     {Result::illegal_instruction, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
     {Result::misaligned_address, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
     {Result::launch_failed, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
     {Result::not_supported, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
     {Result::stream_capture_unsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
      "operation not permitted when stream is capturing"},
     {Result::stream_capture_invalidated, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
      "operation failed due to a previous error during capture"},
     {Result::stream_capture_unmatched, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED",
      "capture was not ended in the same stream as it began"},
     {Result::stream_capture_implicit, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
      "operation would make the legacy stream depend on a capturing blocking stream"}}};

const Entry* find(Result result) {
  const auto* entry =
      std::find_if(kEntries.begin(), kEntries.end(), [&](const Entry& e) { return e.result == result; });
  return entry == kEntries.end() ? nullptr : entry;
}

}  // namespace

const char* name_of(Result result) {
  return find(result) == nullptr ? nullptr : find(result)->name;
}

const char* meaning_of(Result result) {
  return find(result) == nullptr ? nullptr : find(result)->meaning;
}

}  // namespace netc::emulator

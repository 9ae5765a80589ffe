#include "netc/device.h"

#include "netc/cuda.h"
#include "netc/pages.h"

namespace netc {

const char* to_string(Device device) {
  return device == Device::cuda ? "cuda" : "cpu";
}

const std::string& cuda_problem() {
  return cuda::problem();
}

Device best_device() {
  return cuda_problem().empty() ? Device::cuda : Device::cpu;
}

void FreeFloats::operator()(float* floats) const {
  if (device == Device::cuda) return cuda::release(floats);
  FreePages{bytes}(floats);
}

}  // namespace netc

// The driver's interface, as a test calls it.
#include "driver.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

namespace netc::test {

namespace {

void* library() {
  const char* named = std::getenv("NETC_CUDA_DRIVER");
  static void* const opened = dlopen(named != nullptr ? named : NETC_CUDA_EMULATOR, RTLD_NOW);
  REQUIRE_MESSAGE(opened != nullptr, dlerror());
  return opened;
}

void* find_symbol(const char* name) {
  void* const found = dlsym(library(), name);
  REQUIRE_MESSAGE(found != nullptr, name);
  return found;
}

}  // namespace

void* Driver::symbol(const char* name) {
  return find_symbol(name);
}

void Driver::check(const char* name, int code) {
  REQUIRE_MESSAGE(code == 0, name);
}

Driver::Driver() {
  if (emulated()) reinterpret_cast<void (*)()>(symbol("netc_emulator_reset"))();
  if (call("cuInit", 0U) == 0) require("cuCtxCreate_v2", &context_, 0U, 0);
}

Driver::Address Driver::allocate(std::size_t bytes) const {
  Address address = 0;
  require("cuMemAlloc_v2", &address, bytes);
  return address;
}

Driver::Address Driver::upload(const void* values, std::size_t bytes) const {
  const Address address = allocate(bytes);
  require("cuMemcpyHtoD_v2", address, values, bytes);
  return address;
}

void Driver::download(void* values, Address address, std::size_t bytes) const {
  require("cuMemcpyDtoH_v2", values, address, bytes);
}

int Driver::launch_kernel(const std::string& ptx, const Shape& shape, void** arguments) const {
  void* module = nullptr;
  void* function = nullptr;
  require("cuModuleLoadData", &module, ptx.c_str());
  require("cuModuleGetFunction", &function, module, "k");
  void* const none = nullptr;
  return call("cuLaunchKernel", function, shape.grid[0], shape.grid[1], shape.grid[2], shape.block[0], shape.block[1],
              shape.block[2], shape.shared_bytes, none, arguments, none);
}

bool emulated() {
  return dlsym(library(), "netc_emulator_counts") != nullptr;
}

emulator::Counts emulator_counts() {
  emulator::Counts counts{};
  reinterpret_cast<emulator::CountsFunction>(find_symbol("netc_emulator_counts"))(&counts);
  return counts;
}

std::string kernel(const std::string& parameters, const std::string& body) {
  return fmt::format(R"(.version 7.0
.target sm_80
.address_size 64
.visible .entry k({})
{{
  .reg .pred %p<16>;
  .reg .b16 %rs<16>;
  .reg .b32 %r<64>;
  .reg .b64 %rd<32>;
{}
  ret;
}}
)",
                     parameters, body);
}

}  // namespace netc::test

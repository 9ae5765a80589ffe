// The driver's calls: copies, counts, streams, graphs, contexts, and the failures that the environment asks for.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include "driver.h"

namespace netc {
namespace {

using test::Driver;

using Stream = void*;

const std::string kIncrement = test::kernel(".param .u64 data, .param .u32 step", R"(
    ld.param.b64 %rd1, [data];
    ld.param.b32 %r3, [step];
    mov.u32 %r1, %tid.x;
    mad.wide.u32 %rd1, %r1, 4, %rd1;
    ld.global.b32 %r2, [%rd1];
    add.s32 %r2, %r2, %r3;
    st.global.b32 [%rd1], %r2;)");

/// A variable of the environment, for as long as this lives.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() { unsetenv(name_); }

 private:
  const char* name_;
};

TEST_CASE("copies, fills, launches and memory are counted") {
  const Driver driver;
  const Driver::Address a = driver.upload(std::vector<std::uint32_t>(32, 1));
  const Driver::Address b = driver.allocate(128);
  driver.require("cuMemcpyDtoD_v2", b, a, std::size_t{128});
  driver.require("cuMemsetD32_v2", a, 7U, std::size_t{16});
  REQUIRE(driver.launch(kIncrement, {}, a, 3) == 0);
  CHECK(driver.download<std::uint32_t>(a, 17) == [] {
    std::vector<std::uint32_t> expected(17, 10);
    expected[16] = 4;
    return expected;
  }());
  CHECK(driver.download<std::uint32_t>(b, 32) == std::vector<std::uint32_t>(32, 1));
  driver.require("cuMemFree_v2", b);
  driver.require("cuCtxSynchronize");
  const emulator::Counts counts = driver.counts();
  CHECK(counts.allocations == 2);
  CHECK(counts.frees == 1);
  CHECK(counts.live_bytes == 128);
  CHECK(counts.peak_bytes == 256);
  CHECK(counts.copies_to_device == 1);
  CHECK(counts.bytes_to_device == 128);
  CHECK(counts.copies_to_host == 2);
  CHECK(counts.bytes_to_host == 17 * 4 + 128);
  CHECK(counts.copies_on_device == 1);
  CHECK(counts.sets == 1);
  CHECK(counts.modules == 1);
  CHECK(counts.launches == 1);
  CHECK(counts.synchronizations == 1);
  CHECK(counts.instructions == 32 * 8);
  CHECK(counts.multiply_adds == 0);
}

TEST_CASE("the least cap on registers is noted") {
  const Driver driver;
  CHECK(driver.counts().register_cap == 0);
  for (const std::size_t cap : {255U, 64U, 128U}) {
    int option = 0;  // CU_JIT_MAX_REGISTERS
    auto* value = reinterpret_cast<void*>(cap);
    void* module = nullptr;
    driver.require("cuModuleLoadDataEx", &module, kIncrement.c_str(), 1U, &option, &value);
  }
  CHECK(driver.counts().register_cap == 64);
}

TEST_CASE("new memory holds NaN") {
  const Driver driver;
  CHECK(driver.download<std::uint32_t>(driver.allocate(8), 2) == std::vector<std::uint32_t>(2, 0xffffffff));
}

TEST_CASE("copies stay within allocations") {
  const Driver driver;
  const Driver::Address a = driver.allocate(100);
  std::vector<std::uint8_t> host(200);
  CHECK(driver.call("cuMemcpyHtoD_v2", a, host.data(), std::size_t{101}) == 1);
  CHECK(driver.call("cuMemcpyDtoH_v2", host.data(), a + 1, std::size_t{100}) == 1);
  CHECK(driver.call("cuMemcpyDtoH_v2", host.data(), a + 1, std::size_t{99}) == 0);
  CHECK(driver.call("cuMemsetD8_v2", a, 1, std::size_t{101}) == 1);
  CHECK(driver.call("cuMemFree_v2", a + 4) == 1);
}

// CUDA_MEMCPY3D, as the driver's header lays it out.
struct Copy3D {
  struct Side {
    std::size_t x = 0, y = 0, z = 0, level = 0;
    int type = 0;
    void* host = nullptr;
    Driver::Address device = 0;
    void* array = nullptr;
    void* reserved = nullptr;
    std::size_t pitch = 0, height = 0;
  };
  Side source;
  Side result;
  std::size_t width = 0, height = 0, depth = 0;
};

TEST_CASE("boxes are copied row by row") {
  const Driver driver;
  std::vector<std::uint8_t> host(4 * 5 * 3);
  std::iota(host.begin(), host.end(), std::uint8_t{0});
  const Driver::Address device = driver.allocate(8 * 2 * 2);
  Copy3D copy;
  copy.source.x = copy.source.y = copy.source.z = 1;
  copy.source.type = 1;
  copy.source.host = host.data();
  copy.source.pitch = 4;
  copy.source.height = 5;
  copy.result.type = 2;
  copy.result.device = device;
  copy.result.pitch = 8;
  copy.result.height = 2;
  copy.width = 3;
  copy.height = copy.depth = 2;
  driver.require("cuMemcpy3D_v2", &copy);
  const std::vector<std::uint8_t> received = driver.download<std::uint8_t>(device, 32);
  for (std::size_t z = 0; z < 2; ++z) {
    for (std::size_t y = 0; y < 2; ++y) {
      for (std::size_t x = 0; x < 8; ++x) {
        const std::size_t expected = x < 3 ? (z + 1) * 20 + (y + 1) * 4 + x + 1 : 0xff;
        CHECK(received[(z * 2 + y) * 8 + x] == expected);
      }
    }
  }
  copy.height = 3;
  CHECK(driver.call("cuMemcpy3D_v2", &copy) == 1);
}

TEST_CASE("a graph repeats what was captured") {
  const Driver driver;
  Stream stream = nullptr;
  driver.require("cuStreamCreate", &stream, 0U);
  const Driver::Address data = driver.upload(std::vector<std::uint32_t>(32, 0));
  std::vector<std::uint32_t> host(32);
  void* module = nullptr;
  void* function = nullptr;
  driver.require("cuModuleLoadData", &module, kIncrement.c_str());
  driver.require("cuModuleGetFunction", &function, module, "k");
  Driver::Address address = data;
  int step = 5;
  std::array<void*, 2> arguments{&address, &step};
  driver.require("cuStreamBeginCapture_v2", stream, 0);
  driver.require("cuLaunchKernel", function, 1U, 1U, 1U, 32U, 1U, 1U, 0U, stream, arguments.data(), Stream{});
  driver.require("cuMemcpyDtoHAsync_v2", host.data(), data, std::size_t{128}, stream);
  CHECK(driver.call("cuStreamSynchronize", stream) == 900);
  CHECK(driver.call("cuMemcpyDtoH_v2", host.data(), data, std::size_t{128}) == 906);
  step = 100;  // the launch holds the values of its time
  void* graph = nullptr;
  void* executable = nullptr;
  driver.require("cuStreamEndCapture", stream, &graph);
  CHECK(driver.counts().launches == 0);
  driver.require("cuGraphInstantiateWithFlags", &executable, graph, 0ULL);
  driver.require("cuGraphDestroy", graph);
  for (std::uint32_t round = 1; round <= 3; ++round) {
    driver.require("cuGraphLaunch", executable, stream);
    driver.require("cuStreamSynchronize", stream);
    CHECK(host == std::vector<std::uint32_t>(32, 5 * round));
  }
  CHECK(driver.counts().launches == 3);
  CHECK(driver.counts().graph_launches == 3);
  CHECK(driver.counts().launches_in_graphs == 3);
  driver.require("cuGraphExecDestroy", executable);
  driver.require("cuStreamDestroy_v2", stream);
}

TEST_CASE("lazy streams do their work in order, when it is waited for") {
  const Environment lazy("NETC_EMULATOR_LAZY", "1");
  const Driver driver;
  Stream stream = nullptr;
  void* event = nullptr;
  driver.require("cuStreamCreate", &stream, 0U);
  driver.require("cuEventCreate", &event, 0U);
  const Driver::Address data = driver.allocate(4);
  std::uint32_t source = 1;
  std::array<std::uint32_t, 2> received{};
  const auto copy_in = [&] { driver.require("cuMemcpyHtoDAsync_v2", data, &source, std::size_t{4}, stream); };
  const auto copy_out = [&](std::uint32_t& to) {
    driver.require("cuMemcpyDtoHAsync_v2", &to, data, std::size_t{4}, stream);
  };
  copy_in();
  source = 2;  // too early
  copy_out(received[0]);
  driver.require("cuEventRecord", event, stream);
  copy_out(received[1]);
  CHECK(driver.counts().copies_to_device == 0);
  driver.require("cuEventSynchronize", event);
  CHECK(received == std::array<std::uint32_t, 2>{2, 0});
  driver.require("cuStreamSynchronize", stream);
  CHECK(received == std::array<std::uint32_t, 2>{2, 2});
  source = 3;
  copy_in();
  driver.require("cuMemFree_v2", data);  // waits for everything
  CHECK(driver.counts().copies_to_device == 2);
  copy_out(received[0]);
  CHECK(driver.call("cuStreamSynchronize", stream) == 1);  // of memory that is gone
}

TEST_CASE("a thread needs a context of its own") {
  const Driver driver;
  int result = 0;
  std::thread([&] { result = driver.call("cuCtxSynchronize"); }).join();
  CHECK(result == 201);
  void* context = nullptr;
  driver.require("cuCtxPopCurrent_v2", &context);
  CHECK(driver.call("cuCtxSynchronize") == 201);
  driver.require("cuCtxPushCurrent_v2", context);
  CHECK(driver.call("cuCtxSynchronize") == 0);
}

TEST_CASE("failures on demand: no device") {
  const Environment none("NETC_EMULATOR_DEVICES", "0");
  const Driver driver;
  CHECK(driver.call("cuInit", 0U) == 100);
  int count = 0;
  CHECK(driver.call("cuDeviceGetCount", &count) == 3);
}

TEST_CASE("failures on demand: a driver too old, another capability") {
  void* module = nullptr;
  {
    const Environment old("NETC_EMULATOR_DRIVER", "10020");
    const Driver driver;
    int version = 0;
    driver.require("cuDriverGetVersion", &version);
    CHECK(version == 10020);
    CHECK(driver.call("cuModuleLoadData", &module, kIncrement.c_str()) == 222);
  }
  const Environment older("NETC_EMULATOR_CAPABILITY", "75");
  CHECK(Driver().call("cuModuleLoadData", &module, kIncrement.c_str()) == 209);
}

TEST_CASE("failures on demand: too little memory") {
  const Environment little("NETC_EMULATOR_MEMORY", "1000");
  const Driver driver;
  Driver::Address address = 0;
  CHECK(driver.call("cuMemAlloc_v2", &address, std::size_t{1001}) == 2);
  CHECK(driver.call("cuMemAlloc_v2", &address, std::size_t{600}) == 0);
  std::size_t free = 0;
  std::size_t total = 0;
  driver.require("cuMemGetInfo_v2", &free, &total);
  CHECK(free == 400);
  CHECK(driver.call("cuMemAlloc_v2", &address, std::size_t{401}) == 2);
}

TEST_CASE("failures on demand: the device is lost") {
  const Environment lost("NETC_EMULATOR_LOST_AFTER", "2");
  const Driver driver;
  const Driver::Address data = driver.upload(std::vector<std::uint32_t>(32));
  CHECK(driver.launch(kIncrement, {}, data, 1) == 0);
  CHECK(driver.launch(kIncrement, {}, data, 1) == 0);
  CHECK(driver.launch(kIncrement, {}, data, 1) == 719);
  CHECK(driver.call("cuCtxSynchronize") == 719);
}

TEST_CASE("a log of what was done") {
  const std::string path = std::filesystem::temp_directory_path() / ("netc-emulator-log-" + std::to_string(getpid()));
  {
    const Environment log("NETC_EMULATOR_LOG", path);
    const Driver driver;
    const Driver::Address data = driver.upload(std::vector<std::uint32_t>(32));
    REQUIRE(driver.launch(kIncrement, {{2, 1, 1}, {32, 1, 1}, 16}, data, 1) == 0);
  }
  const Driver closes_it;
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  REQUIRE(lines.size() == 5);
  CHECK(lines[0] == "allocate 128");
  CHECK(lines[1] == "copy to_device 128");
  CHECK(lines[2] == "load k instructions 9");
  CHECK(lines[3] == "launch k grid 2,1,1 block 32,1,1 shared 16 instructions 512 multiply_adds 0 uninitialized 0");
  CHECK(lines[4].starts_with("counts allocations 1 "));
  std::remove(path.c_str());
}

TEST_CASE("kernels can be counted without running") {
  const Environment none("NETC_EMULATOR_EXECUTE", "0");
  const Driver driver;
  const Driver::Address data = driver.upload(std::vector<std::uint32_t>(32, 1));
  REQUIRE(driver.launch(kIncrement, {}, data, 1) == 0);
  CHECK(driver.counts().launches == 1);
  CHECK(driver.download<std::uint32_t>(data, 1)[0] == 1);
}

}  // namespace
}  // namespace netc

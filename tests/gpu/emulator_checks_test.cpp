// What the emulator finds wrong in kernels: each must be found, and the same kernel without the mistake must run.
#include <doctest/doctest.h>

#include <cstdint>

#include "driver.h"

namespace netc {
namespace {

using test::Driver;

constexpr int kIllegalAddress = 700;
constexpr int kMisaligned = 716;
constexpr int kLaunchFailed = 719;

const std::string kPrologue = R"(
    ld.param.b64 %rd1, [data];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2;
)";

/// Runs 64 threads: %rd1 points to 64 words, %rd3 to the thread's own, %r1 is its index, %rd2 four times that.
int run(const std::string& body, unsigned shared_bytes = 0, Driver::Shape shape = {{1, 1, 1}, {64, 1, 1}, 0}) {
  const Driver driver;
  shape.shared_bytes = shared_bytes;
  const Driver::Address data = driver.upload(std::vector<std::uint32_t>(64, 1));
  return driver.launch(test::kernel(".param .u64 data", kPrologue + body), shape, data);
}

TEST_CASE("global memory has bounds") {
  CHECK(run("ld.global.b32 %r2, [%rd3]; st.global.b32 [%rd3], %r2;") == 0);
  CHECK(run("ld.global.b32 %r2, [%rd3+4];") == kIllegalAddress);
  CHECK(run("st.global.b32 [%rd3+-4], %r1;") == kIllegalAddress);
  CHECK(run("st.global.b32 [%rd3+1048576], %r1;") == kIllegalAddress);
  CHECK(run("mov.b64 %rd4, 0; ld.global.b32 %r2, [%rd4];") == kIllegalAddress);
  CHECK(run("ld.global.v2.b32 {%r2, %r3}, [%rd1+248];") == 0);
  CHECK(run("ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd1+240];") == 0);
  CHECK(run("atom.global.add.u32 %r2, [%rd1+256], 1;") == kIllegalAddress);
  CHECK(run("ld.b32 %r2, [%rd3];") == 0);
  CHECK(run("ld.b32 %r2, [%rd3+4];") == kIllegalAddress);
}

TEST_CASE("one thread of a block out of bounds is enough") {
  CHECK(run("setp.eq.u32 %p1, %r1, 63; @%p1 ld.global.b32 %r2, [%rd3+4];") == kIllegalAddress);
  CHECK(run("setp.eq.u32 %p1, %r1, 64; @%p1 ld.global.b32 %r2, [%rd3+4];") == 0);
}

TEST_CASE("freed memory and the host's are out of bounds") {
  const Driver driver;
  const Driver::Address data = driver.upload(std::vector<std::uint32_t>(64));
  driver.require("cuMemFree_v2", data);
  const std::string ptx = test::kernel(".param .u64 data", kPrologue + "ld.global.b32 %r2, [%rd1];");
  CHECK(driver.launch(ptx, {}, data) == kIllegalAddress);
  const Driver another;
  std::uint32_t word = 0;
  CHECK(another.launch(ptx, {}, &word) == kIllegalAddress);
}

TEST_CASE("addresses are multiples of what is accessed") {
  CHECK(run("ld.global.b32 %r2, [%rd1+2];") == kMisaligned);
  CHECK(run("ld.global.v2.b32 {%r2, %r3}, [%rd1+4];") == kMisaligned);
  CHECK(run("ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd1+8];") == kMisaligned);
  CHECK(run("st.shared.b64 [%rd2], %rd1;", 1024) == kMisaligned);
}

TEST_CASE("shared and local memory have bounds") {
  CHECK(run("st.shared.b32 [%rd2], %r1;", 256) == 0);
  CHECK(run("st.shared.b32 [%rd2], %r1;", 252) == kIllegalAddress);
  CHECK(run("st.shared.b32 [%rd2+-4], %r1;", 256) == kIllegalAddress);
  CHECK(run(".local .align 4 .b8 depot[16]; mov.b64 %rd4, depot; st.local.b32 [%rd4+12], %r1;") == 0);
  CHECK(run(".local .align 4 .b8 depot[16]; mov.b64 %rd4, depot; st.local.b32 [%rd4+16], %r1;") == kIllegalAddress);
}

TEST_CASE("who reads what others wrote waits at a barrier") {
  const std::string write = "st.shared.b32 [%rd2], %r1;\n";
  const std::string read = "xor.b64 %rd4, %rd2, 128; ld.shared.b32 %r2, [%rd4];\n";  // of the other warp
  CHECK(run(write + "bar.sync 0;\n" + read, 256) == 0);
  CHECK(run(write + read, 256) == kLaunchFailed);
  CHECK(run(write + "ld.shared.b32 %r2, [%rd2];", 256) == 0);
}

TEST_CASE("who writes what others read waits at a barrier") {
  const std::string first =
      "st.shared.b32 [%rd2], %r1; bar.sync 0; xor.b64 %rd4, %rd2, 4; ld.shared.b32 %r2, [%rd4];\n";
  const std::string second = "add.s32 %r3, %r1, 100; st.shared.b32 [%rd2], %r3;";
  CHECK(run(first + "bar.sync 0;\n" + second, 256) == 0);
  CHECK(run(first + second, 256) == kLaunchFailed);
}

TEST_CASE("lanes of a warp, too, need a barrier, though one of the warp is enough") {
  const std::string write = "st.shared.b32 [%rd2], %r1;\n";
  const std::string read = "xor.b64 %rd4, %rd2, 4; ld.shared.b32 %r2, [%rd4];\n";
  CHECK(run(write + "bar.warp.sync -1;\n" + read, 256) == 0);
  CHECK(run(write + read, 256) == kLaunchFailed);
}

TEST_CASE("writing twice is a race where the values differ") {
  CHECK(run("mov.b64 %rd4, 0; mov.b32 %r2, 7; st.shared.b32 [%rd4], %r2;", 4) == 0);
  CHECK(run("mov.b64 %rd4, 0; st.shared.b32 [%rd4], %r1;", 4) == kLaunchFailed);
  CHECK(run("mov.b64 %rd4, 0; atom.shared.add.u32 %r2, [%rd4], %r1;", 4) == 0);
  CHECK(run("mov.b64 %rd4, 0; red.shared.add.u32 [%rd4], 1; ld.shared.b32 %r2, [%rd4];", 4) == kLaunchFailed);
}

TEST_CASE("copies that go on race like writes, from their start to the wait") {
  const std::string address = "cvt.u32.u64 %r10, %rd2; xor.b32 %r11, %r10, 128;\n";  // its own, that of another warp
  const std::string copy = "cp.async.ca.shared.global [%r10], [%rd3], 4; cp.async.commit_group;\n";
  const std::string wait = "cp.async.wait_group 0;\n";
  const std::string barrier = "bar.sync 0;\n";
  const std::string read = "ld.shared.b32 %r2, [%r11];\n";
  CHECK(run(address + copy + wait + barrier + read, 256) == 0);
  CHECK(run(address + copy + wait + read, 256) == kLaunchFailed);
  CHECK(run(address + copy + barrier + wait + read, 256) == kLaunchFailed);
  CHECK(run(address + "st.shared.b32 [%r10], %r1;" + barrier + read + copy + wait, 256) == kLaunchFailed);
  CHECK(run(address + "st.shared.b32 [%r10], %r1;" + barrier + read + barrier + copy + wait, 256) == 0);
}

TEST_CASE("copies have bounds and multiples") {
  const std::string place = "mov.b32 %r10, 0; mov.b32 %r11, 0;\n";
  const std::string only_first = "setp.eq.u32 %p1, %r1, 0; @%p1 ";
  CHECK(run(place + only_first + "cp.async.cg.shared.global [%r10], [%rd1+240], 16;", 16) == 0);
  CHECK(run(place + only_first + "cp.async.cg.shared.global [%r10], [%rd1+256], 16;", 16) == kIllegalAddress);
  CHECK(run(place + only_first + "cp.async.cg.shared.global [%r10], [%rd1+256], 16, %r11;", 16) == 0);
  CHECK(run(place + only_first + "cp.async.cg.shared.global [%r10], [%rd1+8], 16;", 16) == kMisaligned);
  CHECK(run(place + only_first + "cp.async.cg.shared.global [%r10], [%rd1], 16;", 12) == kIllegalAddress);
}

TEST_CASE("bytes beside each other do not race") {
  const std::string body = "cvt.u64.u32 %rd4, %r1; st.shared.b8 [%rd4], %r1;";
  CHECK(run(body, 64) == 0);
  CHECK(run("shr.u32 %r2, %r1, 1; cvt.u64.u32 %rd4, %r2; st.shared.b8 [%rd4], %r1;", 64) == kLaunchFailed);
}

TEST_CASE("reading shared memory that nobody wrote is counted, and gives NaN") {
  const Driver driver;
  const Driver::Address data = driver.upload(std::vector<std::uint32_t>(64));
  const Driver::Shape shape{{1, 1, 1}, {64, 1, 1}, 512};
  const std::string body = kPrologue + "ld.shared.b32 %r2, [%rd2+256]; st.global.b32 [%rd3], %r2;";
  REQUIRE(driver.launch(test::kernel(".param .u64 data", body), shape, data) == 0);
  CHECK(driver.counts().uninitialized_reads == 64);
  CHECK(driver.download<std::uint32_t>(data, 1)[0] == 0xffffffff);
}

TEST_CASE("all lanes of a warp come to a barrier, whichever way") {
  CHECK(run("setp.lt.u32 %p1, %r1, 5; @%p1 bra SKIP; bar.sync 0; SKIP: bar.sync 0;") == kLaunchFailed);
  CHECK(run("setp.lt.u32 %p1, %r1, 5; @%p1 bra END; bar.sync 0; END: ret;") == 0);
  CHECK(run("setp.lt.u32 %p1, %r1, 32; @%p1 bra END; bar.sync 0; END: ret;") == 0);
  CHECK(run("setp.lt.u32 %p1, %r1, 5; @%p1 bra SKIP; add.s32 %r2, %r1, 1; SKIP: bar.sync 0;") == 0);
  CHECK(run("setp.lt.u32 %p1, %r1, 5; @%p1 shfl.sync.idx.b32 %r2, %r1, 0, 31, -1; bar.sync 0;") == kLaunchFailed);
  CHECK(run("setp.lt.u32 %p1, %r1, 5; @%p1 trap;") == 715);
}

TEST_CASE("an error stays") {
  const Driver driver;
  const std::string ptx = test::kernel(".param .u64 data", kPrologue + "ld.global.b32 %r2, [%rd1];");
  REQUIRE(driver.launch(ptx, {}, Driver::Address{0}) == kIllegalAddress);
  Driver::Address address = 0;
  CHECK(driver.call("cuMemAlloc_v2", &address, std::size_t{4}) == kIllegalAddress);
  void* const stream = nullptr;
  CHECK(driver.call("cuStreamSynchronize", stream) == kIllegalAddress);
  const char* name = nullptr;
  driver.require("cuGetErrorName", kIllegalAddress, &name);
  CHECK(std::string(name) == "CUDA_ERROR_ILLEGAL_ADDRESS");
}

TEST_CASE("launches have limits") {
  CHECK(run("", 0, {{1, 1, 1}, {1025, 1, 1}, 0}) == 1);
  CHECK(run("", 0, {{1, 65536, 1}, {1, 1, 1}, 0}) == 1);
  CHECK(run("", 0, {{0, 1, 1}, {1, 1, 1}, 0}) == 1);
  CHECK(run("", (48 << 10) + 4) == 1);
  CHECK(run("", 48 << 10) == 0);
}

TEST_CASE("what the emulator does not know is refused when it is loaded") {
  const Driver driver;
  const auto load = [&](const std::string& body) {
    void* module = nullptr;
    return driver.call("cuModuleLoadData", &module, test::kernel("", body).c_str());
  };
  CHECK(load("add.s32 %r1, %r2, 1;") == 0);
  CHECK(load("add.sat.s32 %r1, %r2, 1;") == 218);
  CHECK(load("frobnicate.b32 %r1, %r2;") == 218);
  CHECK(load("add.s32 %rd1, %r2, 1;") == 218);
  CHECK(load("add.s32 %q1, %r2, 1;") == 218);
  CHECK(load("bra NOWHERE;") == 218);
  CHECK(load("add.s32 %r1, %r2") == 218);
  CHECK(load("bar.sync 1;") == 218);
}

}  // namespace
}  // namespace netc

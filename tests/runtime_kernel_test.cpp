// Calls of kernels: what a kernel is told, how its failures come back, where its scratch memory comes from.
#include <HalideRuntime.h>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "netc/halide_hooks.h"
#include "netc/kernel.h"
#include "netc/pages.h"
#include "netc/parallel.h"
#include "netc/scratch_memory.h"
#include "netc/thread_pool.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

using test::check_error;

struct Seen {
  std::int32_t batch;
  std::uint32_t seed;
  std::uint32_t step;
  std::array<halide_buffer_t, 2> buffers;
  std::vector<std::array<int, 3>> dims;  // min, extent, stride
};
Seen seen;

const halide_buffer_t& buffer(void** arguments, int i) {
  return *static_cast<halide_buffer_t*>(arguments[3 + i]);
}

int spy(void** arguments) {
  std::memcpy(&seen.batch, arguments[0], sizeof seen.batch);
  std::memcpy(&seen.seed, arguments[1], sizeof seen.seed);
  std::memcpy(&seen.step, arguments[2], sizeof seen.step);
  seen.dims.clear();
  for (int i = 0; i < 2; ++i) {
    seen.buffers[static_cast<std::size_t>(i)] = buffer(arguments, i);
    for (int d = 0; d < buffer(arguments, i).dimensions; ++d) {
      const halide_dimension_t& dim = buffer(arguments, i).dim[d];
      seen.dims.push_back({dim.min, dim.extent, dim.stride});
    }
  }
  return 0;
}

int broken(void**) {
  halide_error(nullptr, "the first message");
  halide_error(nullptr, "the second message");
  return -7;
}

constexpr std::array<Operand, 2> operands{
    {{DType::f32, {{5, 1}, {Dim::examples, 5}}}, {DType::u8, {{Dim::blocks_of(4), 1}, {7, 16}, {Dim::examples, 112}}}}};

TEST_CASE("a kernel sees batch, seed, step and its operands' layouts") {
  const Kernel kernel("spy", operands, {}, {spy, spy, spy});
  std::array<float, 64> a{};
  const std::array<std::uint8_t, 4096> b{};
  kernel(Launch{9, 11, 13}, a.data(), b.data());
  CHECK(seen.batch == 9);
  CHECK(seen.seed == 11);
  CHECK(seen.step == 13);
  CHECK(static_cast<const void*>(seen.buffers[0].host) == a.data());
  CHECK(static_cast<const void*>(seen.buffers[1].host) == b.data());
  CHECK(seen.buffers[0].type == halide_type_of<float>());
  CHECK(seen.buffers[1].type == halide_type_of<std::uint8_t>());
  CHECK(seen.buffers[0].device == 0);
  // Blocks of four examples: nine of them are three blocks.
  CHECK(seen.dims == std::vector<std::array<int, 3>>{{0, 5, 1}, {0, 9, 5}, {0, 3, 1}, {0, 7, 16}, {0, 9, 112}});
  kernel(Launch{8, 0, 0}, a.data(), b.data());
  CHECK(seen.dims[2] == std::array<int, 3>{0, 2, 1});
}

TEST_CASE("an observer is told of every call, and how much work it is") {
  const Kernel kernel("spy", operands, MultiplyAdds{1000}, {spy, spy, spy});
  const Work work = kernel.work(9);
  CHECK(work.flops == 18000);
  CHECK(work.bytes == 4 * 5 * 9 + 3 * 7 * 9);
  std::array<float, 64> a{};
  const std::array<std::uint8_t, 4096> b{};
  std::vector<std::string> calls;
  {
    const ObservedKernels observed([&](const Kernel& called, const Launch& launch, double seconds) {
      CHECK(seconds >= 0);
      calls.push_back(std::string(called.name()) + std::to_string(launch.batch));
    });
    kernel(Launch{9, 0, 0}, a.data(), b.data());
    kernel(Launch{8, 0, 0}, a.data(), b.data());
  }
  kernel(Launch{7, 0, 0}, a.data(), b.data());
  CHECK(calls == std::vector<std::string>{"spy9", "spy8"});
}

TEST_CASE("failures name the kernel") {
  const Kernel kernel("conv_1234", operands, {}, {broken, broken, broken});
  std::array<float, 64> memory{};
  check_error(ErrorKind::internal, {"conv_1234", "-7", "the first message"}, [&] {
    kernel(Launch{1, 0, 0}, memory.data(), memory.data());
  });
  CHECK(halide::take_error().empty());
  check_error(ErrorKind::internal, {"conv_1234", "operand 1 has no memory"}, [&] {
    kernel(Launch{1, 0, 0}, memory.data(), static_cast<float*>(nullptr));
  });
  check_error(ErrorKind::internal, {"conv_1234", "expected 2 operands, found 1"}, [&] {
    kernel(Launch{1, 0, 0}, memory.data());
  });
  check_error(ErrorKind::memory, {"batch of 500000000", "conv_1234"}, [&] {
    kernel(Launch{500'000'000, 0, 0}, memory.data(), memory.data());
  });
}

TEST_CASE("pages are aligned and zero, new and after others") {
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{5000}, (std::size_t{2} << 20) + 1, std::size_t{9} << 20}) {
    for (int time = 0; time < 2; ++time) {
      const auto pages = make_pages<std::uint8_t>(bytes);
      REQUIRE(pages != nullptr);
      CHECK(reinterpret_cast<std::uintptr_t>(pages.get()) % vector_alignment == 0);
      CHECK(std::all_of(pages.get(), pages.get() + bytes, [](std::uint8_t byte) { return byte == 0; }));
      std::fill_n(pages.get(), bytes, std::uint8_t{255});
    }
  }
  CHECK(allocate_pages(SIZE_MAX) == nullptr);
}

TEST_CASE("scratch memory is aligned, kept and used again") {
  halide::install_hooks();
  for (std::size_t size :
       {std::size_t{1}, std::size_t{128}, std::size_t{129}, std::size_t{5000}, std::size_t{1} << 20}) {
    CAPTURE(size);
    void* first = halide_malloc(nullptr, size);
    CHECK(reinterpret_cast<std::uintptr_t>(first) % 128 == 0);
    std::memset(first, 1, size);
    halide_free(nullptr, first);
    const std::int64_t before = halide::scratch_bytes();
    void* again = halide_malloc(nullptr, size);
    CHECK(again == first);
    CHECK(halide::scratch_bytes() == before);
    halide_free(nullptr, again);
  }
  halide_free(nullptr, nullptr);
}

TEST_CASE("a thread of a loop finds its scratch memory again, whatever others do in between") {
  halide::install_hooks();
  const int threads_before = threads();
  set_threads(2);
  const std::int64_t bytes_before = halide::scratch_bytes();
  std::mutex mutex;
  std::map<std::thread::id, std::set<void*>> blocks;
  for (int repetition = 0; repetition < 50; ++repetition) {
    std::atomic<int> holding = 0;
    std::function<void(int)> take = [&](int index) {
      while (index == repetition % 2 && holding == 0) std::this_thread::yield();
      void* block = halide_malloc(nullptr, 1000);
      ++holding;
      while (holding < 2) std::this_thread::yield();
      {
        const std::lock_guard lock(mutex);
        blocks[std::this_thread::get_id()].insert(block);
      }
      halide_free(nullptr, block);
    };
    const auto call = [](void* context, int index, std::uint8_t*) {
      (*static_cast<std::function<void(int)>*>(context))(index);
      return 0;
    };
    CHECK(parallel_loop(&take, call, 0, 2, nullptr) == 0);
  }
  REQUIRE(blocks.size() == 2);
  for (const auto& [thread, those] : blocks) CHECK(those.size() == 1);
  CHECK(halide::scratch_bytes() >= bytes_before);
  set_threads(threads_before);
}

/// Takes blocks of these sizes all at once, as a kernel with many stages, and gives them back, the odd ones first.
void use(ScratchMemory& memory, const std::vector<std::size_t>& sizes) {
  std::vector<unsigned char*> blocks;
  for (std::size_t size : sizes) {
    blocks.push_back(static_cast<unsigned char*>(memory.allocate(size)));
    REQUIRE(blocks.back() != nullptr);
    std::fill_n(blocks.back(), size, static_cast<unsigned char>(blocks.size()));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto mark = static_cast<unsigned char>(i + 1);
    CHECK(std::all_of(blocks[i], blocks[i] + sizes[i], [&](unsigned char byte) { return byte == mark; }));
  }
  for (std::size_t odd : {1, 0}) {
    for (std::size_t i = odd; i < blocks.size(); i += 2) memory.release(blocks[i]);
  }
}

TEST_CASE("kernels that run one after the other share scratch memory") {
  ScratchMemory memory;
  use(memory, {100'000, 300'000});
  use(memory, {200'000, 50'000, 70'000});
  const std::int64_t most = 400'000 + 2 * 128;
  CHECK(memory.bytes() >= 400'000);
  CHECK(memory.bytes() <= most);
  use(memory, {390'000});
  CHECK(memory.bytes() <= most);
  use(memory, {1, 500'000});
  CHECK(memory.bytes() <= 500'000 + 3 * 128);
}

TEST_CASE("scratch memory ends with one chunk, whatever order blocks come and go in") {
  ScratchMemory memory;
  const auto step = [&] {
    void* first = memory.allocate(10'000);
    void* second = memory.allocate(20'000);
    memory.release(first);
    void* third = memory.allocate(25'000);  // not where the first was
    memory.release(second);
    void* fourth = memory.allocate(29'000);
    memory.release(third);
    memory.release(fourth);
  };
  for (int i = 0; i < 4; ++i) step();
  const std::int64_t bytes = memory.bytes();
  CHECK(bytes <= 100'000);
  step();
  CHECK(memory.bytes() == bytes);
}

TEST_CASE("scratch memory that the system does not have is no block") {
  ScratchMemory memory;
  CHECK(memory.allocate(SIZE_MAX) == nullptr);
  CHECK(memory.bytes() == 0);
  use(memory, {64});
}

TEST_CASE("a kernel that gets no scratch memory ends the process with a line that says why") {
  halide::install_hooks();
  const test::TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    std::freopen((folder / "err").c_str(), "w", stderr);
    halide_malloc(nullptr, SIZE_MAX / 2);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 1);
  CHECK(test::read_text(folder / "err") ==
        "out of memory: a kernel needs " + std::to_string(SIZE_MAX / 2) +
            " bytes of scratch memory; use a smaller batch or fewer threads, or raise the limit of this process's "
            "memory\n");
}

TEST_CASE("many threads share the pool") {
  std::vector<std::thread> workers;
  workers.reserve(4);
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    workers.emplace_back([t, &wrong] {
      for (int i = 0; i < 2000; ++i) {
        const std::size_t size = 100 + static_cast<std::size_t>(i % 7) * 300;
        auto* block = static_cast<unsigned char*>(halide_malloc(nullptr, size));
        std::memset(block, t, size);
        for (std::size_t k = 0; k < size; ++k) wrong += block[k] == t ? 0 : 1;
        halide_free(nullptr, block);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  CHECK(wrong == 0);
}

TEST_CASE("parallel_for covers every index once") {
  for (std::int64_t count : {0, 1, 1000, 1 << 15, (1 << 15) + 1, 1'000'003}) {
    std::vector<std::uint8_t> hits(static_cast<std::size_t>(count));
    parallel_for(count, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
    });
    CHECK(std::accumulate(hits.begin(), hits.end(), std::int64_t{0}) == count);
    CHECK(std::find_if(hits.begin(), hits.end(), [](int hit) { return hit != 1; }) == hits.end());
  }
}

TEST_CASE("parallel loops of kernels run on netc's threads") {
  halide::install_hooks();
  std::atomic<int> sum = 0;
  const auto add = [](void* context, int index, std::uint8_t*) {
    *static_cast<std::atomic<int>*>(context) += index;
    return 0;
  };
  CHECK(halide_do_par_for(&sum, add, 1, 100, nullptr) == 0);
  CHECK(sum == 5050);
  const bool was_installed = halide_set_custom_do_par_for(parallel_loop) == parallel_loop;
  CHECK(was_installed);
}

TEST_CASE("NETC_ISA asks for less") {
  setenv("NETC_ISA", "sse41", 1);
  CHECK(best_isa() == Isa::sse41);
  setenv("NETC_ISA", "sse5", 1);
  check_error(ErrorKind::usage, {"NETC_ISA", "avx2", "sse5"}, [] { best_isa(); });
  unsetenv("NETC_ISA");
  CHECK(best_isa() >= Isa::sse41);
}

}  // namespace
}  // namespace netc

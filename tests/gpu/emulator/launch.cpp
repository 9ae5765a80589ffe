// Runs the blocks of a launch.
#include "launch.h"

#include <fmt/format.h>
#include <immintrin.h>

#include <algorithm>
#include <deque>

#include "fault.h"

namespace netc::emulator {
namespace {

/// Flushes subnormal numbers to zero, as Halide's kernels ask for by .ftz on their floats. Doubles are flushed with
/// them, which the device does not do: their subnormals are far below any result here.
class FlushSubnormals {
 public:
  explicit FlushSubnormals(bool flush) : saved_(_mm_getcsr()) {
    constexpr unsigned kFlushToZero = 0x8000;
    constexpr unsigned kSubnormalsAreZero = 0x0040;
    if (flush) _mm_setcsr(saved_ | kFlushToZero | kSubnormalsAreZero);
  }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;
  ~FlushSubnormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
};

bool flushes(const Program& program) {
  return std::any_of(program.statements.begin(), program.statements.end(),
                     [](const Statement& statement) { return statement.has("ftz"); });
}

class Runner {
 public:
  explicit Runner(Launch& launch) : launch_(launch) {
    const std::uint64_t threads = launch.block.count();
    for (std::uint32_t i = 0; i < (threads + kWarpSize - 1) / kWarpSize; ++i) warps_.emplace_back(launch, i);
  }

  void run_block(const Dim3& index) {
    launch_.shared.start_block();
    for (Warp& warp : warps_) warp.start_block(index);
    while (run_to_barrier(index)) {
      launch_.shared.synchronize();
      for (Warp& warp : warps_) warp.pass_barrier();
    }
  }

  LaunchCounts counts() const {
    LaunchCounts result;
    for (const Warp& warp : warps_) {
      result.instructions += warp.instructions();
      result.multiply_adds += warp.multiply_adds();
    }
    result.uninitialized_reads = launch_.shared.uninitialized_reads();
    return result;
  }

 private:
  /// Returns whether any warp waits at a barrier: those that have ended count as arrived.
  bool run_to_barrier(const Dim3& index) {
    bool waits = false;
    for (Warp& warp : warps_) {
      try {
        waits |= warp.run() == Warp::State::at_barrier;
      } catch (const Fault& fault) {
        throw Fault(fault.code(), describe(warp, index) + fault.what());
      }
    }
    return waits;
  }

  std::string describe(const Warp& warp, const Dim3& index) const {
    const std::uint32_t thread = warp.faulty_thread();
    const Dim3& block = launch_.block;
    const Statement* statement = warp.statement();
    return fmt::format(
        "kernel {}, block ({}, {}, {}), thread {} = ({}, {}, {}), PTX line {}: `{}`: ", launch_.program.name, index.x,
        index.y, index.z, thread, thread % block.x, thread / block.x % block.y, thread / (block.x * block.y),
        statement != nullptr ? statement->line : 0, statement != nullptr ? statement->text : "");
  }

  Launch& launch_;
  std::deque<Warp> warps_;
};

}  // namespace

LaunchCounts run(const Program& program, const Dim3& grid, const Dim3& block, std::uint32_t dynamic_shared,
                 std::vector<std::uint8_t> parameters, DeviceMemory& memory) {
  SharedMemory shared(static_cast<std::size_t>(program.shared_bytes) + dynamic_shared, program.shared_unit);
  Launch launch{program, grid, block, std::move(parameters), memory, shared, {}};
  launch.ranges.resize(program.instructions.size());
  const FlushSubnormals mode(flushes(program));
  Runner runner(launch);
  for (std::uint32_t z = 0; z < grid.z; ++z) {
    for (std::uint32_t y = 0; y < grid.y; ++y) {
      for (std::uint32_t x = 0; x < grid.x; ++x) runner.run_block({x, y, z});
    }
  }
  return runner.counts();
}

}  // namespace netc::emulator

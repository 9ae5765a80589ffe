#include "emulator.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace netc::test {

std::optional<emulator::Counts> emulator_counts() {
  const auto function = reinterpret_cast<emulator::CountsFunction>(::dlsym(RTLD_DEFAULT, "netc_emulator_counts"));
  if (function == nullptr) return std::nullopt;
  emulator::Counts counts{};
  function(&counts);
  return counts;
}

void print_emulator_counts(const std::string& what) {
  const std::optional<emulator::Counts> counts = emulator_counts();
  if (!counts) return;
  fmt::print(
      "cuda: {}: emulated {} launches ({} in graphs), {:.3f} G instructions, {:.3f} G multiply-adds; {} copies in, {} "
      "out; {} reads of unset shared memory\n",
      what, counts->launches, counts->graph_launches, static_cast<double>(counts->instructions) / 1e9,
      static_cast<double>(counts->multiply_adds) / 1e9, counts->copies_to_device, counts->copies_to_host,
      counts->uninitialized_reads);
}

}  // namespace netc::test

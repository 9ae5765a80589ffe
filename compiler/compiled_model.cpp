#include "compiler/compiled_model.h"

#include <algorithm>
#include <map>
#include <utility>

#include "netc/round_up.h"

namespace netc {

void CompiledModel::plan_preparations() {
  constexpr std::int64_t line = 64;
  list_preparations(kernels);
  for (Plan* plan : {&evaluation, &few}) {
    const std::vector<int>& entries = kernels.of[plan == &evaluation ? 0 : 1];
    std::map<std::pair<int, ValueId>, std::int64_t> places;
    plan->prepared.assign(plan->groups.size(), -1);
    for (std::size_t i = 0; i < plan->groups.size(); ++i) {
      const KernelEntry& entry = kernels.entries[static_cast<std::size_t>(entries[i])];
      if (!entry.prepared) continue;
      const ValueId parameter = plan->groups[i].inputs[entry.prepared->input];
      const auto [place, inserted] = places.emplace(std::pair(entries[i], parameter), plan->memory.prepared);
      const std::int64_t bytes = round_up(entry.prepared->bytes, line);
      if (inserted) plan->memory.prepared += bytes;
      plan->memory.prepared_once = std::max(plan->memory.prepared_once, bytes);
      plan->prepared[i] = place->second;
    }
  }
}

}  // namespace netc

#include "asynchronous_copies.h"

#include <algorithm>

namespace netc::emulator {

void AsynchronousCopies::start_block() {
  groups_.fill(0);
  copies_.clear();
}

void AsynchronousCopies::add(Copy copy) {
  copy.group = groups_[static_cast<std::size_t>(copy.lane)];
  copies_.push_back(copy);
}

std::vector<AsynchronousCopies::Copy> AsynchronousCopies::finish(Mask lanes, std::uint32_t pending_groups) {
  const auto stays = [&](const Copy& copy) {
    const std::uint32_t ended = groups_[static_cast<std::size_t>(copy.lane)];
    return (lanes >> copy.lane & 1) == 0 || copy.group + pending_groups >= ended;
  };
  const auto first = std::stable_partition(copies_.begin(), copies_.end(), stays);
  std::vector<Copy> finished(first, copies_.end());
  copies_.erase(first, copies_.end());
  return finished;
}

}  // namespace netc::emulator

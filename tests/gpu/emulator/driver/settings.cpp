// Settings from the environment.
#include "settings.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace netc::emulator {
namespace {

void read(const char* name, std::int64_t* value) {
  const char* text = std::getenv(name);
  if (text == nullptr) return;
  const std::string_view digits = text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *value);
  if (error == std::errc() && end == digits.data() + digits.size()) return;
  fmt::print(stderr, "CUDA emulator: {}={} is no number\n", name, text);
  std::abort();
}

}  // namespace

Settings Settings::from_environment() {
  Settings settings;
  read("NETC_EMULATOR_DEVICES", &settings.devices);
  read("NETC_EMULATOR_DRIVER", &settings.driver);
  read("NETC_EMULATOR_CAPABILITY", &settings.capability);
  read("NETC_EMULATOR_MEMORY", &settings.memory);
  read("NETC_EMULATOR_LOST_AFTER", &settings.lost_after);
  std::int64_t execute = 1;
  read("NETC_EMULATOR_EXECUTE", &execute);
  settings.execute = execute != 0;
  if (const char* log = std::getenv("NETC_EMULATOR_LOG")) settings.log = log;
  return settings;
}

}  // namespace netc::emulator

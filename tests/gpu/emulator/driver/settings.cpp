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

void read(const char* name, bool* value) {
  std::int64_t number = *value ? 1 : 0;
  read(name, &number);
  *value = number != 0;
}

}  // namespace

Settings Settings::from_environment() {
  Settings settings;
  read("NETC_EMULATOR_DEVICES", &settings.devices);
  read("NETC_EMULATOR_DRIVER", &settings.driver);
  read("NETC_EMULATOR_CAPABILITY", &settings.capability);
  read("NETC_EMULATOR_MEMORY", &settings.memory);
  read("NETC_EMULATOR_LOST_AFTER", &settings.lost_after);
  read("NETC_EMULATOR_EXECUTE", &settings.execute);
  read("NETC_EMULATOR_LAZY", &settings.lazy);
  read("NETC_EMULATOR_MANAGED", &settings.managed);
  if (const char* log = std::getenv("NETC_EMULATOR_LOG")) settings.log = log;
  if (const char* totals = std::getenv("NETC_EMULATOR_TOTALS")) settings.totals = totals;
  return settings;
}

}  // namespace netc::emulator

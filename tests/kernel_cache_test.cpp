// The cache of compiled kernels: what is made once is found again, and nothing half-made is ever found.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "command_support.h"
#include "compiler/kernels/kernel_cache.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

using test::read_text;
using test::WorkingFolder;
using test::write_text;

TEST_CASE("an object is made once") {
  WorkingFolder folder;
  const KernelCache cache("cache");
  int made = 0;
  const auto make = [&](const fs::path& object) {
    ++made;
    write_text(object, "code");
  };
  const fs::path first = cache.object("conv", make);
  CHECK(cache.object("conv", make) == first);
  CHECK(made == 1);
  CHECK(read_text(first) == "code");
  CHECK(cache.object("linear", make) != first);
  CHECK(made == 2);
}

TEST_CASE("what fails half-way leaves no object behind") {
  WorkingFolder folder;
  const KernelCache cache("cache");
  const auto crash = [](const fs::path& object) {
    write_text(object, "half of the co");
    throw std::runtime_error("killed");
  };
  CHECK_THROWS_AS(cache.object("conv", crash), std::runtime_error);
  const fs::path object = cache.object("conv", [](const fs::path& path) { write_text(path, "code"); });
  CHECK(read_text(object) == "code");
}

TEST_CASE("an object without its description, or with another's, is made again") {
  WorkingFolder folder;
  const KernelCache cache("cache");
  const auto make = [](const fs::path& path) { write_text(path, "code"); };
  const fs::path object = cache.object("conv", make);
  fs::path description = object;
  description.replace_extension(".txt");
  for (const char* damage : {"", "another kernel"}) {
    write_text(object, "other code");
    write_text(description, damage);
    CHECK(read_text(cache.object("conv", make)) == "code");
  }
}

TEST_CASE("several writers at once agree") {
  WorkingFolder folder;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> writers;
  writers.reserve(8);
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&] {
      const KernelCache cache("cache");
      for (int kernel = 0; kernel < 20; ++kernel) {
        const std::string name = "kernel " + std::to_string(kernel);
        const fs::path object = cache.object(name, [&](const fs::path& path) { std::ofstream(path) << name; });
        if (read_text(object) != name) ++wrong;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace netc

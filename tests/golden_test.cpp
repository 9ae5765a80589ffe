// Every stage of known models, held by tests/golden. When a change is meant, scripts/update-golden writes the files
// anew.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "command_support.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

using test::read_text;

/// What a stage of a model prints, with the options that follow.
std::string dump(const std::string& model, const std::string& stage, const std::vector<std::string>& options = {}) {
  const fs::path root = fs::current_path();
  const test::WorkingFolder folder;
  std::vector<std::string> arguments{"dump", (root / model).string(), "--after=" + stage};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const test::CommandResult result = test::run_netc(arguments);
  CHECK(result.status == 0);
  return result.out;
}

TEST_CASE("every stage prints what tests/golden holds") {
  for (const std::string model : {"models/lenet.net", "tests/parity/residual.net"}) {
    const std::string name = fs::path(model).stem().string();
    for (const char* stage : {"parse", "elaborate", "differentiate", "inline", "layout", "fuse", "plan"}) {
      INFO(name, " after ", stage);
      CHECK(dump(model, stage) == read_text("tests/golden/" + name + "." + stage));
    }
  }
}

TEST_CASE("what is computed again within 2600K") {
  CHECK(dump("tests/parity/residual.net", "recompute", {"--max-memory=2600K", "--batch=64"}) ==
        read_text("tests/golden/residual.recompute"));
}

}  // namespace
}  // namespace netc

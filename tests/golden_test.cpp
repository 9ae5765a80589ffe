// Every stage of known models, held by tests/golden. When a change is meant, scripts/update-golden writes the files
// anew.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "command_support.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

using test::read_text;

TEST_CASE("every stage prints what tests/golden holds") {
  for (const std::string model : {"models/lenet.net", "tests/parity/residual.net"}) {
    const std::string name = fs::path(model).stem().string();
    for (const char* stage : {"parse", "elaborate", "differentiate", "layout", "fuse", "plan"}) {
      test::CommandResult result = [&] {
        const fs::path root = fs::current_path();
        test::WorkingFolder folder;
        return test::run_netc({"dump", (root / model).string(), std::string("--after=") + stage});
      }();
      INFO(name, " after ", stage);
      CHECK(result.status == 0);
      CHECK(result.out == read_text("tests/golden/" + name + "." + stage));
    }
  }
}

}  // namespace
}  // namespace netc

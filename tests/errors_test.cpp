// Every tests/errors/X.net must be answered with exactly the text in X.expect. A first line `// --set a=b …`,
// `// --model m` or `// --max-memory 1M` gives options; X.tiles is its tiles file, if there is one.
// NETC_UPDATE_EXPECT=1 writes the files anew.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "command_support.h"
#include "compiler/elaborate/elaborate.h"
#include "compiler/formula/examples.h"
#include "compiler/kernels/lower.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/modes.h"
#include "compiler/passes/plan_memory.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

const fs::path folder = "tests/errors";

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> cases() {
  std::vector<fs::path> result;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".net") result.push_back(entry.path());
  }
  std::sort(result.begin(), result.end());
  return result;
}

/// The options in a first line such as `// --model small --set ratio=4 --set train.epochs=3`.
ElaborateOptions options_of(const std::string& text) {
  ElaborateOptions options{.set = {}, .std_folder = fs::absolute("models/std").string()};
  std::istringstream words(text.substr(0, text.find('\n')));
  for (std::string word; text.starts_with("// --") && words >> word;) {
    if (word == "--model") words >> options.model;
    const std::size_t equals = word.find('=');
    if (equals != std::string::npos) options.set.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return options;
}

/// Computes the examples of a file, if it has any.
void examine(const ast::Node& tree, const Source& source, const ElaborateOptions& options,
             std::vector<std::unique_ptr<Source>>& sources, Diagnostics& diagnostics) {
  if (source.text.find("\nexample ") == std::string::npos) return;
  Reporter reporter(diagnostics);
  Imports imports(options.std_folder, sources, diagnostics, reporter);
  const Environment& environment = imports.load(tree, source);
  const std::vector<TensorFunction> functions = read_functions(tree, environment, reporter);
  check_examples(tree, environment, functions, reporter);
}

/// Reads the tiles file beside a model, if there is one, and asks the schedules of its evaluation about their choices.
void apply_tiles(fs::path file, const Graph& graph, std::vector<std::unique_ptr<Source>>& sources,
                 Diagnostics& diagnostics) {
  file.replace_extension(".tiles");
  if (!fs::exists(file)) return;
  sources.push_back(std::make_unique<Source>(file.string(), read(file)));
  KernelTable table;
  table.tiles.add(*sources.back(), diagnostics);
  LaidOutGraph laid_out = lay_out(for_evaluation(graph));
  std::vector<Group> groups = fuse(laid_out.graph, laid_out.layouts);
  const Plan plan = plan_memory(std::move(laid_out), std::move(groups));
  for (const Group& group : plan.groups) {
    try {
      loop_nest(plan, group, table);
    } catch (const WrongChoice& wrong) {
      diagnostics.add(wrong.diagnostic());
    }
  }
}

/// The limit in a first line such as `// --max-memory 64K`; "" where there is none.
std::string max_memory_of(const std::string& text) {
  const std::string option = "// --max-memory ";
  return text.starts_with(option) ? text.substr(option.size(), text.find('\n') - option.size()) : "";
}

/// What the command says that plans the file's memory.
std::string answer_of_summary(const fs::path& file, const std::string& max_memory) {
  const test::WorkingFolder elsewhere;
  fs::copy_file(elsewhere.before() / file, file.filename());
  return test::run_netc({"summary", file.filename().string(), "--max-memory", max_memory}).err;
}

/// What netc says about a file, as if it ran in the file's folder.
std::string answer(const fs::path& file) {
  const Source source(file.filename().string(), read(file));
  const std::string max_memory = max_memory_of(source.text);
  if (!max_memory.empty()) return answer_of_summary(file, max_memory);
  const ElaborateOptions options = options_of(source.text);
  const fs::path here = fs::current_path();
  fs::current_path(file.parent_path());
  Diagnostics diagnostics;
  std::vector<std::unique_ptr<Source>> sources;
  const ast::Node tree = parse(source, diagnostics);
  if (!diagnostics.has_errors()) examine(tree, source, options, sources, diagnostics);
  const bool has_model = source.text.find("\nexample ") == std::string::npos;
  Graph graph;
  if (!diagnostics.has_errors() && has_model) graph = elaborate(tree, source, options, sources, diagnostics);
  if (!diagnostics.has_errors() && graph.loss != no_value) differentiate(for_training(graph), diagnostics);
  if (!diagnostics.has_errors() && has_model) apply_tiles(source.path, graph, sources, diagnostics);
  fs::current_path(here);
  return diagnostics.text();
}

TEST_CASE("each broken file gets exactly the diagnostics that it should") {
  const char* update = std::getenv("NETC_UPDATE_EXPECT");
  for (const fs::path& file : cases()) {
    CAPTURE(file.string());
    const fs::path expect = fs::path(file).replace_extension(".expect");
    const std::string found = answer(file);
    if (update != nullptr) std::ofstream(expect, std::ios::binary) << found;
    CHECK_MESSAGE(found == read(expect), expect.string(), " differs from what netc says:\n", found);
  }
}

TEST_CASE("each file of errors/ shows the code that it is named after") {
  for (const fs::path& file : cases()) {
    CAPTURE(file.string());
    const std::string code = file.stem().string().substr(0, 4);
    CHECK(read(fs::path(file).replace_extension(".expect")).find("[" + code + "]") != std::string::npos);
  }
}

TEST_CASE("each code that `netc explain` knows has an example, and each example's code an explanation") {
  std::map<std::string, int> shown;
  for (const fs::path& file : cases()) ++shown[file.stem().string().substr(0, 4)];
  for (const auto& entry : shown) {
    CAPTURE(entry.first);
    CHECK(!explanation(entry.first).empty());
  }
  for (int number = 100; number < 500; ++number) {
    const std::string code = (number < 400 ? "N" : "W") + std::to_string(number);
    CAPTURE(code);
    CHECK((explanation(code).empty() || shown.contains(code)));
  }
}

}  // namespace
}  // namespace netc

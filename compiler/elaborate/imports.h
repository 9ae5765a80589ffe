// Reads imported files and gathers the names that a file sees.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/report.h"
#include "dsl/ast.h"
#include "dsl/source.h"

namespace netc {

/// The files of one run. What an environment refers to lives as long as this does.
class Imports {
 public:
  /// `std_folder` is where "std/…" lies; the sources that are read go to `sources`.
  Imports(std::filesystem::path std_folder, std::vector<std::unique_ptr<Source>>& sources, Diagnostics& diagnostics,
          Reporter& reporter)
      : std_folder_(std::move(std_folder)), sources_(sources), diagnostics_(diagnostics), reporter_(reporter) {}

  /// What `file` sees: its own blocks and values, which hide those of its imports.
  const Environment& load(const ast::Node& file, const Source& source);

 private:
  struct File {
    explicit File(const Environment* outside) : environment(outside) {}
    ast::Node tree;
    Environment environment;
  };

  struct Open {
    std::string key;  // its canonical path
    const Source* source = nullptr;
  };

  /// For each name of a file the declaration or `let`, its own or an imported one.
  using Definitions = std::map<std::string, const ast::Node*>;

  void load_prelude();
  void gather(const ast::Node& tree, const Source& source, Environment& environment);
  void import(const ast::Node& statement, const Source& importer, Environment& environment);
  File* open(const ast::Node& statement, const Source& importer);
  File* read(const ast::Node& statement, const std::filesystem::path& path, const std::string& key);
  File* parse_file(const ast::Node& statement, const Source& source, const std::string& key);
  bool leaves_project(const ast::Node& statement);
  void report_cycle(const ast::Node& statement, std::vector<Open>::const_iterator first);
  void merge(const File& file, const ast::Node& statement, Environment& environment);
  void define(const ast::Node& tree, Environment& environment);

  std::filesystem::path std_folder_;
  std::vector<std::unique_ptr<Source>>& sources_;
  Diagnostics& diagnostics_;
  Reporter& reporter_;
  std::map<std::string, std::unique_ptr<File>> files_;  // by canonical path; null after an error
  std::unique_ptr<File> prelude_file_;
  std::map<const Environment*, Definitions> definitions_;
  std::vector<Open> open_;  // the files that are being read, outermost first
  Environment prelude_;     // what every file sees: std/activations.net
  Environment main_{&prelude_};
};

}  // namespace netc

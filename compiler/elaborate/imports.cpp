#include "compiler/elaborate/imports.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compiler/formula/index_notation.h"
#include "compiler/text_file.h"
#include "dsl/lexical.h"

namespace netc {
namespace {

constexpr std::size_t deepest_import = 64;

std::string canonical_name(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path result = std::filesystem::weakly_canonical(path, error);
  return error ? path.lexically_normal().string() : result.string();
}

constexpr std::size_t most_bytes = max_file_size + 1;  // a byte too many is the parser's to refuse

/// Where an import was looked for, also of a file that lies where netc runs.
std::string place_of(const std::filesystem::path& path) {
  const std::filesystem::path normal = path.lexically_normal();
  return normal.string() + (normal.has_parent_path() ? "" : " in the current folder");
}

/// Whether what is imported comes with netc.
bool is_std(const ast::Node& statement) {
  return statement.text.starts_with("std/");
}

bool is_declaration(ast::Kind kind) {
  using ast::Kind;
  return kind == Kind::block || kind == Kind::layer || kind == Kind::fn || kind == Kind::dist;
}

}  // namespace

const Environment& Imports::load(const ast::Node& file, const Source& source) {
  load_prelude();
  open_.push_back({canonical_name(source.path), &source});
  gather(file, source, main_);
  open_.pop_back();
  return main_;
}

/// Definitions that need no import. An installation without them can still compile what needs none.
void Imports::load_prelude() {
  const std::filesystem::path path = std_folder_ / "activations.net";
  std::string problem;
  std::optional<std::string> text = read_regular_text(path, most_bytes, problem);
  if (!text) return;
  sources_.push_back(std::make_unique<Source>(path.lexically_normal().string(), std::move(*text)));
  auto file = std::make_unique<File>(nullptr);
  file->tree = parse(*sources_.back(), diagnostics_);
  define(file->tree, prelude_);
  prelude_file_ = std::move(file);
}

void Imports::gather(const ast::Node& tree, const Source& source, Environment& environment) {
  for (const ast::Node& child : tree.children) {
    if (child.kind == ast::Kind::import) import(child, source, environment);
  }
  define(tree, environment);
}

void Imports::import(const ast::Node& statement, const Source& importer, Environment& environment) {
  if (leaves_project(statement)) return;
  const File* file = open(statement, importer);
  if (file != nullptr) merge(*file, statement, environment);
}

bool Imports::leaves_project(const ast::Node& statement) {
  const std::filesystem::path path(is_std(statement) ? statement.text.substr(4) : statement.text);
  const bool climbs = std::find(path.begin(), path.end(), "..") != path.end();
  if (!climbs && !path.is_absolute() && statement.text.find('\\') == std::string::npos) return false;
  reporter_.error("N130", statement.span, fmt::format("the import leaves the project: \"{}\"", statement.text),
                  "imports are relative to the importing file, without `..`, or begin with std/");
  return true;
}

Imports::File* Imports::open(const ast::Node& statement, const Source& importer) {
  const std::filesystem::path path = is_std(statement)
                                         ? std_folder_ / statement.text.substr(4)
                                         : std::filesystem::path(importer.path).parent_path() / statement.text;
  const std::string key = canonical_name(path);
  const auto first = std::find_if(open_.begin(), open_.end(), [&](const Open& file) { return file.key == key; });
  if (first != open_.end()) {
    report_cycle(statement, first);
    return nullptr;
  }
  if (open_.size() >= deepest_import) {
    reporter_.error("N121", statement.span, fmt::format("imports nest more than {} deep", deepest_import));
    return nullptr;
  }
  if (const auto known = files_.find(key); known != files_.end()) return known->second.get();
  return read(statement, path, key);
}

Imports::File* Imports::read(const ast::Node& statement, const std::filesystem::path& path, const std::string& key) {
  files_[key] = nullptr;  // a second import of a broken file says nothing more
  std::string problem;
  std::optional<std::string> text = read_regular_text(path, most_bytes, problem);
  if (!text) {
    reporter_.error("N131", statement.span, fmt::format("cannot read \"{}\": {}", statement.text, problem),
                    fmt::format("looked for {}", place_of(path)));
    return nullptr;
  }
  sources_.push_back(std::make_unique<Source>(path.lexically_normal().string(), std::move(*text)));
  return parse_file(statement, *sources_.back(), key);
}

Imports::File* Imports::parse_file(const ast::Node& statement, const Source& source, const std::string& key) {
  const ImportTrail trail(reporter_, source, statement.span);
  auto file = std::make_unique<File>(&prelude_);
  Diagnostics syntax;
  file->tree = parse(source, syntax);
  for (const Diagnostic& diagnostic : syntax.all()) reporter_.report(diagnostic);
  if (syntax.has_errors()) return nullptr;
  open_.push_back({key, &source});
  gather(file->tree, source, file->environment);
  open_.pop_back();
  return (files_[key] = std::move(file)).get();
}

/// `first` is the file that is imported again, while it is being read.
void Imports::report_cycle(const ast::Node& statement, std::vector<Open>::const_iterator first) {
  std::string way;
  for (auto file = first; file != open_.end(); ++file) way += file->source->path + " -> ";
  reporter_.error("N125", statement.span,
                  fmt::format("\"{}\" imports itself: {}{}", statement.text, way, first->source->path),
                  "move what both files need into a third one");
}

/// Adds what `file` sees. Two imports may offer one thing by several ways, but not two things of one name.
void Imports::merge(const File& file, const ast::Node& statement, Environment& environment) {
  Definitions& known = definitions_[&environment];
  for (const auto& [name, node] : definitions_[&file.environment]) {
    const ast::Node* other = known.emplace(name, node).first->second;
    if (other == node) continue;
    reporter_.report({.code = "N132",
                      .span = statement.span,
                      .message = fmt::format("two imports define `{}`", name),
                      .label = "",
                      .notes = {{"the other one is here", other->span}},
                      .help = ""});
  }
  for (const auto& [name, declaration] : file.environment.declarations())
    environment.declarations().emplace(name, declaration);
  for (const auto& [name, value] : file.environment.values()) environment.add(name, value);
}

/// The file's own definitions; they replace imported ones.
void Imports::define(const ast::Node& tree, Environment& environment) {
  Definitions own;
  for (const ast::Node& node : tree.children) {
    if (node.kind == ast::Kind::block) has_distinct_parameters(node, reporter_);
  }
  const auto is_new = [&](const ast::Node& node) {
    if (node.text == "N") {
      reporter_.error("N132", node.span, "`N` is the batch", "choose another name");
      return false;
    }
    const auto [first, added] = own.emplace(node.text, &node);
    if (added) return true;
    reporter_.report({.code = "N132",
                      .span = node.span,
                      .message = fmt::format("`{}` is declared twice", node.text),
                      .label = "",
                      .notes = {{"first here", first->second->span}},
                      .help = ""});
    return false;
  };
  for (const ast::Node& node : tree.children) {
    if (!is_declaration(node.kind) || !is_new(node)) continue;
    environment.values().erase(node.text);
    environment.declarations()[node.text] = {&node, &environment};
  }
  std::vector<const ast::Node*> lets;
  for (const ast::Node& node : tree.children) {
    if (node.kind != ast::Kind::let || !is_new(node)) continue;
    environment.values().erase(node.text);
    environment.declarations().erase(node.text);
    lets.push_back(&node);
  }
  for (const ast::Node* let : lets)  // when all of the file's own names hide imported ones
    environment.values()[let->text] = evaluate(let->children.front(), environment, reporter_);
  for (const auto& [name, node] : own) definitions_[&environment][name] = node;
}

}  // namespace netc

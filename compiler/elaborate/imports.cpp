#include "compiler/elaborate/imports.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "dsl/lexical.h"

namespace netc {
namespace {

constexpr std::size_t deepest_import = 64;

std::string canonical_name(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path result = std::filesystem::weakly_canonical(path, error);
  return error ? path.lexically_normal().string() : result.string();
}

/// The bytes of a regular file; false when there is none that can be read.
bool read_text(const std::filesystem::path& path, std::string& text) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::ifstream in(path, std::ios::binary);
  text.resize(max_file_size + 1);  // a byte too many is the parser's to refuse
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return in.eof() || !text.empty();
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
  open_.push_back(canonical_name(source.path));
  gather(file, source, main_);
  open_.pop_back();
  return main_;
}

/// Definitions that need no import. An installation without them can still compile what needs none.
void Imports::load_prelude() {
  const std::filesystem::path path = std_folder_ / "activations.net";
  std::string text;
  if (!read_text(path, text)) return;
  sources_.push_back(std::make_unique<Source>(path.lexically_normal().string(), std::move(text)));
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
  if (std::find(open_.begin(), open_.end(), key) != open_.end()) {
    reporter_.error("N125", statement.span, fmt::format("\"{}\" imports itself", statement.text),
                    "move what both files need into a third one");
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
  std::string text;
  if (!read_text(path, text)) {
    reporter_.error("N131", statement.span, fmt::format("cannot read \"{}\"", statement.text),
                    fmt::format("looked for {}", path.lexically_normal().string()));
    return nullptr;
  }
  sources_.push_back(std::make_unique<Source>(path.lexically_normal().string(), std::move(text)));
  const Source& source = *sources_.back();
  auto file = std::make_unique<File>(&prelude_);
  Diagnostics syntax;
  file->tree = parse(source, syntax);
  for (const Diagnostic& diagnostic : syntax.all()) diagnostics_.add(diagnostic);
  if (syntax.has_errors()) return nullptr;
  open_.push_back(key);
  gather(file->tree, source, file->environment);
  open_.pop_back();
  return (files_[key] = std::move(file)).get();
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

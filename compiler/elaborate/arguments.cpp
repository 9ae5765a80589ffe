#include "compiler/elaborate/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace netc {
namespace {

// ---- Names ----------------------------------------------------------------------------------------------------------

/// Gathers the arguments of one call; every mistake is reported before the call is given up.
class Binder {
 public:
  Binder(const std::string& callee, const std::vector<Formal>& formals, Reporter& reporter)
      : callee_(callee), formals_(formals), reporter_(reporter) {}

  std::optional<Bindings> bind(const std::vector<Argument>& arguments, const Span& call);

 private:
  void add_positional(const Argument& argument, std::size_t given);
  void add_named(const Argument& argument);
  void add(const std::string& name, const Argument& argument);
  void require_all(const Span& call);
  void error(const char* code, const Span& span, const std::string& message, const std::string& help = "");

  const std::string& callee_;
  const std::vector<Formal>& formals_;
  Reporter& reporter_;
  Bindings bound_;
  std::size_t positional_ = 0;
  bool named_ = false;
  bool good_ = true;
};

std::optional<Bindings> Binder::bind(const std::vector<Argument>& arguments, const Span& call) {
  for (const Argument& argument : arguments) {
    good_ = good_ && !argument.value.is_unknown();
    if (argument.name.empty()) {
      add_positional(argument, arguments.size());
    } else {
      add_named(argument);
    }
  }
  require_all(call);
  if (!good_) return std::nullopt;
  return std::move(bound_);
}

void Binder::add_positional(const Argument& argument, std::size_t given) {
  if (named_) return error("N116", argument.span, "a positional argument after a named one");
  if (positional_ < formals_.size()) return add(formals_[positional_++].name, argument);
  const std::string count = formals_.empty()       ? "no arguments"
                            : formals_.size() == 1 ? "one argument"
                                                   : fmt::format("at most {} arguments", formals_.size());
  error("N117", argument.span, fmt::format("{} takes {}, {} given", callee_, count, given));
}

void Binder::add_named(const Argument& argument) {
  named_ = true;
  const auto known = [&](const Formal& formal) { return formal.name == argument.name; };
  if (std::any_of(formals_.begin(), formals_.end(), known)) return add(argument.name, argument);
  std::vector<std::string> names;
  for (const Formal& formal : formals_) names.push_back(formal.name);
  std::string help = did_you_mean(argument.name, names);
  if (help.empty() && !names.empty()) help = fmt::format("{} takes {}", callee_, fmt::join(names, ", "));
  error("N118", argument.span, fmt::format("{} has no argument `{}`", callee_, argument.name), help);
}

void Binder::add(const std::string& name, const Argument& argument) {
  if (bound_.emplace(name, argument).second) return;
  error("N119", argument.span, fmt::format("{}: the argument `{}` is given twice", callee_, name));
}

void Binder::require_all(const Span& call) {
  std::vector<std::string> missing;
  for (const Formal& formal : formals_) {
    if (formal.required && !bound_.contains(formal.name)) missing.push_back(fmt::format("`{}`", formal.name));
  }
  if (missing.empty() || !good_) return;
  const char* plural = missing.size() > 1 ? "s" : "";
  error("N120", call, fmt::format("{}: missing argument{} {}", callee_, plural, fmt::join(missing, ", ")));
}

void Binder::error(const char* code, const Span& span, const std::string& message, const std::string& help) {
  reporter_.error(code, span, message, help);
  good_ = false;
}

// ---- Types ----------------------------------------------------------------------------------------------------------

/// Whether `value` is of the type that a parameter asks for: a name or a tuple of types.
bool has_type(const Constant& value, const ast::Node& type) {
  if (type.text == "int") return value.is_integer();
  if (type.text == "float") return value.is_number();
  if (!type.text.empty()) return type_name(value) == type.text;
  const auto* tuple = value.as<Tuple>();
  if (tuple == nullptr || tuple->size() != type.children.size()) return false;
  return std::equal(tuple->begin(), tuple->end(), type.children.begin(), has_type);
}

/// The part of `type` that is no type of the language, or nullptr.
const ast::Node* unknown_type(const ast::Node& type) {
  static const std::vector<std::string> known{"int", "float", "bool", "string", "tuple", "layer", ""};
  if (std::find(known.begin(), known.end(), type.text) == known.end() ||
      (!type.text.empty() && !type.children.empty())) {
    return &type;
  }
  for (const ast::Node& part : type.children) {
    if (const ast::Node* found = unknown_type(part)) return found;
  }
  return nullptr;
}

// ---- Attributes of operators ----------------------------------------------------------------------------------------

/// Turns the argument of one attribute into its value.
class AttributeReader {
 public:
  AttributeReader(const Operator& op, const AttributeSpec& spec, const Span& span, Reporter& reporter)
      : spec_(spec), what_(fmt::format("{}: {}", op.name, spec.name)), span_(span), reporter_(reporter) {}

  std::optional<Attribute> read(const Constant& value) const;

 private:
  std::optional<Attribute> pair(const Constant& value) const;
  std::optional<Attribute> integers(const Constant& value) const;
  std::optional<std::int64_t> integer(const Constant& value) const;
  bool in_range(double value, const Constant& written) const;

  const AttributeSpec& spec_;
  std::string what_;
  const Span& span_;
  Reporter& reporter_;
};

std::optional<Attribute> AttributeReader::read(const Constant& value) const {
  switch (spec_.type) {
    case AttributeType::boolean:
      return need_bool(value, what_, span_, reporter_);
    case AttributeType::integer:
      return integer(value);
    case AttributeType::pair:
      return pair(value);
    case AttributeType::integers:
      return integers(value);
    case AttributeType::real:
      break;
  }
  const std::optional<double> number = need_real(value, what_, span_, reporter_);
  if (!number || !in_range(*number, value)) return std::nullopt;
  return *number;
}

std::optional<Attribute> AttributeReader::pair(const Constant& value) const {
  const auto* halves = value.as<Tuple>();
  if (halves != nullptr && halves->size() != 2) {
    reporter_.error("N111", span_,
                    fmt::format("{} must be an int or a pair of ints, found {}", what_, describe(value)));
    return std::nullopt;
  }
  const std::optional<std::int64_t> height = integer(halves == nullptr ? value : halves->front());
  const std::optional<std::int64_t> width = halves == nullptr ? height : integer(halves->back());
  if (!height || !width) return std::nullopt;
  return IntPair{*height, *width};
}

std::optional<Attribute> AttributeReader::integers(const Constant& value) const {
  IntList list;
  const auto* tuple = value.as<Tuple>();
  for (const Constant& element : tuple != nullptr ? *tuple : Tuple{value}) {
    const auto number = integer(element);
    if (!number) return std::nullopt;
    list.push_back(*number);
  }
  return list;
}

std::optional<std::int64_t> AttributeReader::integer(const Constant& value) const {
  const std::optional<std::int64_t> number = need_integer(value, what_, span_, reporter_);
  if (!number || !in_range(static_cast<double>(*number), value)) return std::nullopt;
  return number;
}

/// A bound right below a whole number is there to leave that out.
std::string upper_bound(double most) {
  const double next = std::nextafter(most, std::numeric_limits<double>::infinity());
  const bool is_open = next == std::floor(next) && most != std::floor(most);
  return is_open ? fmt::format("below {}", next) : fmt::format("at most {}", most);
}

bool AttributeReader::in_range(double value, const Constant& written) const {
  if (value >= spec_.least && value <= spec_.most) return true;
  const std::string range = value < spec_.least ? fmt::format("at least {}", spec_.least) : upper_bound(spec_.most);
  reporter_.error("N115", span_, fmt::format("{} must be {}, found {}", what_, range, to_string(written)));
  return false;
}

/// Pairs are stored as pairs, also where the table says one int for both halves.
Attribute default_of(const AttributeSpec& spec, const Attributes& known) {
  const Attribute value = spec.fallback ? *spec.fallback : known.all().at(spec.fallback_to);
  const auto* both = std::get_if<std::int64_t>(&value);
  return spec.type == AttributeType::pair && both != nullptr ? Attribute(IntPair(*both, *both)) : value;
}

}  // namespace

std::optional<Bindings> bind_arguments(const std::string& callee, const std::vector<Formal>& formals,
                                       const std::vector<Argument>& arguments, const Span& call, Reporter& reporter) {
  return Binder(callee, formals, reporter).bind(arguments, call);
}

bool check_type(const ast::Node& formal, const Constant& value, const Span& span, Reporter& reporter) {
  const ast::Node* type = ast::parameter_type(formal);
  if (type == nullptr || value.is_unknown()) return true;
  if (const ast::Node* unknown = unknown_type(*type)) {
    reporter.error("N108", unknown->span,
                   fmt::format("no type `{}` for the parameter `{}`", unknown->span.text(), formal.text),
                   "int, float, bool, string, tuple, layer, or a tuple of types such as (int, int)");
    return false;
  }
  if (has_type(value, *type)) return true;
  reporter.error("N111", span,
                 fmt::format("`{}` must be of type {}, found {}", formal.text, type->span.text(), describe(value)));
  return false;
}

std::optional<Attributes> bind_attributes(const Operator& op, const std::vector<Argument>& arguments, const Span& call,
                                          Reporter& reporter) {
  std::vector<Formal> formals;
  for (const AttributeSpec& spec : op.attributes) {
    formals.push_back({spec.name, !spec.fallback && spec.fallback_to.empty()});
  }
  const std::optional<Bindings> bound = bind_arguments(std::string(op.name), formals, arguments, call, reporter);
  if (!bound) return std::nullopt;
  Attributes attributes;
  bool good = true;
  for (const AttributeSpec& spec : op.attributes) {
    const auto given = bound->find(spec.name);
    if (given == bound->end()) continue;
    const auto value = AttributeReader(op, spec, given->second.span, reporter).read(given->second.value);
    if (value) attributes.set(spec.name, *value);
    good = good && value.has_value();
  }
  if (!good) return std::nullopt;
  for (const AttributeSpec& spec : op.attributes) {
    if (!attributes.has(spec.name)) attributes.set(spec.name, default_of(spec, attributes));
  }
  return attributes;
}

}  // namespace netc

#include "compiler/formula/index_notation.h"

#include <algorithm>
#include <limits>
#include <set>

#include "compiler/elaborate/arguments.h"
#include "compiler/formula/expression_reader.h"
#include "compiler/graph/graph.h"

namespace netc {

using ast::Kind;

namespace {

/// Extents that are known only when an equation has been read stand in formulas as this plus the index's number.
constexpr int extent_of_index = 1000;

std::string shown(std::int64_t extent, const TensorAlgebra& algebra) {
  return extent == Shape::batch ? "the batch N" : algebra.text(extent);
}

bool is_function(const Declaration* declaration) {
  return declaration != nullptr && declaration->node->kind == Kind::fn;
}

/// fn exp(x) = exp(x): what makes a layer of a built-in function.
bool repeats_built_in(const ast::Node& function) {
  const ast::Node& body = function.children.back();
  return function.children.size() == 2 && body.kind == Kind::call && body.children.size() == 2 &&
         body.children.front().text == function.text &&
         body.children.back().children.front().text == function.children.front().text;
}

/// Inside a function its own name is that of a built-in one, if there is one.
bool calls_other(const Declaration& callee, const TensorScope& scope) {
  const bool is_built_in = callee.node == scope.function || repeats_built_in(*callee.node);
  return !is_built_in || find_function(callee.node->text) == nullptr;
}

/// Arguments of a call from the `first` on, which are compile-time values.
std::vector<Argument> constant_arguments(const ast::Node& call, std::size_t first, const Environment& environment,
                                         Reporter& reporter) {
  return evaluate_arguments(call, first, environment, reporter);
}

/// While it lives, a function is read.
class OpenFunction {
 public:
  OpenFunction(const ast::Node& function, ReadingProgress& progress) : progress_(progress) {
    progress.functions.push_back(&function);
  }
  ~OpenFunction() { progress_.functions.pop_back(); }
  OpenFunction(const OpenFunction&) = delete;
  OpenFunction& operator=(const OpenFunction&) = delete;

 private:
  ReadingProgress& progress_;
};

bool can_open(const ast::Node& function, const Span& call, const ReadingProgress& progress, Reporter& reporter) {
  const std::vector<const ast::Node*>& open = progress.functions;
  if (std::find(open.begin(), open.end(), &function) != open.end()) {
    reporter.error("N125", call, fmt::format("the function `{}` calls itself", function.text));
    return false;
  }
  if (open.size() < ReadingProgress::max_functions) return true;
  reporter.error("N121", call,
                 fmt::format("more than {} functions call one another, down to `{}`", ReadingProgress::max_functions,
                             function.text),
                 "put some of them together");
  return false;
}

// ---- Formulas of elements -------------------------------------------------------------------------------------------

/// A place where an index stands alone: there it runs over the extent of that axis.
struct Use {
  int index;
  int axis_index;  // of the tensor's axis, in the program's table
  std::string tensor;
  int axis;
  Span span;
};

class FormulaReader : public ExpressionReader<Formula> {
 public:
  FormulaReader(const Environment& environment, TensorScope& scope, TensorProgram& program, Reporter& reporter)
      : ExpressionReader(environment, program.progress(), reporter), scope_(scope), program_(program) {}

  /// Declares an index of the left side: a name, or a name with its range. Returns its number.
  std::optional<int> declare(const ast::Node& node) {
    if (node.kind == Kind::index_range) return declare_range(node);
    if (node.kind != Kind::name || environment_.find(node.text) != nullptr) {
      reporter_.error("N214", node.span, "an index on the left side is a new name, or a name with a range",
                      "write y[n, i] or y[n, i in 0..4]");
      return std::nullopt;
    }
    return declare_name(node.text, 0, Formula(0), node.span);
  }

  /// Gives every index its extent, from where it stands alone. False after an error.
  bool solve();

  /// Numbers in place of the extents that were unknown at first.
  Formula complete(const Formula& formula) const {
    return rewrite(formula, [&](const Formula& part) -> std::optional<Formula> {
      if (part->kind != Formula::Kind::extent || part->id < extent_of_index) return {};
      if (!spans_.contains(part->id - extent_of_index)) return {};  // a caller's, who is not done yet
      const std::int64_t known = program_.extent(part->id - extent_of_index);
      return known < 0 ? netc::extent(static_cast<int>(known)) : Formula(static_cast<double>(known));
    });
  }

 protected:
  Formula number(double value) override { return value; }

  bool is_variable(const std::string& name) const override {
    return indices_.contains(name) || scope_.tensors.contains(name) || scope_.elements.contains(name) ||
           (scope_.sizes.contains(name) && environment_.find(name) == nullptr);
  }

  std::optional<Formula> name(const ast::Node& node) override {
    if (const auto found = indices_.find(node.text); found != indices_.end()) return found->second;
    if (const auto found = scope_.elements.find(node.text); found != scope_.elements.end()) return found->second;
    if (const auto found = scope_.sizes.find(node.text); found != scope_.sizes.end()) {
      return found->second < 0 ? netc::extent(static_cast<int>(found->second)) : Formula(double(found->second));
    }
    if (scope_.tensors.contains(node.text)) {
      return error("N212", node.span, fmt::format("`{}` is a tensor: an equation names its elements", node.text),
                   fmt::format("write {}[…] with an index for each dimension", node.text));
    }
    if (in_place_) {
      return error("N213", node.span,
                   fmt::format("the index `{}` stands neither on the left side nor in a reduction", node.text),
                   fmt::format("write sum[{}](…) around it, or add it to the left side", node.text));
    }
    std::vector<std::string> candidates = environment_.value_names();
    for (const auto& [known, formula] : indices_) candidates.push_back(known);
    for (const auto& [known, tensor] : scope_.tensors) candidates.push_back(known);
    for (const auto& [known, formula] : scope_.elements) candidates.push_back(known);
    return error("N108", node.span, fmt::format("unknown name `{}`", node.text), did_you_mean(node.text, candidates));
  }

  std::optional<Formula> call(const ast::Node& node) override {
    const ast::Node& callee = node.children.front();
    if (callee.kind == Kind::index) return reduction(callee, node);
    const Declaration* declaration = environment_.find_declaration(callee.text);
    if (is_function(declaration) && calls_other(*declaration, scope_)) return own_function(*declaration, node);
    static const std::set<std::string_view> needs_indices{"sum", "mean"};
    if (needs_indices.contains(callee.text)) {
      return error("N213", node.span, fmt::format("`{}` of elements names the indices that it runs over", callee.text),
                   fmt::format("write {}[i](…)", callee.text));
    }
    return elementary(node);
  }

  /// tensor[place, …]
  std::optional<Formula> element(const ast::Node& node) override;

  std::optional<Formula> combine(std::string_view function, const std::vector<Formula>& operands,
                                 const Span&) override {
    return apply(function, operands);
  }

 private:
  std::optional<int> declare_name(const std::string& name, std::int64_t extent, const Formula& begin,
                                  const Span& span) {
    const int id = program_.add_index(name, extent);
    spans_[id] = span;
    if (scope_.tensors.contains(name) || !indices_.emplace(name, index(id) + begin).second) {
      reporter_.error("N132", span, fmt::format("`{}` is declared twice", name));
      return std::nullopt;
    }
    return id;
  }

  std::optional<int> declare_range(const ast::Node& node) {
    const ast::Node& last = node.children[1];
    const auto begin = need_integer(evaluate(node.children[0], environment_, reporter_), "the start of the range",
                                    node.children[0].span, reporter_);
    const auto size = last.kind == Kind::name ? scope_.sizes.find(last.text) : scope_.sizes.end();
    if (begin && *begin == 0 && size != scope_.sizes.end() && size->second < 0) {
      return fixed(declare_name(node.text, size->second, Formula(0), node.span));
    }
    const auto end =
        need_integer(evaluate(last, environment_, reporter_), "the end of the range", last.span, reporter_);
    if (!begin || !end) return std::nullopt;
    if (!counts_in_32_bits(*begin, *end)) {
      reporter_.error("N205", node.span, fmt::format("the range of `{}` does not fit 32 bits", node.text));
      return std::nullopt;
    }
    if (*end <= *begin) {
      reporter_.error("N115", node.span, fmt::format("the range of `{}` is empty", node.text));
      return std::nullopt;
    }
    return fixed(declare_name(node.text, *end - *begin, Formula(static_cast<double>(*begin)), node.span));
  }

  /// Kernels count in 32 bits: from the first number to the last, and how many there are.
  static bool counts_in_32_bits(std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    return begin >= -most && begin <= most && end >= -most && end <= most && end - begin <= most;
  }

  std::optional<int> fixed(std::optional<int> id) {
    if (id) fixed_.insert(*id);
    return id;
  }

  std::optional<Formula> own_function(const Declaration& declaration, const ast::Node& node);
  std::optional<Formula> reduction(const ast::Node& callee, const ast::Node& call);
  std::optional<Formula> place(const ast::Node& node, const ScopedTensor& tensor, const std::string& name, int axis);
  bool check_place(const Formula& at, const Span& span);
  bool check_reach(const Affine& place, const Span& span);
  bool constrain(const Use& use);
  bool check_batch(const Use& use);
  bool disagree(const Use& use, std::int64_t here);

  TensorScope& scope_;
  TensorProgram& program_;
  std::map<std::string, Formula> indices_;  // a name, and the number that it stands for
  std::set<int> fixed_;                     // indices whose range is written
  std::map<int, Span> spans_;
  std::map<int, const Use*> known_by_;
  std::vector<Use> uses_;
  std::vector<std::pair<Affine, Span>> places_;
  bool in_place_ = false;
  bool changed_ = false;
};

std::optional<Formula> FormulaReader::own_function(const Declaration& declaration, const ast::Node& node) {
  if (!tensor_parameters(*declaration.node).empty()) {
    return error("N143", node.span,
                 fmt::format("`{}` is a function of whole tensors, not of elements", node.children[0].text),
                 "give its result a name of its own by an equation, or write out its formula");
  }
  if (node.children.size() < 2)
    return error("N120", node.span, fmt::format("{} takes an element", node.children[0].text));
  const auto x = operand(node, 1);
  if (!x) return std::nullopt;
  return apply_elementwise(declaration, constant_arguments(node, 2, environment_, reporter_), *x, node.span, program_,
                           reporter_);
}

/// sum[i, j in 0..3](formula)
std::optional<Formula> FormulaReader::reduction(const ast::Node& callee, const ast::Node& call) {
  static const std::map<std::string_view, Reduction> known{
      {"sum", Reduction::sum}, {"mean", Reduction::sum}, {"max", Reduction::max}, {"min", Reduction::min}};
  const std::string& text = callee.children.front().text;
  const auto found = known.find(text);
  if (found == known.end()) {
    return error("N108", callee.span, fmt::format("no reduction `{}`", text),
                 "sum, mean, max and min run over indices, as in sum[i](…)");
  }
  if (call.children.size() != 2 || !call.children[1].text.empty()) {
    return error("N117", call.span, fmt::format("{}[…] takes one formula", text));
  }
  const std::map<std::string, Formula> outside = indices_;
  std::vector<int> ids;
  Formula elements = 1;
  for (std::size_t i = 1; i < callee.children.size(); ++i) {
    const auto id = declare(callee.children[i]);
    if (!id) return std::nullopt;
    ids.push_back(*id);
    elements = elements * netc::extent(extent_of_index + *id);
  }
  const auto body = read(call.children[1].children.front());
  indices_ = outside;
  if (!body) return std::nullopt;
  const Formula reduced = reduce(found->second, ids, *body);
  return text == "mean" ? reduced / elements : reduced;
}

std::optional<Formula> FormulaReader::element(const ast::Node& node) {
  const ast::Node& name = node.children.front();
  const auto found = name.kind == Kind::name ? scope_.tensors.find(name.text) : scope_.tensors.end();
  if (found == scope_.tensors.end()) {
    std::vector<std::string> candidates;
    for (const auto& [known, tensor] : scope_.tensors) candidates.push_back(known);
    return error("N108", name.span, fmt::format("no tensor `{}` here", name.span.text()),
                 did_you_mean(name.text, candidates));
  }
  const ScopedTensor& tensor = found->second;
  const std::size_t given = node.children.size() - 1;
  if (given != tensor.value.ids.size()) {
    const std::vector<std::int64_t> extents = program_.algebra().shape(tensor.value);
    const bool known = std::find(extents.begin(), extents.end(), 0) == extents.end();
    return error("N212", node.span,
                 fmt::format("`{}` has {} dimension{}, {} {} given", name.text, extents.size(),
                             extents.size() == 1 ? "" : "s", given, given == 1 ? "index" : "indices"),
                 known ? fmt::format("its shape is {}", program_.algebra().text(extents)) : "");
  }
  std::map<int, Formula> places;
  for (std::size_t axis = 0; axis < given; ++axis) {
    const auto at = place(node.children[axis + 1], tensor, name.text, static_cast<int>(axis));
    if (!at) return std::nullopt;
    places.emplace(tensor.value.ids[axis], *at);
  }
  return substitute(tensor.value.formula, std::move(places));
}

std::optional<Formula> FormulaReader::place(const ast::Node& node, const ScopedTensor& tensor, const std::string& name,
                                            int axis) {
  const bool outer = std::exchange(in_place_, true);
  const auto at = read(node);
  in_place_ = outer;
  if (!at) return std::nullopt;
  if (!check_place(*at, node.span)) return std::nullopt;
  if (!affine(*at)) {
    return error("N214", node.span, "an index is a sum of indices and whole numbers, such as h + 1 or 2 * i",
                 "netc derives gradients from such sums");
  }
  places_.emplace_back(*affine(*at), node.span);
  const int axis_index = tensor.value.ids[static_cast<std::size_t>(axis)];
  if ((*at)->kind == Formula::Kind::index) {
    uses_.push_back({(*at)->id, axis_index, name, axis, node.span});
  } else if (program_.extent(axis_index) == Shape::batch) {
    return error("N214", node.span, "an index of the batch stands alone: examples know nothing of their neighbours");
  }
  return at;
}

bool holds_far_number(const Formula& formula) {
  if (formula.is_number()) return std::abs(formula->number) >= 1e9;
  return std::any_of(formula->operands.begin(), formula->operands.end(), holds_far_number);
}

/// Kernels count in 32 bits.
bool FormulaReader::check_place(const Formula& at, const Span& span) {
  const auto is_far = [](std::int64_t number) { return std::abs(number) >= Affine::far; };
  bool far = holds_far_number(at);
  if (const auto sum = affine(at)) {
    const auto& factors = sum->coefficients;
    far = is_far(sum->offset) ||
          std::any_of(factors.begin(), factors.end(), [&](const auto& factor) { return is_far(factor.second); });
  }
  if (far) {
    reporter_.error("N205", span, "a number in this index is too large: kernels count elements in 32 bits",
                    "numbers in an index are below 1000000000");
  }
  return !far;
}

bool FormulaReader::check_reach(const Affine& place, const Span& span) {
  std::int64_t reach = std::abs(place.offset);
  for (const auto& [id, factor] : place.coefficients) {
    reach += std::abs(factor) * std::clamp<std::int64_t>(program_.extent(id), 0, Affine::far);
    reach = std::min(reach, Affine::far);
  }
  if (reach < Affine::far) return true;
  reporter_.error("N205", span, "this index runs over numbers that do not fit 32 bits");
  return false;
}

// ---- Extents --------------------------------------------------------------------------------------------------------

bool FormulaReader::disagree(const Use& use, std::int64_t here) {
  const TensorAlgebra& algebra = program_.algebra();
  const std::int64_t before = program_.extent(use.index);
  const auto first = known_by_.find(use.index);
  std::vector<Note> notes;
  if (first != known_by_.end()) {
    notes.push_back(
        {fmt::format("{} by dimension {} of `{}`", shown(before, algebra), first->second->axis, first->second->tensor),
         first->second->span});
  }
  const std::string index = program_.indices()[static_cast<std::size_t>(use.index)].name;
  reporter_.report({.code = "N208",
                    .span = use.span,
                    .message = fmt::format("the index `{}` runs over {} and over {}", index, shown(before, algebra),
                                           shown(here, algebra)),
                    .label = fmt::format("dimension {} of `{}` is {}", use.axis, use.tensor, shown(here, algebra)),
                    .notes = notes,
                    .help = fmt::format("use another index here, or give the range: {} in 0..…", index)});
  return false;
}

/// Brings what is known of an index and of an axis together. False after an error.
bool FormulaReader::constrain(const Use& use) {
  std::int64_t& index = program_.indices()[static_cast<std::size_t>(use.index)].extent;
  std::int64_t& axis = program_.indices()[static_cast<std::size_t>(use.axis_index)].extent;
  if (index == 0 && axis != 0) {
    index = axis;
    known_by_[use.index] = &use;
    changed_ = true;
  } else if (axis == 0 && index != 0) {
    axis = index;
    changed_ = true;
  } else if (index != axis && !fixed_.contains(use.index)) {
    return disagree(use, axis);
  }
  return true;
}

bool FormulaReader::solve() {
  do {
    changed_ = false;
    for (const Use& use : uses_) {
      if (!constrain(use)) return false;
    }
  } while (changed_);
  for (const auto& [id, span] : spans_) {
    if (program_.extent(id) != 0) continue;
    const std::string& name = program_.indices()[static_cast<std::size_t>(id)].name;
    reporter_.error("N213", span, fmt::format("nothing says how far the index `{}` runs", name),
                    fmt::format("let it stand alone somewhere, or give its range: {0} in 0..4, or, with an input of "
                                "named extents such as input x: f32[N, C], {0} in 0..C",
                                name));
    return false;
  }
  const auto fits = [&](const auto& place) { return check_reach(place.first, place.second); };
  return std::all_of(places_.begin(), places_.end(), fits) &&
         std::all_of(uses_.begin(), uses_.end(), [&](const Use& use) { return check_batch(use); });
}

/// A dimension that follows the batch cannot be a parameter's, and examples are not mixed with others.
bool FormulaReader::check_batch(const Use& use) {
  if (program_.extent(use.axis_index) == Shape::batch && program_.extent(use.index) != Shape::batch) {
    reporter_.error("N214", use.span,
                    fmt::format("dimension {} of `{}` is the batch: an index of it has no range", use.axis, use.tensor),
                    "leave the range out");
    return false;
  }
  if (program_.extent(use.index) != Shape::batch) return true;
  for (const Use& other : uses_) {
    if (other.index == use.index || program_.extent(other.index) != Shape::batch) continue;
    reporter_.error("N214", other.span, "two indices run over the batch: an example cannot be compared with others");
    return false;
  }
  return true;
}

}  // namespace

// ---- Programs -------------------------------------------------------------------------------------------------------

int TensorProgram::add_index(const std::string& name, std::int64_t extent) {
  indices_.push_back({name, extent});
  return static_cast<int>(indices_.size()) - 1;
}

int TensorProgram::keep(const TensorValue& value) {
  return splitter_.define(indices_, value.ids, value.formula);
}

TensorValue TensorProgram::kept(const TensorValue& value) {
  const std::vector<std::int64_t> shape = algebra_.shape(value);
  return algebra_.tensor(keep(value), shape);
}

// ---- Equations ------------------------------------------------------------------------------------------------------

namespace {

/// The batch, if it is there, comes first and once.
bool batch_leads(const ast::Node& equation, const std::vector<int>& left, const TensorProgram& program,
                 Reporter& reporter) {
  for (std::size_t i = 1; i < left.size(); ++i) {
    if (program.extent(left[i]) != Shape::batch) continue;
    reporter.error("N214", equation.children[i].span, "the index of the batch comes first on the left side, and once");
    return false;
  }
  return true;
}

}  // namespace

bool read_equation(const ast::Node& equation, const Environment& environment, TensorScope& scope,
                   TensorProgram& program, Reporter& reporter) {
  if (scope.tensors.contains(equation.text) || scope.sizes.contains(equation.text) ||
      environment.values().contains(equation.text)) {
    reporter.error("N132", equation.span, fmt::format("`{}` has a value already", equation.text));
    return false;
  }
  FormulaReader reader(environment, scope, program, reporter);
  std::vector<int> left;
  for (std::size_t i = 0; i + 1 < equation.children.size(); ++i) {
    const auto id = reader.declare(equation.children[i]);
    if (!id) return false;
    left.push_back(*id);
  }
  const auto formula = reader.read(equation.children.back());
  if (!formula || !reader.solve() || !batch_leads(equation, left, program, reporter)) return false;
  const TensorValue value = program.kept({reader.complete(*formula), left});
  scope.tensors.emplace(equation.text, ScopedTensor{value, equation.span});
  return true;
}

bool read_let(const ast::Node& let, const TensorScope& scope, Environment& names, Reporter& reporter) {
  Constant value = evaluate(let.children.front(), names, reporter);
  if (let.text == "N") {
    reporter.error("N132", let.span, "`N` is the batch", "choose another name");
    return false;
  }
  if (!scope.tensors.contains(let.text) && !scope.sizes.contains(let.text) && names.add(let.text, std::move(value)))
    return true;
  reporter.error("N132", let.span, fmt::format("`{}` is declared twice", let.text));
  return false;
}

// ---- Expressions over whole tensors ---------------------------------------------------------------------------------

namespace {

class TensorReader : public ExpressionReader<TensorValue> {
 public:
  TensorReader(const Environment& environment, TensorScope& scope, TensorProgram& program, Reporter& reporter)
      : ExpressionReader(environment, program.progress(), reporter), scope_(scope), program_(program) {}

 protected:
  TensorValue number(double value) override { return {value, {}}; }

  bool is_variable(const std::string& name) const override {
    return scope_.tensors.contains(name) || (scope_.sizes.contains(name) && environment_.find(name) == nullptr);
  }

  std::optional<TensorValue> name(const ast::Node& node) override {
    if (const auto found = scope_.tensors.find(node.text); found != scope_.tensors.end()) return found->second.value;
    if (const auto found = scope_.sizes.find(node.text); found != scope_.sizes.end()) {
      const Formula size = found->second < 0 ? netc::extent(static_cast<int>(found->second)) : double(found->second);
      return TensorValue{size, {}};
    }
    std::vector<std::string> candidates = environment_.value_names();
    for (const auto& [known, tensor] : scope_.tensors) candidates.push_back(known);
    return error("N108", node.span, fmt::format("unknown name `{}`", node.text), did_you_mean(node.text, candidates));
  }

  std::optional<TensorValue> element(const ast::Node& node) override {
    return error("N143", node.span, "elements are named in equations alone",
                 "write the function with a body: { y[i] = …; }");
  }

  std::optional<TensorValue> combine(std::string_view function, const std::vector<TensorValue>& operands,
                                     const Span& span) override {
    return checked(program_.algebra().map(function, operands), span);
  }

  std::optional<TensorValue> call(const ast::Node& node) override {
    const ast::Node& callee = node.children.front();
    if (callee.kind == Kind::index) {
      return error("N143", node.span, "whole tensors are reduced along axes",
                   fmt::format("write {}(…, axis = 0)", callee.children.front().text));
    }
    const Declaration* declaration = environment_.find_declaration(callee.text);
    if (is_function(declaration) && calls_other(*declaration, scope_)) return own_function(*declaration, node);
    static const std::set<std::string_view> reductions{"sum", "mean", "norm", "cumsum"};
    const bool extreme = callee.text == "max" || callee.text == "min";
    if (reductions.contains(callee.text) || (extreme && !has_two_operands(node))) return reduction(node);
    static const std::set<std::string_view> products{"dot", "matvec", "matmul", "transpose"};
    return products.contains(callee.text) ? product(node) : elementary(node);
  }

 private:
  std::optional<TensorValue> checked(std::optional<TensorValue> value, const Span& span) {
    if (!value) reporter_.error("N215", span, program_.algebra().problem());
    return value;
  }

  static bool has_two_operands(const ast::Node& call) {
    return call.children.size() > 2 && call.children[2].text.empty();
  }

  std::optional<TensorValue> own_function(const Declaration& declaration, const ast::Node& node) {
    const std::size_t tensors = std::max<std::size_t>(1, tensor_parameters(*declaration.node).size());
    std::vector<TensorValue> inputs;
    for (std::size_t i = 1; i <= tensors && i < node.children.size(); ++i) {
      const auto value = operand(node, i);
      if (!value) return std::nullopt;
      inputs.push_back(*value);
    }
    const auto arguments = constant_arguments(node, 1 + tensors, environment_, reporter_);
    return apply_tensor_function(declaration, inputs, arguments, node.span, program_, reporter_);
  }

  /// sum(a, axis = 0, keepdim = true) and its like
  std::optional<TensorValue> reduction(const ast::Node& node);
  std::optional<TensorValue> product(const ast::Node& node);

  TensorScope& scope_;
  TensorProgram& program_;
};

/// An int or a tuple of ints.
std::optional<std::vector<std::int64_t>> read_axes(const Argument& argument, Reporter& reporter) {
  std::vector<std::int64_t> axes;
  const auto* tuple = argument.value.as<Tuple>();
  for (const Constant& axis : tuple != nullptr ? *tuple : Tuple{argument.value}) {
    const auto number = need_integer(axis, "an axis", argument.span, reporter);
    if (!number) return std::nullopt;
    axes.push_back(*number);
  }
  return axes;
}

std::optional<TensorValue> TensorReader::reduction(const ast::Node& node) {
  const std::string& text = node.children.front().text;
  if (node.children.size() < 2) return error("N120", node.span, fmt::format("{} takes a tensor", text));
  const auto x = operand(node, 1);
  if (!x) return std::nullopt;
  std::vector<Formal> formals;
  if (text == "norm") formals.push_back({"p", false});
  formals.push_back({"axis", text == "cumsum"});
  if (text != "cumsum") formals.push_back({"keepdim", false});
  const auto bound =
      bind_arguments(text, formals, constant_arguments(node, 2, environment_, reporter_), node.span, reporter_);
  if (!bound) return std::nullopt;
  std::vector<std::int64_t> axes;
  if (const auto axis = bound->find("axis"); axis != bound->end()) {
    const auto given = read_axes(axis->second, reporter_);
    if (!given) return std::nullopt;
    axes = *given;
  }
  const auto keep = bound->find("keepdim");
  const bool keepdim = keep != bound->end() &&
                       need_bool(keep->second.value, text + ": keepdim", keep->second.span, reporter_).value_or(false);
  TensorAlgebra& algebra = program_.algebra();
  if (text == "cumsum") return checked(algebra.cumsum(*x, axes.front()), node.span);
  if (text == "mean") return checked(algebra.mean(*x, axes, keepdim), node.span);
  if (text != "norm") {
    const Reduction reduction = text == "sum" ? Reduction::sum : text == "max" ? Reduction::max : Reduction::min;
    return checked(algebra.reduce(reduction, *x, axes, keepdim), node.span);
  }
  const auto p = bound->find("p");
  const auto power = p == bound->end() ? 2 : need_real(p->second.value, "norm: p", p->second.span, reporter_);
  if (!power) return std::nullopt;
  if (*power <= 0) return error("N115", p->second.span, fmt::format("norm: p must be above 0, found {}", *power));
  if (p != bound->end() &&
      !(fits_float(*power, p->second.span, reporter_) && fits_float(1 / *power, p->second.span, reporter_))) {
    return std::nullopt;
  }
  return checked(algebra.norm(*x, *power, axes, keepdim), node.span);
}

std::optional<TensorValue> TensorReader::product(const ast::Node& node) {
  const std::string& text = node.children.front().text;
  const std::size_t wanted = text == "transpose" ? 1 : 2;
  const auto x = operands(node);
  if (!x) return std::nullopt;
  if (x->size() != wanted) {
    return error(x->size() < wanted ? "N120" : "N117", node.span,
                 fmt::format("{} takes {} tensor{}, {} given", text, wanted, wanted > 1 ? "s" : "", x->size()));
  }
  TensorAlgebra& algebra = program_.algebra();
  if (text == "dot") return checked(algebra.dot((*x)[0], (*x)[1], 0), node.span);
  if (text == "matvec") return checked(algebra.matvec((*x)[0], (*x)[1], 0), node.span);
  if (text == "matmul") return checked(algebra.matmul((*x)[0], (*x)[1], 0), node.span);
  return checked(algebra.transpose((*x)[0]), node.span);
}

}  // namespace

std::optional<TensorValue> read_tensor(const ast::Node& expression, const Environment& environment, TensorScope& scope,
                                       TensorProgram& program, Reporter& reporter) {
  return TensorReader(environment, scope, program, reporter).read(expression);
}

// ---- Functions ------------------------------------------------------------------------------------------------------

std::vector<const ast::Node*> tensor_parameters(const ast::Node& function) {
  std::vector<const ast::Node*> tensors;
  for (const ast::Node& node : function.children) {
    const ast::Node* type = node.kind == Kind::parameter ? ast::parameter_type(node) : nullptr;
    if (type != nullptr && type->text == "f32") tensors.push_back(&node);
  }
  return tensors;
}

bool has_distinct_parameters(const ast::Node& declaration, Reporter& reporter) {
  std::map<std::string, Span> known;
  bool distinct = true;
  for (const ast::Node& node : declaration.children) {
    if (node.kind != Kind::parameter) continue;
    const auto [first, is_new] = known.emplace(node.text, node.span);
    if (is_new) continue;
    distinct = false;
    reporter.report({.code = "N132",
                     .span = node.span,
                     .message = fmt::format("{}: the parameter `{}` is declared twice", declaration.text, node.text),
                     .label = "",
                     .notes = {{"first here", first->second}},
                     .help = "give one another name"});
  }
  return distinct;
}

bool bind_constants(const Declaration& declaration, const std::vector<Argument>& arguments, const Span& call,
                    Environment& names, Reporter& reporter) {
  const ast::Node& node = *declaration.node;
  if (!has_distinct_parameters(node, reporter)) return false;
  const std::vector<const ast::Node*> tensors = tensor_parameters(node);
  const bool elementwise = node.kind == Kind::fn && tensors.empty();
  std::vector<const ast::Node*> parameters;
  for (const ast::Node& child : node.children) {
    if (child.kind != Kind::parameter) continue;
    if (std::find(tensors.begin(), tensors.end(), &child) == tensors.end()) parameters.push_back(&child);
  }
  if (elementwise && !parameters.empty()) parameters.erase(parameters.begin());
  std::vector<Formal> formals;
  for (const ast::Node* parameter : parameters)
    formals.push_back({parameter->text, ast::parameter_default(*parameter) == nullptr});
  const auto bound = bind_arguments(node.text, formals, arguments, call, reporter);
  if (!bound) return false;
  bool good = true;
  for (const ast::Node* parameter : parameters) {
    const auto given = bound->find(parameter->text);
    const bool is_given = given != bound->end();
    Constant value = is_given ? given->second.value : evaluate(*ast::parameter_default(*parameter), names, reporter);
    good = check_type(*parameter, value, is_given ? given->second.span : parameter->span, reporter) && good;
    names.add(parameter->text, std::move(value));
  }
  return good;
}

bool bind_extents(const ast::Node& type, const std::string& what, const std::vector<std::int64_t>& extents,
                  const Environment& environment, const TensorAlgebra& algebra, TensorScope& scope,
                  Reporter& reporter) {
  if (type.children.size() != extents.size()) {
    reporter.error("N212", type.span,
                   fmt::format("{} has {} dimensions here, the value {} has {}", what, type.children.size(),
                               algebra.text(extents), extents.size()));
    return false;
  }
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const ast::Node& written = type.children[i];
    std::int64_t expected = extents[i];
    if (written.kind == Kind::name && environment.find(written.text) == nullptr) {
      expected = scope.sizes.emplace(written.text, extents[i]).first->second;
    } else {
      expected = evaluate_extent(written, environment, reporter).value_or(extents[i]);
    }
    if (expected == extents[i]) continue;
    reporter.error("N208", written.span,
                   fmt::format("{}: dimension {} is {}, but `{}` is {}", what, i, shown(extents[i], algebra),
                               written.span.text(), shown(expected, algebra)));
    return false;
  }
  return true;
}

std::optional<Formula> apply_elementwise(const Declaration& function, const std::vector<Argument>& arguments,
                                         const Formula& x, const Span& call, TensorProgram& program,
                                         Reporter& reporter) {
  const ast::Node& node = *function.node;
  Environment names(function.environment);
  if (!can_open(node, call, program.progress(), reporter)) return std::nullopt;
  const OpenFunction open(node, program.progress());
  if (node.children.size() < 2 || node.children.front().kind != Kind::parameter) {
    reporter.error("N142", node.span, fmt::format("the function `{}` takes nothing", node.text),
                   fmt::format("write fn {}(x) = …;", node.text));
    return std::nullopt;
  }
  if (node.children.back().kind == Kind::body) {
    reporter.error("N142", node.span, fmt::format("`{}` has equations, but no tensors to take", node.text),
                   "give its parameters types, as in a: f32[m, n]");
    return std::nullopt;
  }
  if (!bind_constants(function, arguments, call, names, reporter)) return std::nullopt;
  TensorScope scope;
  scope.elements.emplace(node.children.front().text, x);
  scope.function = &node;
  FormulaReader reader(names, scope, program, reporter);
  const auto formula = reader.read(node.children.back());
  if (!formula || !reader.solve()) return std::nullopt;
  return reader.complete(*formula);
}

namespace {

/// The statements of a function's body; its value is `y`.
std::optional<TensorValue> read_body(const ast::Node& body, Environment& names, TensorScope& scope,
                                     TensorProgram& program, Reporter& reporter) {
  for (const ast::Node& statement : body.children) {
    if (statement.kind == Kind::let) {
      if (!read_let(statement, scope, names, reporter)) return std::nullopt;
    } else if (statement.kind != Kind::equation) {
      reporter.error("N142", statement.span, "a function holds equations and `let` alone",
                     "parameters of its own make it a `layer`");
      return std::nullopt;
    } else if (!read_equation(statement, names, scope, program, reporter)) {
      return std::nullopt;
    }
  }
  const auto result = scope.tensors.find("y");
  if (result != scope.tensors.end()) return result->second.value;
  reporter.error("N142", body.span, "no equation gives `y`, the result", "write y[…] = …;");
  return std::nullopt;
}

}  // namespace

std::optional<TensorValue> apply_tensor_function(const Declaration& function, const std::vector<TensorValue>& inputs,
                                                 const std::vector<Argument>& arguments, const Span& call,
                                                 TensorProgram& program, Reporter& reporter) {
  const ast::Node& node = *function.node;
  const std::vector<const ast::Node*> tensors = tensor_parameters(node);
  const std::size_t wanted = std::max<std::size_t>(1, tensors.size());
  if (inputs.size() < wanted) {
    reporter.error(
        "N120", call,
        fmt::format("{} takes {} tensor{}, {} given", node.text, wanted, wanted == 1 ? "" : "s", inputs.size()));
    return std::nullopt;
  }
  if (tensors.empty()) {
    const auto formula = apply_elementwise(function, arguments, inputs[0].formula, call, program, reporter);
    if (!formula) return std::nullopt;
    return TensorValue{*formula, inputs[0].ids};
  }
  if (!can_open(node, call, program.progress(), reporter)) return std::nullopt;
  const OpenFunction open(node, program.progress());
  Environment names(function.environment);
  TensorScope scope;
  scope.function = &node;
  if (!bind_constants(function, arguments, call, names, reporter)) return std::nullopt;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::vector<std::int64_t> extents = program.algebra().shape(inputs[i]);
    const ast::Node& type = *ast::parameter_type(*tensors[i]);
    if (!bind_extents(type, fmt::format("`{}` of {}", tensors[i]->text, node.text), extents, names, program.algebra(),
                      scope, reporter)) {
      return std::nullopt;
    }
    scope.tensors.emplace(tensors[i]->text, ScopedTensor{inputs[i], tensors[i]->span});
  }
  for (const auto& [name, size] : scope.sizes) {
    if (size >= 0) names.add(name, make_integer(size));
  }
  const ast::Node& body = node.children.back();
  const std::optional<TensorValue> value = body.kind == Kind::body ? read_body(body, names, scope, program, reporter)
                                                                   : read_tensor(body, names, scope, program, reporter);
  constexpr int largest_inlined = 1000;  // beyond that, formulas that are made of this one would soon be too large
  return value && value->formula->size > largest_inlined ? program.kept(*value) : value;
}

}  // namespace netc

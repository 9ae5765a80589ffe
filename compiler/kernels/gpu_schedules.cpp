#include "compiler/kernels/gpu_schedules.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace netc {

using Halide::Expr;
using Halide::Func;
using Halide::RVar;
using Halide::Stage;
using Halide::TailStrategy;
using Halide::Var;
using Halide::Internal::Call;
using Halide::Internal::Definition;

namespace {

/// Threads of a block. Choice: 128, four warps; more leave fewer registers a thread, fewer leave processors idle where
/// a block is short (2026-11).
constexpr int block_threads = 128;

/// The Funcs that a definition reads, and whether each is read at the definition's own place alone.
class Reads : public Halide::Internal::IRGraphVisitor {
 public:
  explicit Reads(const std::vector<std::string>& place) : place_(place) {}

  const std::map<std::string, bool>& in_place() const { return in_place_; }

 private:
  using IRGraphVisitor::visit;

  void visit(const Call* call) override {
    IRGraphVisitor::visit(call);
    if (call->call_type != Call::Halide) return;
    bool same = call->args.size() == place_.size();
    for (std::size_t i = 0; same && i < place_.size(); ++i) {
      const auto* variable = call->args[i].as<Halide::Internal::Variable>();
      same = variable != nullptr && variable->name == place_[i] && !variable->reduction_domain.defined();
    }
    const auto [known, inserted] = in_place_.emplace(call->name, same);
    if (!inserted) known->second = known->second && same;
  }

  const std::vector<std::string>& place_;
  std::map<std::string, bool> in_place_;
};

/// Decides where the stages of a pipeline are computed.
class GpuSchedule {
 public:
  explicit GpuSchedule(const std::vector<Func>& outs) : outs_(outs) {
    std::vector<Halide::Internal::Function> functions;
    for (const Func& out : outs) functions.push_back(out.function());
    environment_ = Halide::Internal::build_environment(functions);
    for (const auto& [name, function] : environment_) note_reads(function);
  }

  void run() {
    for (const Func& out : outs_) {
      if (!is_scheduled(out.function())) threads_[out.name()] = schedule_root(out, by_stride(out));
    }
    for (auto& [name, function] : environment_) {
      if (is_output(name) || !function.has_update_definition() || is_scheduled(function)) continue;
      Func stage(function);
      const std::string host = host_of(name);
      if (threads_.contains(host)) {
        stage.compute_at(Func(environment_.at(host)), threads_.at(host));
      } else if (in_place(function)) {
        schedule_in_registers(stage);
      } else {
        schedule_root(stage, stage.args());
      }
    }
  }

 private:
  /// A reader of a Func; `in_place` where it reads it at its own place alone.
  struct Reader {
    std::string name;
    bool in_place;
  };

  void note_reads(const Halide::Internal::Function& function) {
    note_reads(function, function.definition(), true);
    for (const Definition& update : function.updates()) note_reads(function, update, false);
  }

  /// Updates go over places of their own, so what they read is never in place.
  void note_reads(const Halide::Internal::Function& function, const Definition& definition, bool pure) {
    Reads reads(function.args());
    for (const Expr& value : definition.values()) value.accept(&reads);
    for (const Expr& argument : definition.args()) argument.accept(&reads);
    if (definition.predicate().defined()) definition.predicate().accept(&reads);
    for (const auto& [name, in_place] : reads.in_place()) {
      if (name != function.name()) readers_[name].push_back({function.name(), in_place && pure});
    }
  }

  bool is_output(const std::string& name) const {
    return std::any_of(outs_.begin(), outs_.end(), [&](const Func& out) { return out.name() == name; });
  }

  /// Whether an operator's own schedule says where it is computed. Halide shows only levels that are locked.
  static bool is_scheduled(const Halide::Internal::Function& function) {
    Halide::LoopLevel level = function.schedule().compute_level();
    level.lock();
    return !level.is_inlined();
  }

  /// Whether every update of an element reads, of the Func itself, that element alone: one thread can compute it.
  static bool in_place(const Halide::Internal::Function& function) {
    return std::all_of(function.updates().begin(), function.updates().end(), [&](const Definition& update) {
      Reads reads(function.args());
      for (const Expr& value : update.values()) value.accept(&reads);
      const Expr place = Call::make(function, update.args());
      place.accept(&reads);
      return reads.in_place().at(function.name());
    });
  }

  /// The output whose elements alone read the same elements of `name`, by way of Funcs that are computed where they are
  /// read; "" where there is none.
  std::string host_of(const std::string& name) const {
    std::set<std::string> hosts;
    for (const Reader& reader : readers_.at(name)) {
      if (!reader.in_place || (!is_output(reader.name) && environment_.at(reader.name).has_update_definition())) {
        return "";
      }
      hosts.insert(is_output(reader.name) ? reader.name : host_of(reader.name));
    }
    return hosts.size() == 1 ? *hosts.begin() : "";
  }

  /// The arguments from the densest in memory to the sparsest.
  static std::vector<Var> by_stride(const Func& out) {
    std::vector<std::pair<std::int64_t, Var>> arguments;
    for (int i = 0; i < out.dimensions(); ++i) {
      const Expr stride = out.output_buffers()[0].dim(i).stride();
      const auto known = Halide::Internal::as_const_int(stride);
      arguments.emplace_back(known.value_or(i), out.args()[static_cast<std::size_t>(i)]);
    }
    std::stable_sort(arguments.begin(), arguments.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Var> sorted;
    for (const auto& argument : arguments) sorted.push_back(argument.second);
    return sorted;
  }

  /// Sums of its own for every thread, which writes the element when it is done. Alternative: the reduction in memory,
  /// which takes another launch to begin with and reads and writes there for every term.
  static void schedule_in_registers(Func reduction) {
    Func whole = reduction.in();
    reduction.compute_at(whole, schedule_root(whole, whole.args()));
  }

  /// Returns the threads of the pure definition.
  static Var schedule_root(Func func, const std::vector<Var>& order) {
    func.compute_root();
    const Var threads = map_to_threads(func, order, {});
    for (int i = 0; i < func.num_update_definitions(); ++i) {
      const std::vector<Expr>& places = func.update_args(i);
      std::vector<Var> pure;
      std::copy_if(order.begin(), order.end(), std::back_inserter(pure), [&](const Var& variable) {
        return std::any_of(places.begin(), places.end(), [&](const Expr& place) {
          const auto* at = place.as<Halide::Internal::Variable>();
          return at != nullptr && at->name == variable.name();
        });
      });
      map_to_threads(func.update(i), pure, func.rvars(i));
    }
    return threads;
  }

  const std::vector<Func>& outs_;
  std::map<std::string, Halide::Internal::Function> environment_;
  std::map<std::string, std::vector<Reader>> readers_;
  std::map<std::string, Var> threads_;  // of outputs
};

}  // namespace

Var fuse_all(Stage& stage, const std::vector<Var>& variables, const std::string& name) {
  Var all = variables[0];
  for (std::size_t i = 1; i < variables.size(); ++i) {
    const Var both(name + std::to_string(i));
    stage.fuse(all, variables[i], both);
    all = both;
  }
  return all;
}

Var map_to_threads(Stage stage, const std::vector<Var>& variables, const std::vector<RVar>& reduced) {
  if (variables.empty()) {
    stage.gpu_single_thread();
    return Var::outermost();
  }
  std::vector<Halide::VarOrRVar> nest(reduced.begin(), reduced.end());
  nest.insert(nest.end(), variables.begin(), variables.end());
  stage.reorder(nest);
  const Var block("block");
  const Var thread("thread");
  stage.gpu_tile(fuse_all(stage, variables, "all"), block, thread, block_threads, TailStrategy::GuardWithIf);
  return thread;
}

std::function<Expr(const Point&)> operand_on_gpu(KernelBuilder& kernel, ValueId value) {
  if (!kernel.gathers(value)) return [&kernel, value](const Point& at) { return kernel.read(value, at); };
  const Shape& shape = kernel.shape(value);
  Func operand(kernel.name("operand"));
  operand(kernel.variables(shape)) = kernel.read(value, kernel.point(shape));
  std::vector<Var> order = operand.args();
  const Var dense = kernel.lanes() > 1 ? kernel.lane() : kernel.axis(1);
  std::stable_partition(order.begin(), order.end(), [&](const Var& variable) { return variable.same_as(dense); });
  operand.compute_root().reorder_storage(order);
  map_to_threads(operand, order, {});
  return [&kernel, operand](const Point& at) { return operand(kernel.arguments(at)); };
}

void schedule_thread_tiles(Func sum, Func out, const Tile& tile, const std::vector<RVar>& order,
                           const std::vector<Var>& loops) {
  std::vector<Var> outside = loops;
  out.compute_root();
  const std::vector<Halide::VarOrRVar> inside = split_tiles(out, tile, outside);
  for (const Halide::VarOrRVar& within : inside) out.unroll(within);
  const Var thread = map_to_threads(out, outside, {});

  std::vector<Halide::VarOrRVar> terms;
  for (const TileSide& side : tile) terms.emplace_back(side.variable);
  terms.insert(terms.end(), order.begin(), order.end());
  sum.compute_at(out, thread);
  sum.update().reorder(terms);
  for (const TileSide& side : tile) {
    if (side.tail == TailStrategy::GuardWithIf) sum.bound_extent(side.variable, side.extent);
    sum.unroll(side.variable);
    sum.update().unroll(side.variable);
  }
}

void schedule_on_gpu(KernelBuilder& kernel) {
  GpuSchedule(kernel.outs()).run();
}

}  // namespace netc

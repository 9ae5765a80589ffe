// Schedules for GPUs: a rule that is right for every pipeline, and what operators' own GPU schedules are made of.
#pragma once

#include <Halide.h>

#include <functional>
#include <string>
#include <vector>

#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/schedules.h"

namespace netc {

/// Schedules what no operator's `gpu_schedule` has touched: a reduction whose element is read by one element of an
/// output alone is summed in that element's thread; every other reduction is computed before what reads it, as the
/// outputs are: a thread an element, neighbours in memory side by side in a block. What is reduced stays inside a
/// thread, so sums have one order. All else is computed where it is read.
void schedule_on_gpu(KernelBuilder& kernel);

/// The loops over `variables`, innermost first, as one; the names of what it is made of begin with `name`.
Halide::Var fuse_all(Halide::Stage& stage, const std::vector<Halide::Var>& variables, const std::string& name);

/// Divides the loops over `variables` (densest in memory first) of a Func's definition, taken as one loop, into blocks
/// of threads; loops over its reduction stay inside a thread. Returns the variable of the threads.
Halide::Var map_to_threads(Halide::Stage stage, const std::vector<Halide::Var>& variables,
                           const std::vector<Halide::RVar>& reduced);

/// Computes `out` in tiles, one a thread; `sum`, a reduction over `order` (innermost first) that `out` finishes, is
/// kept for a whole tile in the thread's registers, so that what is read serves the whole tile. Loops over tiles and
/// over what is not tiled become threads in the order of `loops` (densest in memory first).
void schedule_thread_tiles(Halide::Func sum, Halide::Func out, const Tile& tile, const std::vector<Halide::RVar>& order,
                           const std::vector<Halide::Var>& loops);

/// How to read an operand of a kernel whose blocks of threads read each element several times: where the kernel gathers
/// it from elsewhere, it is computed once, in memory of its own.
std::function<Halide::Expr(const Point&)> operand_on_gpu(KernelBuilder& kernel, ValueId value);

}  // namespace netc

// A tool of the build: compiles pipelines for CUDA with Halide ahead of time, and Halide's runtime with them.
//   halide_kernels FOLDER
#include <Halide.h>

#include <iostream>

namespace {

using Halide::Expr;
using Halide::Func;
using Halide::ImageParam;
using Halide::MemoryType;
using Halide::RDom;
using Halide::RVar;
using Halide::Var;

const Halide::Target kTarget("x86-64-linux-cuda-cuda_capability_80");
const Halide::Type kFloat = Halide::Float(32);

void write(const std::string& folder, const std::string& name, Func output,
           const std::vector<Halide::Argument>& inputs) {
  const std::string path = folder + "/" + name;
  output.compile_to({{Halide::OutputFileType::object, path + ".o"}, {Halide::OutputFileType::c_header, path + ".h"}},
                    inputs, name, kTarget.with_feature(Halide::Target::NoRuntime));
}

/// sum(i) = a(i) + b(i)
void vector_add(const std::string& folder) {
  ImageParam a(kFloat, 1, "a");
  ImageParam b(kFloat, 1, "b");
  Var i("i");
  Var thread("thread");
  Func sum("sum");
  sum(i) = a(i) + b(i);
  sum.gpu_tile(i, thread, 64, Halide::TailStrategy::GuardWithIf);
  write(folder, "vector_add", sum, {a, b});
}

/// product(x, y) = sum of a(k, y) b(x, k): tiles of 32 x 32, chunks of 16 staged in shared memory, partial sums of
/// 4 x 2 in registers.
void matrix_product(const std::string& folder) {
  constexpr int kTile = 32;
  constexpr int kChunk = 16;
  ImageParam a(kFloat, 2, "a");
  ImageParam b(kFloat, 2, "b");
  Var x("x"), y("y"), k("k"), xo("xo"), yo("yo"), xi("xi"), yi("yi"), xt("xt"), yt("yt");
  const RDom chunk(0, kChunk, "chunk");
  const RDom chunks(0, a.dim(0).extent() / kChunk, "chunks");
  Func rows("rows"), columns("columns"), part("part"), sum("sum"), product("product");
  rows(y, k) = a(k, y);
  columns(x, k) = b(x, k);
  part(x, y, k) += rows(y, k * kChunk + chunk) * columns(x, k * kChunk + chunk);
  sum(x, y) = 0.0F;
  sum(x, y) += part(x, y, chunks);
  product(x, y) = sum(x, y);
  product.tile(x, y, xo, yo, xi, yi, kTile, kTile).tile(xi, yi, xt, yt, 4, 2).gpu_blocks(xo, yo).gpu_threads(xi, yi);
  product.unroll(xt).unroll(yt);
  sum.compute_at(product, xo).store_in(MemoryType::GPUShared).tile(x, y, xi, yi, xt, yt, 4, 2).gpu_threads(xi, yi);
  sum.update().tile(x, y, xi, yi, xt, yt, 4, 2).reorder(xt, yt, xi, yi, chunks.x).gpu_threads(xi, yi);
  sum.update().unroll(xt).unroll(yt);
  part.compute_at(sum, xi).store_in(MemoryType::Register).unroll(x).unroll(y);
  part.update().reorder(x, y, chunk.x).unroll(x).unroll(y);
  for (Func staged : {rows, columns}) {
    const Var inner = staged.args()[0];
    staged.compute_at(sum, chunks.x)
        .store_in(MemoryType::GPUShared)
        .split(inner, xi, xt, 4)
        .gpu_threads(xi, k)
        .unroll(xt);
  }
  write(folder, "matrix_product", product, {a, b});
}

/// sum(y) = sum of a(r, y), 32 lanes of a warp for each row.
void row_sum(const std::string& folder) {
  ImageParam a(kFloat, 2, "a");
  Var y("y"), lane("lane");
  RVar outer("outer"), inner("inner");
  const RDom r(0, a.dim(0).extent(), "r");
  Func total("total"), sum("sum");
  total(y) += a(r, y);
  sum(y) = total(y);
  total.update().split(r, outer, inner, 32, Halide::TailStrategy::GuardWithIf);
  Func lanes = total.update().rfactor(inner, lane);
  sum.gpu_blocks(y);
  total.compute_at(sum, y);
  lanes.compute_at(sum, y).store_in(MemoryType::Register).gpu_lanes(lane).update().gpu_lanes(lane);
  write(folder, "row_sum", sum, {a});
}

/// Functions that become approximations or long sequences of instructions.
void elementary(const std::string& folder) {
  ImageParam a(kFloat, 1, "a");
  Var i("i"), thread("thread");
  Func result("result");
  const Expr value = a(i);
  result(i) =
      Halide::Tuple(Halide::exp(value), Halide::log(Halide::abs(value)), Halide::sin(value), Halide::tanh(value),
                    Halide::pow(Halide::abs(value), 1.5F), Halide::fast_inverse_sqrt(Halide::abs(value)));
  result.gpu_tile(i, thread, 32, Halide::TailStrategy::GuardWithIf);
  write(folder, "elementary", result, {a});
}

/// Counts how often values fall into bins, by atomic additions.
void histogram(const std::string& folder) {
  ImageParam a(Halide::Int(32), 1, "a");
  Var i("i"), thread("thread");
  RVar block("block"), inner("inner");
  const RDom r(0, a.dim(0).extent(), "r");
  Func counts("counts");
  counts(i) = 0;
  counts(Halide::clamp(a(r), 0, 15)) += 1;
  counts.gpu_tile(i, thread, 16, Halide::TailStrategy::GuardWithIf);
  counts.update()
      .atomic()
      .split(r, block, inner, 64, Halide::TailStrategy::GuardWithIf)
      .gpu_blocks(block)
      .gpu_threads(inner);
  write(folder, "histogram", counts, {a});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: halide_kernels FOLDER\n";
    return 2;
  }
  const std::string folder = argv[1];
  vector_add(folder);
  matrix_product(folder);
  row_sum(folder);
  elementary(folder);
  histogram(folder);
  Halide::compile_standalone_runtime(folder + "/halide_cuda_runtime.o", kTarget);
}

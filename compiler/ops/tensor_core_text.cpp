// The text of the kernels in CUDA C++: what they have in common. A kernel adds a struct `Shape` (see TensorProduct).
#include "compiler/ops/tensor_cores.h"

namespace netc::ops {

namespace {

constexpr const char* tf32_factors =
    R"cuda(// ---- Factors: what tensor cores multiply, rounded. Of each eight terms a thread holds two.

/// Numbers with 10 bits behind the point of their mantissa, to nearest.
constexpr int steps = 2;  // products of tensor cores in a chunk, each of 8 terms
constexpr int apart = 4;  // from the one of a thread's terms to the other

struct Factors {
  unsigned words[2 * steps];
};

__device__ unsigned rounded(float number) {
  // As cvt.rna.tf32.f32, in two instructions where that takes four: the bits that tensor cores do not read stay. Alone,
  // the sum would make a number of a NaN whose bits are all set.
  const unsigned word = __float_as_uint(number);
  return isfinite(number) ? word + 0x1000 : word;
}

__device__ Factors factors(float a, float b, float c, float d) {
  return {rounded(a), rounded(b), rounded(c), rounded(d)};
}

__device__ void add_product(float (&sum)[4], const Factors& upper, const Factors& lower, const Factors& right,
                            int step) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(upper.words[2 * step]), "r"(lower.words[2 * step]), "r"(upper.words[2 * step + 1]),
        "r"(lower.words[2 * step + 1]), "r"(right.words[2 * step]), "r"(right.words[2 * step + 1]));
}
)cuda";

constexpr const char* bf16_factors =
    R"cuda(// ---- Factors: what tensor cores multiply, rounded. Of each eight terms a thread holds two.

/// Numbers with 8 bits of precision, to nearest with ties to even; two in a word.
constexpr int steps = 1;  // products of tensor cores in a chunk, each of 16 terms
constexpr int apart = 1;  // from the one of a thread's terms to the other

struct Factors {
  unsigned words[2 * steps];
};

__device__ unsigned rounded(float low, float high) {
  unsigned word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}

__device__ Factors factors(float a, float b, float c, float d) {
  return {rounded(a, b), rounded(c, d)};
}

__device__ void add_product(float (&sum)[4], const Factors& upper, const Factors& lower, const Factors& right,
                            int step) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(upper.words[2 * step]), "r"(lower.words[2 * step]), "r"(upper.words[2 * step + 1]),
        "r"(lower.words[2 * step + 1]), "r"(right.words[2 * step]), "r"(right.words[2 * step + 1]));
}
)cuda";

constexpr const char* sums = R"cuda(
/// Terms of the sums that are staged at a time.
constexpr int chunk = 16;

// ---- Tiles in shared memory. Groups of four or eight floats change places, so that the lanes of a warp read different
// banks. A thread reads the factors of lines that lie eight apart: places that it works out once, and constants from
// them.

__device__ int lane() {
  return threadIdx.x % 32;
}
__device__ int warp() {
  return threadIdx.x / 32;
}
/// The first of a thread's terms.
__device__ int first_term() {
  return apart == 1 ? lane() % 4 * 2 : lane() % 4;
}

/// A row for each line of the tile, terms side by side.
struct TermsTogether {
  static __device__ int at(int line, int term) { return line * chunk + (term ^ ((line & 2) * 4 | (line & 4))); }

  struct Reader {
    int places[4];  // of the thread's terms

    __device__ explicit Reader(int first_line) {
      for (int i = 0; i < 4; ++i) places[i] = at(first_line + lane() / 4, first_term() + i % 2 * apart + i / 2 * 8);
    }
    /// Of line 8 * number + lane / 4 behind the first one.
    __device__ Factors read(const float* tile, int number) const {
      const float* const line = tile + number * 8 * chunk;
      if (apart > 1) return factors(line[places[0]], line[places[1]], line[places[2]], line[places[3]]);
      const float2 low = *reinterpret_cast<const float2*>(line + places[0]);
      const float2 high = *reinterpret_cast<const float2*>(line + places[2]);
      return factors(low.x, low.y, high.x, high.y);
    }
  };
};

/// A row for each term, lines side by side.
template <int lines>
struct LinesTogether {
  static __device__ int at(int line, int term) { return term * lines + (line ^ ((term & 3) ^ (term >> 2 & 1)) * 8); }

  struct Reader {
    int places[4];  // of the first term in every eighth line; the second one's are those of the neighbours

    __device__ explicit Reader(int first_line) {
      for (int i = 0; i < 4; ++i) places[i] = at(first_line + 8 * i + lane() / 4, first_term());
    }
    __device__ Factors read(const float* tile, int number) const {
      const float* const first = tile + places[number % 4] + number / 4 * 32;
      const float* const second = tile + places[number % 4 ^ 1] + number / 4 * 32 + apart * lines;
      return factors(first[0], second[0], first[8 * lines], second[8 * lines]);
    }
  };
};

/// Copies neighbours to shared memory while threads go on. `read` is 1, or 0 where they do not exist: then there are
/// zeros, and nothing is read. Four lie at a multiple of 16 bytes, unless they may lie `anywhere`.
template <int floats, bool anywhere = false>
__device__ void copy(float* to, const float* from, int read) {
  const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const size_t source = __cvta_generic_to_global(from);
  if (floats == 4 && (!anywhere || source % 16 == 0)) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(source), "r"(16 * read));
  } else {
#pragma unroll
    for (int i = 0; i < floats; ++i)
      asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at + 4 * i), "l"(source + 4 * i),
                   "r"(4 * read));
  }
}

__device__ void end_of_chunk() {
  asm volatile("cp.async.commit_group;");
}

/// Until at most so many chunks are still under way.
template <int chunks>
__device__ void wait_for_chunks() {
  asm volatile("cp.async.wait_group %0;" ::"n"(chunks) : "memory");
}

// ---- Sums of a block: of a tile of rows by columns, divided among warps.

template <class Shape>
struct Sums {
  static constexpr int row_tiles = Shape::rows / Shape::warps_along_rows / 16;
  static constexpr int column_tiles = Shape::columns / Shape::warps_along_columns / 8;

  float sums[row_tiles][column_tiles][4] = {};

  static __device__ int first_row() { return warp() / Shape::warps_along_columns * row_tiles * 16; }
  static __device__ int first_column() { return warp() % Shape::warps_along_columns * column_tiles * 8; }

  template <class Left, class Right>
  __device__ void add(const float* left_tile, const Left& left, const float* right_tile, const Right& right) {
    Factors columns[column_tiles];
#pragma unroll
    for (int j = 0; j < column_tiles; ++j) columns[j] = right.read(right_tile, j);
#pragma unroll
    for (int i = 0; i < row_tiles; ++i) {
      const Factors upper = left.read(left_tile, 2 * i);
      const Factors lower = left.read(left_tile, 2 * i + 1);
#pragma unroll
      for (int step = 0; step < steps; ++step)
#pragma unroll
        for (int j = 0; j < column_tiles; ++j) add_product(sums[i][j], upper, lower, columns[j], step);
    }
  }

  /// Adds up so many chunks from `place` on, which `left` and `right` copy to shared memory some ahead of their use.
  template <class Place, class Left, class Right>
  __device__ void add_all(int chunks, Place place, Left& left, const Right& right) {
    constexpr int left_floats = Shape::rows * chunk;
    constexpr int floats = left_floats + Shape::columns * chunk;
    __shared__ __align__(128) float staged[Shape::stages * floats];
    const auto after = [](int stage) { return stage + 1 == Shape::stages ? 0 : stage + 1; };
    int filled = 0;
    const auto stage = [&](bool exists) {
      if (exists) {
        left.copy_chunk(staged + filled * floats, place);
        right.copy_chunk(staged + filled * floats + left_floats, place);
        place.advance();
      }
      filled = after(filled);
      end_of_chunk();
    };
#pragma unroll
    for (int ahead = 0; ahead < Shape::stages - 1; ++ahead) stage(ahead < chunks);
    const typename Left::Tile::Reader left_reader(first_row());
    const typename Right::Tile::Reader right_reader(first_column());
    int used = 0;
    for (int number = 0; number < chunks; ++number) {
      wait_for_chunks<Shape::stages - 2>();
      __syncthreads();
      stage(number + Shape::stages - 1 < chunks);
      const float* const tiles = staged + used * floats;
      add(tiles, left_reader, tiles + left_floats, right_reader);
      used = after(used);
    }
  }

  /// Calls `write(row, column, first, second)` for what the thread holds, two neighbours in a row at a time.
  template <class Write>
  __device__ void write_all(const Write& write) const {
#pragma unroll
    for (int i = 0; i < row_tiles; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int j = 0; j < column_tiles; ++j)
          write(first_row() + 16 * i + 8 * half + lane() / 4, first_column() + 8 * j + lane() % 4 * 2,
                sums[i][j][2 * half], sums[i][j][2 * half + 1]);
  }
};

/// Writes two neighbours, which are `stride` apart; `together`: at a multiple of 8 bytes.
template <int stride, bool together>
__device__ void write_two(float* to, float first, float second, bool second_exists) {
  if (together && stride == 1) {
    *reinterpret_cast<float2*>(to) = {first, second};
  } else {
    to[0] = first;
    if (second_exists) to[stride] = second;
  }
}
)cuda";

constexpr const char* pixels = R"cuda(
// ---- Convolutions, their gradients with respect to the images, and likewise linear layers: rows are pixels, columns
// the channels that are computed, terms the channels and taps that are summed.

/// What pixels read along an axis of the images. In a gradient, pixels that lie a stride apart read through the same
/// taps: such a phase is computed by itself.
struct Axis {
  int first_tap;
  int tap_stride;
  int taps;
  int step;  // pixels that are read, from one that is computed to the next
  int origin;
  int tap_step;

  __device__ int source(int position, int tap) const { return position * step + origin + tap * tap_step; }
};

template <bool backward>
__device__ Axis axis(int kernel, int stride, int pad, int dilation, int phase) {
  if (!backward) return {0, 1, kernel, stride, -pad, dilation};
  const int first = (phase + pad) % stride;
  return {first, stride, (kernel - first + stride - 1) / stride, 1, (phase + pad) / stride, -dilation};
}

/// Which taps and channels a chunk has.
template <class Shape>
struct WindowPlace {
  int taps_along_x;
  int channel = 0;
  int tap_x = 0;
  int tap_y = 0;

  __device__ void advance() {
    channel += chunk;
    if (channel < Shape::Read::channels) return;
    channel = 0;
    if (++tap_x < taps_along_x) return;
    tap_x = 0;
    ++tap_y;
  }
};

/// The pixel of a row, by its position in the phase.
template <class Shape>
struct Pixel {
  static constexpr int phases_y = Shape::backward ? Shape::stride_y : 1;
  static constexpr int phases_x = Shape::backward ? Shape::stride_x : 1;
  static constexpr int positions_y = (Shape::Computed::height + phases_y - 1) / phases_y;
  static constexpr int positions_x = (Shape::Computed::width + phases_x - 1) / phases_x;

  int image;
  int y;
  int x;

  __device__ explicit Pixel(int row)
      : image(row / (positions_y * positions_x)), y(row / positions_x % positions_y), x(row % positions_x) {}
};

/// What the pixels of a block read.
template <class Shape>
struct ImageTile {
  using Tile = TermsTogether;
  using Read = typename Shape::Read;
  static constexpr int threads_a_row = chunk / 4;
  static constexpr int rows_at_once = Shape::threads / threads_a_row;
  static constexpr int turns = Shape::rows / rows_at_once;
  static constexpr int nowhere = -(1 << 28);

  const float* images;
  Axis along_y;
  Axis along_x;
  int image[turns];
  int y[turns];
  int x[turns];
  const float* pixels[turns];  // that are read through the current tap
  int exists[turns];           // 1 or 0

  static __device__ int row(int turn) { return threadIdx.x / threads_a_row + turn * rows_at_once; }
  static __device__ int term() { return threadIdx.x % threads_a_row * 4; }

  __device__ ImageTile(const float* images, const Axis& along_y, const Axis& along_x, int first_row, int rows)
      : images(images), along_y(along_y), along_x(along_x) {
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
      const int number = first_row + row(turn);
      const Pixel<Shape> pixel(number);
      image[turn] = pixel.image * Read::image_stride + term();
      y[turn] = number < rows ? along_y.source(pixel.y, 0) : nowhere;
      x[turn] = along_x.source(pixel.x, 0);
    }
  }

  __device__ void begin_tap(const WindowPlace<Shape>& place) {
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
      const int source_y = y[turn] + place.tap_y * along_y.tap_step;
      const int source_x = x[turn] + place.tap_x * along_x.tap_step;
      exists[turn] = static_cast<unsigned>(source_y) < Read::height && static_cast<unsigned>(source_x) < Read::width;
      const int offset = image[turn] + source_y * Read::row_stride + source_x * Read::column_stride;
      pixels[turn] = images + (exists[turn] ? offset : 0);
    }
  }

  __device__ void copy_chunk(float* to, const WindowPlace<Shape>& place) {
    if (place.channel == 0) begin_tap(place);
    const bool channels_exist = Read::channels % chunk == 0 || place.channel + term() < Read::channels;
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
      copy<4, Read::anywhere>(to + Tile::at(row(0), term()) + turn * rows_at_once * chunk, pixels[turn] + place.channel,
                              channels_exist ? exists[turn] : 0);
    }
  }
};

/// The weights of the channels that a block computes. Outputs lie side by side in memory: the channels that are
/// computed in a convolution, those that are summed in its gradient.
template <class Shape>
struct FilterTile {
  using Tile = typename Shape::Filter;
  static constexpr int summed = Shape::Read::channels;
  static constexpr int computed = Shape::Computed::channels;
  static constexpr int along_memory = Shape::backward ? chunk : Shape::columns;
  static constexpr int lines = Shape::backward ? Shape::columns : chunk;
  static constexpr int floats = (Shape::backward ? summed : computed) % 4 == 0 ? 4 : 1;
  static constexpr int threads_a_line = along_memory / floats;
  static constexpr int lines_at_once = Shape::threads / threads_a_line;

  const float* filter;
  int first_column;
  int first_tap_y;
  int first_tap_x;
  int tap_stride_y;
  int tap_stride_x;

  __device__ void copy_chunk(float* to, const WindowPlace<Shape>& place) const {
    const int tap_y = first_tap_y + place.tap_y * tap_stride_y;
    const int tap_x = first_tap_x + place.tap_x * tap_stride_x;
    const int tap = tap_y * Shape::kernel_x + tap_x;
    const float* const from = filter + (Shape::backward ? (tap * computed + first_column) * summed + place.channel
                                                        : (tap * summed + place.channel) * computed + first_column);
    const int dense = threadIdx.x % threads_a_line * floats;
#pragma unroll
    for (int turn = 0; turn * lines_at_once < lines; ++turn) {
      const int line = threadIdx.x / threads_a_line + turn * lines_at_once;
      if (lines % lines_at_once != 0 && line >= lines) break;
      const int term = Shape::backward ? dense : line;
      const int column = Shape::backward ? line : dense;
      const bool exists = (summed % chunk == 0 || place.channel + term < summed) &&
                          (computed % Shape::columns == 0 || first_column + column < computed);
      const int offset = line * (Shape::backward ? summed : computed) + dense;
      copy<floats>(to + Tile::at(column, term), from + offset, exists);
    }
  }
};

template <class Shape>
__device__ void compute_pixels(const float* images, const float* filter, const float* start, float* result, int batch) {
  using At = Pixel<Shape>;
  using Computed = typename Shape::Computed;
  constexpr int column_blocks = (Computed::channels + Shape::columns - 1) / Shape::columns;
  const int rows = batch * At::positions_y * At::positions_x;
  const int first_row = blockIdx.x / column_blocks * Shape::rows;
  const int first_column = blockIdx.x % column_blocks * Shape::columns;
  const int phase_y = blockIdx.y / At::phases_x;
  const int phase_x = blockIdx.y % At::phases_x;
  const Axis along_y =
      axis<Shape::backward>(Shape::kernel_y, Shape::stride_y, Shape::pad_y, Shape::dilation_y, phase_y);
  const Axis along_x =
      axis<Shape::backward>(Shape::kernel_x, Shape::stride_x, Shape::pad_x, Shape::dilation_x, phase_x);

  constexpr int chunks_a_tap = (Shape::Read::channels + chunk - 1) / chunk;
  ImageTile<Shape> image_tile(images, along_y, along_x, first_row, rows);
  const FilterTile<Shape> filter_tile{
      filter, first_column, along_y.first_tap, along_x.first_tap, along_y.tap_stride, along_x.tap_stride};
  Sums<Shape> sums;
  sums.add_all(along_y.taps * along_x.taps * chunks_a_tap, WindowPlace<Shape>{along_x.taps}, image_tile, filter_tile);

  constexpr bool even =
      (Computed::channels | Computed::image_stride | Computed::row_stride | Computed::column_stride) % 2 == 0;
  sums.write_all([&](int row_of_block, int column_of_block, float first, float second) {
    const int row = first_row + row_of_block;
    const int column = first_column + column_of_block;
    const At pixel(row);
    const int y = pixel.y * At::phases_y + phase_y;
    const int x = pixel.x * At::phases_x + phase_x;
    if (row >= rows || y >= Computed::height || x >= Computed::width || column >= Computed::channels) return;
    const bool two = column + 1 < Computed::channels;
    if (Shape::starts) {
      first += start[column];
      if (two) second += start[column + 1];
    }
    float* const to = result + pixel.image * Computed::image_stride + y * Computed::row_stride +
                      x * Computed::column_stride + column * Computed::channel_stride;
    write_two<Computed::channel_stride, even && !Computed::anywhere>(to, first, second, two);
  });
}
)cuda";

constexpr const char* weights = R"cuda(
// ---- Gradients of convolutions with respect to their weights, and likewise of linear layers: rows are the inputs that
// a tap reads, columns the outputs, terms the pixels of the outputs in the whole batch. Blocks side by side in y sum
// parts of the pixels.

/// The first pixel of a chunk.
struct PixelPlace {
  int pixel;

  __device__ void advance() { pixel += chunk; }
};

/// Of an image: what pixels of the outputs read through a tap, or the outputs themselves. `same`: pixels of the same
/// numbers.
template <class Shape, class Image, int lines, bool same>
struct PixelTile {
  using Tile = LinesTogether<lines>;
  using Outputs = typename Shape::Outputs;
  static constexpr int floats = Image::channels % 4 == 0 ? 4 : 1;
  static constexpr int threads_a_term = lines / floats;
  static constexpr int terms_at_once = Shape::threads / threads_a_term;
  /// Whether pixels follow each other in memory at one distance.
  static constexpr bool in_order = same && Image::row_stride == Image::width * Image::column_stride &&
                                   Image::image_stride == Image::height * Image::row_stride;

  const float* image;
  int first_channel;
  int from_y;
  int from_x;
  int pixels;

  __device__ void copy_chunk(float* to, const PixelPlace& place) const {
    const int line = threadIdx.x % threads_a_term * floats;
    const bool channel_exists = Image::channels % lines == 0 || first_channel + line < Image::channels;
#pragma unroll
    for (int turn = 0; turn * terms_at_once < chunk; ++turn) {
      const int term = threadIdx.x / threads_a_term + turn * terms_at_once;
      if (chunk % terms_at_once != 0 && term >= chunk) break;
      const int pixel = place.pixel + term;
      bool exists = pixel < pixels && channel_exists;
      int offset = pixel * Image::column_stride;
      if (!in_order) {
        const int y = pixel / Outputs::width % Outputs::height * Image::step_y + from_y;
        const int x = pixel % Outputs::width * Image::step_x + from_x;
        exists = exists && static_cast<unsigned>(y) < Image::height && static_cast<unsigned>(x) < Image::width;
        offset = pixel / (Outputs::height * Outputs::width) * Image::image_stride + y * Image::row_stride +
                 x * Image::column_stride;
      }
      copy<floats, Image::anywhere>(to + Tile::at(line, term), image + (first_channel + line + offset), exists);
    }
  }
};

template <class Shape>
__device__ void compute_weights(const float* gradients, const float* images, float* result, int batch) {
  using Inputs = typename Shape::Inputs;
  using Outputs = typename Shape::Outputs;
  constexpr int row_blocks = (Inputs::channels + Shape::rows - 1) / Shape::rows;
  constexpr int column_blocks = (Outputs::channels + Shape::columns - 1) / Shape::columns;
  constexpr int taps = Shape::kernel_y * Shape::kernel_x;
  const int first_column = blockIdx.x % column_blocks * Shape::columns;
  const int first_row = blockIdx.x / column_blocks % row_blocks * Shape::rows;
  const int tap = blockIdx.x / (column_blocks * row_blocks);
  const int tap_y = tap / Shape::kernel_x;
  const int tap_x = tap % Shape::kernel_x;

  const int pixels = batch * Shape::Outputs::height * Shape::Outputs::width;
  const int chunks = (pixels + chunk - 1) / chunk;
  const int chunks_a_part = (chunks + Shape::parts - 1) / Shape::parts;
  const int first = blockIdx.y * chunks_a_part;
  constexpr bool same = taps == 1 && Inputs::step_y == 1 && Inputs::step_x == 1 && Inputs::height == Outputs::height &&
                        Inputs::width == Outputs::width;
  PixelTile<Shape, Inputs, Shape::rows, same> inputs{images, first_row, tap_y * Shape::dilation_y - Shape::pad_y,
                                                     tap_x * Shape::dilation_x - Shape::pad_x, pixels};
  const PixelTile<Shape, Outputs, Shape::columns, true> outputs{gradients, first_column, 0, 0, pixels};
  Sums<Shape> sums;
  sums.add_all(min(chunks_a_part, chunks - first), PixelPlace{first * chunk}, inputs, outputs);

  float* const part = result + (blockIdx.y * taps + tap) * Inputs::channels * Outputs::channels;
  sums.write_all([&](int row_of_block, int column_of_block, float first, float second) {
    const int row = first_row + row_of_block;
    const int column = first_column + column_of_block;
    if (row >= Inputs::channels || column >= Outputs::channels) return;
    write_two<1, Outputs::channels % 2 == 0>(part + row * Outputs::channels + column, first, second,
                                             column + 1 < Outputs::channels);
  });
}
)cuda";

}  // namespace

std::string tensor_core_prelude(Precision precision) {
  return std::string(precision == Precision::tf32 ? tf32_factors : bf16_factors) + sums + pixels + weights;
}

}  // namespace netc::ops

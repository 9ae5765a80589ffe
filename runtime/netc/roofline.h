// What this machine can do at most, measured.
#pragma once

namespace netc {

struct Roofline {
  double flops_per_second = 0;  // single-precision multiply-adds in registers, two operations each
  double bytes_per_second = 0;  // read from memory
};

/// On so many threads, with the instruction set that kernels use here; takes a fifth of a second.
Roofline measure_roofline(int threads);

}  // namespace netc

// copy: y = x in other memory, where a view cannot be had or the layout changes.
#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

const Operator copy{
    .name = "copy",
    .doc = "y = x, in memory of its own.",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .value_at = [](KernelBuilder& kernel, const Node& node,
                   const Point& point) { return kernel.read(node.inputs[0], point); },
};

}  // namespace netc::ops

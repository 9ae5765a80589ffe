// Times one convolution of oneDNN's, pass by pass, and prints a JSON object: its version, and milliseconds a pass.
//   onednn_conv BATCH IN OUT HEIGHT WIDTH KERNEL STRIDE PAD SECONDS PASS…
// PASS is forward, backward_data or backward_weights. Every pass runs for SECONDS in the layouts that oneDNN chooses,
// and as long in channels_last, at least five times each, behind two that warm up; the fastest run counts. All memory
// is allocated, filled and laid out beforehand.
#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <limits>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using dnnl::memory;
using Clock = std::chrono::steady_clock;
using Arguments = std::unordered_map<int, memory>;

struct Problem {
  memory::dim batch, in, out, height, width, kernel, stride, pad;
};

/// A convolution's tensors in one layout; oneDNN chooses that of the weights in any case.
struct Layout {
  Layout(const Problem& p, memory::format_tag images)
      : source({p.batch, p.in, p.height, p.width}, memory::data_type::f32, images),
        weights({p.out, p.in, p.kernel, p.kernel}, memory::data_type::f32, memory::format_tag::any),
        bias({p.out}, memory::data_type::f32, memory::format_tag::x),
        result({p.batch, p.out, slid(p.height, p), slid(p.width, p)}, memory::data_type::f32, images),
        strides{p.stride, p.stride},
        pads{p.pad, p.pad} {}

  static memory::dim slid(memory::dim extent, const Problem& p) {
    return (extent + 2 * p.pad - p.kernel) / p.stride + 1;
  }

  memory::desc source, weights, bias, result;
  memory::dims strides, pads;
};

class Timer {
 public:
  explicit Timer(double seconds) : seconds_(seconds) {}

  /// Milliseconds of the pass at its fastest.
  double time(const std::string& pass, const Layout& layout) {
    if (pass == "forward") return forward(layout);
    if (pass == "backward_data") return backward_data(layout);
    if (pass == "backward_weights") return backward_weights(layout);
    throw std::invalid_argument("unknown pass: " + pass);
  }

 private:
  dnnl::convolution_forward::primitive_desc description(const Layout& l, dnnl::prop_kind kind) const {
    return {engine_, kind, algorithm, l.source, l.weights, l.bias, l.result, l.strides, l.pads, l.pads};
  }

  double forward(const Layout& layout) {
    const auto chosen = description(layout, dnnl::prop_kind::forward_inference);
    return fastest(dnnl::convolution_forward(chosen), {{DNNL_ARG_SRC, filled(chosen.src_desc())},
                                                       {DNNL_ARG_WEIGHTS, filled(chosen.weights_desc())},
                                                       {DNNL_ARG_BIAS, filled(chosen.bias_desc())},
                                                       {DNNL_ARG_DST, filled(chosen.dst_desc())}});
  }

  double backward_data(const Layout& l) {
    const dnnl::convolution_backward_data::primitive_desc chosen(engine_, algorithm, l.source, l.weights, l.result,
                                                                 l.strides, l.pads, l.pads,
                                                                 description(l, dnnl::prop_kind::forward_training));
    return fastest(dnnl::convolution_backward_data(chosen), {{DNNL_ARG_DIFF_SRC, filled(chosen.diff_src_desc())},
                                                             {DNNL_ARG_WEIGHTS, filled(chosen.weights_desc())},
                                                             {DNNL_ARG_DIFF_DST, filled(chosen.diff_dst_desc())}});
  }

  double backward_weights(const Layout& l) {
    const dnnl::convolution_backward_weights::primitive_desc chosen(engine_, algorithm, l.source, l.weights, l.bias,
                                                                    l.result, l.strides, l.pads, l.pads,
                                                                    description(l, dnnl::prop_kind::forward_training));
    return fastest(dnnl::convolution_backward_weights(chosen),
                   {{DNNL_ARG_SRC, filled(chosen.src_desc())},
                    {DNNL_ARG_DIFF_WEIGHTS, filled(chosen.diff_weights_desc())},
                    {DNNL_ARG_DIFF_BIAS, filled(chosen.diff_bias_desc())},
                    {DNNL_ARG_DIFF_DST, filled(chosen.diff_dst_desc())}});
  }

  memory filled(const memory::desc& description) const {
    memory result(description, engine_);
    auto* values = static_cast<float*>(result.get_data_handle());
    const std::size_t count = description.get_size() / sizeof(float);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i * 7919 % 101) * 0.01F - 0.5F;
    return result;
  }

  /// Seconds.
  double run(const dnnl::primitive& primitive, const Arguments& arguments) {
    const Clock::time_point start = Clock::now();
    primitive.execute(stream_, arguments);
    stream_.wait();
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  /// Milliseconds. Warms up as netc's `profile` does.
  double fastest(const dnnl::primitive& primitive, const Arguments& arguments) {
    constexpr int warm_up = 2;
    constexpr int least = 5;
    for (int i = 0; i < warm_up; ++i) run(primitive, arguments);
    double best = std::numeric_limits<double>::infinity();
    double sum = 0;
    for (int i = 0; i < least || sum < seconds_; ++i) {
      const double time = run(primitive, arguments);
      best = std::min(best, time);
      sum += time;
    }
    return best * 1e3;
  }

  static constexpr dnnl::algorithm algorithm = dnnl::algorithm::convolution_auto;

  double seconds_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
};

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  if (words.size() < 10) {
    std::cerr << "usage: onednn_conv BATCH IN OUT HEIGHT WIDTH KERNEL STRIDE PAD SECONDS PASS…\n";
    return 2;
  }
  const auto number = [&](std::size_t i) { return std::stol(words[i]); };
  const Problem problem{number(0), number(1), number(2), number(3), number(4), number(5), number(6), number(7)};
  try {
    Timer timer(std::stod(words[8]));
    const dnnl_version_t& version = *dnnl_version();
    std::cout << "{\"version\": \"" << version.major << "." << version.minor << "." << version.patch << "\"";
    for (std::size_t i = 9; i < words.size(); ++i) {
      const double chosen = timer.time(words[i], Layout(problem, memory::format_tag::any));
      const double channels_last = timer.time(words[i], Layout(problem, memory::format_tag::nhwc));
      std::cout << ", \"" << words[i] << "\": " << std::min(chosen, channels_last);
    }
    std::cout << "}\n";
  } catch (const std::exception& error) {
    std::cerr << "onednn_conv: " << error.what() << "\n";
    return 1;
  }
}

// Draws the curves as SVG by hand: two panels, labels at the ends of the lines instead of a legend.
#include "netc/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace netc {

namespace {

constexpr double width = 920;
constexpr double height = 424;
constexpr const char* train_colour = "#0072b2";  // told apart by colour-blind readers too
constexpr const char* validation_colour = "#009e73";
constexpr const char* test_colour = "#d55e00";

struct Point {
  double epoch;
  double value;  // finite
};

struct Curve {
  const char* name;
  const char* colour;
  std::vector<Point> points;
};

struct Panel {
  const char* title;
  double left;
  double right;
  bool from_zero;
  Curve within_epochs;  // drawn thin, without a name
  std::vector<Curve> curves;
};

/// An axis with round ticks.
struct Axis {
  double low;
  double high;
  double step;
};

/// 1, 2 or 5 times a power of ten, so that a range has about `count` steps.
double round_step(double range, double count) {
  const double power = std::pow(10.0, std::floor(std::log10(range / count)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (range / (factor * power) <= count) return factor * power;
  }
  return 10 * power;
}

Axis make_axis(const Panel& panel) {
  double low = panel.from_zero ? 0 : std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  const auto include = [&](const Curve& curve) {
    for (const Point& point : curve.points) {
      low = std::min(low, point.value);
      high = std::max(high, point.value);
    }
  };
  include(panel.within_epochs);
  for (const Curve& curve : panel.curves) include(curve);
  if (!std::isfinite(low) || !std::isfinite(high)) return {0, 1, 0.2};
  constexpr double least_range = 0.05;  // so that noise does not fill the panel
  if (high - low < least_range) low = std::max(high - least_range, 0.0);
  if (high - low < least_range) high = low + least_range;
  const double step = round_step(high - low, 6);
  return {std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, step};
}

/// Maps epochs and values to the picture, and draws one panel.
class PanelPainter {
 public:
  PanelPainter(const Panel& panel, double epochs)
      : panel_(panel), epochs_(std::max(epochs, 1.0)), axis_(make_axis(panel)) {}

  std::string draw() {
    draw_title();
    draw_values();
    draw_epochs();
    add(R"(<polyline points="{}" stroke="{}" class="thin"/>)", line(panel_.within_epochs), panel_.within_epochs.colour);
    for (const Curve& curve : panel_.curves) draw_curve(curve);
    draw_names();
    return std::move(svg_);
  }

 private:
  static constexpr double top = 116;
  static constexpr double bottom = height - 56;

  template <class... Arguments>
  void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    svg_ += fmt::format(format, std::forward<Arguments>(arguments)...);
    svg_ += '\n';
  }

  double x(double epoch) const { return panel_.left + epoch / epochs_ * (panel_.right - panel_.left); }

  double y(double value) const { return bottom - (value - axis_.low) / (axis_.high - axis_.low) * (bottom - top); }

  void draw_title() {
    add(R"(<text x="{:.1f}" y="{:.1f}" class="panel">{}</text>)", panel_.left - 36, top - 16, panel_.title);
  }

  void draw_values() {
    const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(axis_.step) - 1e-9)));
    const auto ticks = static_cast<int>(std::lround((axis_.high - axis_.low) / axis_.step));
    for (int i = 0; i <= ticks; ++i) {
      const double value = axis_.low + i * axis_.step;
      add(R"(<line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}" class="{}"/>)", panel_.left, panel_.right, y(value),
          y(value), i == 0 ? "axis" : "grid");
      add(R"(<text x="{:.1f}" y="{:.1f}" class="tick" text-anchor="end">{:.{}f}</text>)", panel_.left - 10,
          y(value) + 4, value, decimals);
    }
  }

  void draw_epochs() {
    const int step = std::max(1, static_cast<int>(round_step(epochs_, 10)));
    for (int epoch = 0; epoch <= epochs_; epoch += step) {
      add(R"(<text x="{:.1f}" y="{:.1f}" class="tick" text-anchor="middle">{}</text>)", x(epoch), bottom + 20, epoch);
    }
    add(R"(<text x="{:.1f}" y="{:.1f}" class="tick" text-anchor="middle">epoch</text>)",
        (panel_.left + panel_.right) / 2, bottom + 40);
  }

  std::string line(const Curve& curve) const {
    std::string points;
    for (const Point& point : curve.points) points += fmt::format("{:.1f},{:.1f} ", x(point.epoch), y(point.value));
    return points;
  }

  void draw_curve(const Curve& curve) {
    std::string markers;
    for (const Point& point : curve.points) {
      markers += fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="3"/>)", x(point.epoch), y(point.value));
    }
    constexpr int most_markers = 30;
    add(R"(<g stroke="{0}" fill="{0}"><polyline points="{1}" class="curve"/>{2}</g>)", curve.colour, line(curve),
        epochs_ <= most_markers ? markers : "");
  }

  /// The curves' names and last values at their ends, moved apart where the ends lie close together.
  void draw_names() {
    struct Name {
      double y;
      const Curve* curve;
    };
    std::vector<Name> names;
    for (const Curve& curve : panel_.curves) {
      if (!curve.points.empty()) names.push_back({y(curve.points.back().value), &curve});
    }
    std::sort(names.begin(), names.end(), [](const Name& a, const Name& b) { return a.y < b.y; });
    constexpr double line_height = 17;
    for (std::size_t i = 1; i < names.size(); ++i) {
      const double overlap = names[i - 1].y + line_height - names[i].y;
      if (overlap <= 0) continue;
      names[i - 1].y -= overlap / 2;
      names[i].y += overlap / 2;
    }
    for (const Name& name : names) {
      const Point& last = name.curve->points.back();
      add(R"(<text x="{:.1f}" y="{:.1f}" class="name" style="fill:{}">{} {:.3f}</text>)", x(last.epoch) + 10,
          name.y + 4, name.curve->colour, name.curve->name, last.value);
    }
  }

  const Panel& panel_;
  double epochs_;
  Axis axis_;
  std::string svg_;
};

constexpr const char* style = R"(<style>
text { font-family: "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; fill: #1f2933; }
.title { font-size: 20px; font-weight: 600; }
.subtitle { font-size: 13px; fill: #616e7c; }
.panel { font-size: 13px; font-weight: 600; }
.tick { font-size: 12px; fill: #616e7c; }
.name { font-size: 12.5px; font-weight: 600; }
.axis { stroke: #9aa5b1; stroke-width: 1; }
.grid { stroke: #e4e7eb; stroke-width: 1; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.thin { fill: none; stroke-width: 1; stroke-opacity: 0.55; }
circle { stroke: #ffffff; stroke-width: 1; }
</style>)";

/// A curve of what each item holds, where it is a number.
template <class Items, class Value>
Curve curve_of(const char* name, const char* colour, const Items& items, Value value) {
  Curve curve{name, colour, {}};
  for (const auto& item : items) {
    const double v = value(item);
    if (std::isfinite(v)) curve.points.push_back({static_cast<double>(item.epoch), v});
  }
  return curve;
}

/// One panel: the loss or the accuracy, which is a member of Scores.
Panel make_panel(const char* title, double left, bool from_zero, double Scores::*score,
                 std::span<const EpochMetrics> epochs, std::span<const CurvePoint> points) {
  const auto train = [&](const EpochMetrics& e) { return Scores{e.loss, e.train_accuracy}.*score; };
  const auto test = [&](const EpochMetrics& e) { return Scores{e.test_loss, e.test_accuracy}.*score; };
  const auto validation = [&](const EpochMetrics& e) { return e.validation ? *e.validation.*score : std::nan(""); };
  const auto within = [&](const CurvePoint& p) { return p.train.*score; };
  Panel panel{title, left, left + 296, from_zero, curve_of("", train_colour, points, within), {}};
  panel.curves.push_back(curve_of("train", train_colour, epochs, train));
  const bool validated = !epochs.empty() && epochs.back().validation;
  if (validated) panel.curves.push_back(curve_of("validation", validation_colour, epochs, validation));
  panel.curves.push_back(curve_of("test", test_colour, epochs, test));
  return panel;
}

std::string subtitle(std::span<const EpochMetrics> epochs) {
  if (epochs.empty()) return "no epoch finished";
  const EpochMetrics& last = epochs.back();
  return fmt::format("{} epoch{}, loss {:.3f}, train acc {:.3f}, test acc {:.3f}, {:.1f} examples/s", last.epoch,
                     last.epoch == 1 ? "" : "s", last.loss, last.train_accuracy, last.test_accuracy,
                     last.examples_per_second);
}

}  // namespace

std::string plot_curves(const std::string& model, std::span<const EpochMetrics> epochs,
                        std::span<const CurvePoint> points) {
  const double last = points.empty() ? static_cast<double>(epochs.size()) : std::ceil(points.back().epoch - 1e-9);
  const Panel loss = make_panel("loss", 64, true, &Scores::loss, epochs, points);
  const Panel accuracy = make_panel("accuracy", 516, false, &Scores::accuracy, epochs, points);
  std::string svg = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}">)", width, height);
  svg += fmt::format("\n{}\n<rect width=\"{}\" height=\"{}\" fill=\"#ffffff\"/>\n", style, width, height);
  svg += fmt::format("<text x=\"28\" y=\"36\" class=\"title\">{}</text>\n", model);
  svg += fmt::format("<text x=\"28\" y=\"56\" class=\"subtitle\">{}</text>\n", subtitle(epochs));
  svg += PanelPainter(loss, last).draw();
  svg += PanelPainter(accuracy, last).draw();
  return svg + "</svg>\n";
}

}  // namespace netc

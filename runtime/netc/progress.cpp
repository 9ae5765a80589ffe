// Draws the bar.
#include "netc/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <utility>

namespace netc {

namespace {

constexpr std::chrono::milliseconds bar_interval{100};
constexpr std::chrono::seconds line_interval{30};
constexpr std::string_view erase_line = "\r\033[K";

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// A bar in eighths of a column.
std::string bar(double fraction, int columns) {
  static constexpr std::string_view parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(fraction * columns * 8);
  std::string text;
  for (int i = 0; i < eighths / 8; ++i) text += "█";
  text += parts[eighths % 8];
  const int drawn = (eighths + 7) / 8;
  return text + std::string(static_cast<std::size_t>(std::max(columns - drawn, 0)), ' ');
}

/// "1:05:09", "3:07".
std::string clock_text(double seconds) {
  const auto whole = std::llround(seconds);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

void say(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

Progress::Progress(std::string label, std::int64_t total, std::int64_t done, std::string unit)
    : label_(std::move(label)),
      total_(total),
      first_(done),
      unit_(std::move(unit)),
      terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (terminal_) say(erase_line);
}

void Progress::update(std::int64_t done, const std::string& note) {
  if (done == first_) return;
  const Clock::time_point now = Clock::now();
  if (terminal_ ? now - shown_ < bar_interval : now - shown_ < line_interval) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(done - first_) / seconds;
  const double left = static_cast<double>(total_ - done) / std::max(rate, 1e-9);
  const double fraction = static_cast<double>(done) / static_cast<double>(total_);
  const std::string figures = fmt::format("{}/{}  {}{}{:.1f} {}/s  ETA {}", done, total_, note,
                                          note.empty() ? "" : "  ", rate, unit_, clock_text(left));
  if (!terminal_) return say(fmt::format("{}: {}\n", label_, figures));
  const int columns = terminal_columns() - static_cast<int>(label_.size() + figures.size()) - 6;
  const std::string drawn = columns >= 4 ? fmt::format("▕{}▏", bar(fraction, std::min(columns, 40))) : "";
  say(fmt::format("{}{} {} {}", erase_line, label_, drawn, figures));
}

}  // namespace netc

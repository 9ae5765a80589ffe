// Coordinate descent from the rules' choices, one choice at a time.
//
// A choice is taken if its kernel is faster by more than the clock wavers and its results agree with those of the rule.
// What Halide refuses is passed over.
#include "compiler/commands/tune_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "compiler/commands/build_program.h"
#include "compiler/commands/trial_kernel.h"
#include "compiler/scratch_files.h"
#include "netc/error.h"
#include "netc/file.h"
#include "netc/progress.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

constexpr double worthwhile = 0.98;  // of the time before: less is what the clock wavers

volatile std::sig_atomic_t interrupted = 0;

/// Ctrl-C sets a flag while this is alive; a second one ends the process.
class Interruptible {
 public:
  Interruptible() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(SIGINT, &action, &before_);
  }
  ~Interruptible() { sigaction(SIGINT, &before_, nullptr); }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

 private:
  struct sigaction before_ {};
};

class Deadline {
 public:
  explicit Deadline(double seconds) : seconds_(seconds) {}
  bool passed() const {
    return interrupted != 0 ||
           (seconds_ > 0 && std::chrono::duration<double>(Clock::now() - start_).count() > seconds_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  double seconds_;
  Clock::time_point start_ = Clock::now();
};

/// A kernel to tune, and how often its model runs it.
struct Subject {
  std::string name;
  const KernelEntry* entry;
  int uses = 0;

  std::int64_t work() const { return multiply_adds(*entry->plan, *entry->group) * uses; }
};

bool has_choices(const KernelEntry& entry, Isa isa) {
  const std::vector<Offer> all = offers(entry, isa, {});
  return std::any_of(all.begin(), all.end(), [](const Offer& offer) { return offer.candidates.size() > 1; });
}

/// Those that are asked for and that `known` does not list, with the most arithmetic first; to check, those with
/// choices in the table. Where kernels share a name, that of the training pass stands for all.
std::vector<Subject> subjects_of(const KernelTable& table, Isa isa, const Tiles& known, const TuneOptions& options) {
  std::vector<Subject> subjects;
  for (const std::vector<int>& plan : table.of) {
    for (int index : plan) {
      const KernelEntry& entry = table.entries[static_cast<std::size_t>(index)];
      if (!table.compiles(entry, isa)) continue;
      const std::string name = tuned_name(entry.plan->graph, *entry.group, entry.plan->layouts);
      auto subject = std::find_if(subjects.begin(), subjects.end(), [&](const Subject& s) { return s.name == name; });
      if (subject == subjects.end()) subject = subjects.insert(subjects.end(), {name, &entry});
      subject->entry = &entry;
      ++subject->uses;
    }
  }
  std::erase_if(subjects, [&](const Subject& subject) {
    const bool unchosen = options.check && table.tiles.choices(isa, subject.name).empty();
    const bool asked = subject.name.find(options.only) != std::string::npos;
    return !asked || unchosen || known.contains(isa, subject.name) || !has_choices(*subject.entry, isa);
  });
  std::stable_sort(subjects.begin(), subjects.end(),
                   [](const Subject& a, const Subject& b) { return a.work() > b.work(); });
  return subjects;
}

struct Trial {
  Choices choices{};
  std::unique_ptr<TrialKernel> kernel{};
  double seconds = 0;
};

/// Up to eight candidates around the value that is chosen: its neighbours, half and twice of it, the largest.
std::vector<int> worth_trying(const Offer& offer) {
  std::vector<int> others = offer.candidates;
  std::erase(others, offer.value);
  const auto rank = [&](int value) {
    const int distance = std::abs(value - offer.value);
    const bool far = value == offer.value * 2 || value * 2 == offer.value || value == offer.candidates.back();
    return far ? 0 : distance;
  };
  std::stable_sort(others.begin(), others.end(), [&](int a, int b) { return rank(a) < rank(b); });
  constexpr std::size_t most = 8;
  others.resize(std::min(others.size(), most));
  return others;
}

/// The search for one kernel.
class Search {
 public:
  Search(const Subject& subject, Isa isa, int batch, const fs::path& folder, const Deadline& deadline)
      : entry_(*subject.entry), isa_(isa), folder_(folder), deadline_(deadline), operands_(entry_, batch) {}

  /// From the rule, or from `known` where that is faster. Returns whether it came to its end.
  bool run(const Choices& known) {
    std::vector<Choices> starts{{}};
    if (!known.empty()) starts.push_back(known);
    std::vector<Trial> first = begin(starts);
    if (first.empty()) return false;
    if (!known.empty()) consider(std::move(first[1]));
    constexpr int rounds = 3;
    bool improved = true;
    for (int round = 0; round < rounds && improved && !deadline_.passed(); ++round) improved = improve_each();
    confirm();
    return !deadline_.passed();
  }

  /// Times `given` beside the rule, and searches nothing. Returns whether it came to its end.
  bool check(const Choices& given) {
    std::vector<Trial> both = begin({{}, given});
    if (both.empty()) return false;
    if (both[1].kernel == nullptr) {
      problem_ = "refused";
    } else if (!operands_.agrees(*both[1].kernel)) {
      problem_ = "differs";
    } else {
      best_ = std::move(both[1]);
      best_.seconds = shortest(*best_.kernel, 0);
    }
    confirm();
    return !deadline_.passed();
  }

  double rule_seconds() const { return rule_.seconds; }
  double seconds() const { return best_seconds_; }
  /// Of what was timed beside the rule's kernel at last, even if that was faster.
  double confirmed_seconds() const { return confirmed_seconds_; }
  /// Of choices that were checked: "refused" by Halide, or their results are not the rule's: it "differs".
  const std::string& problem() const { return problem_; }
  /// All choices, the rule's among them.
  Choices choices() const {
    Choices all;
    for (const Offer& offer : offers(entry_, isa_, best_.choices)) all[offer.name] = {offer.value};
    return all;
  }

 private:
  /// Compiles the rule's choices, the first of `starts`, and others; the rule's are timed. Empty when it was
  /// interrupted, which may have ended the linker, too.
  std::vector<Trial> begin(const std::vector<Choices>& starts) {
    std::vector<Trial> trials = compile(starts);
    if (trials[0].kernel == nullptr && deadline_.passed()) return {};
    if (trials[0].kernel == nullptr) throw std::runtime_error("the rule's kernel cannot be compiled");
    operands_.remember(*trials[0].kernel);
    rule_ = std::move(trials[0]);
    best_seconds_ = confirmed_seconds_ = rule_.seconds = shortest(*rule_.kernel, 0);
    return trials;
  }

  bool improve_each() {
    bool improved = false;
    std::vector<Offer> all = offers(entry_, isa_, best_.choices);
    for (std::size_t i = 0; i < all.size() && !deadline_.passed(); ++i) {
      std::vector<Choices> variants;
      for (int value : worth_trying(all[i])) variants.push_back(changed(all, i, value));
      std::erase_if(variants, [&](const Choices& choices) { return !tried_.insert(to_string(choices)).second; });
      for (Trial& trial : compile(variants)) improved = consider(std::move(trial)) || improved;
      all = offers(entry_, isa_, best_.choices);
    }
    return improved;
  }

  /// The best choices with another value for one of them. Where that does away with choices that are asked for later,
  /// these follow the rule again.
  Choices changed(const std::vector<Offer>& all, std::size_t which, int value) const {
    Choices choices = best_.choices;
    choices[all[which].name] = {value};
    try {
      offers(entry_, isa_, choices);
    } catch (const WrongChoice&) {
      for (std::size_t later = which + 1; later < all.size(); ++later) choices.erase(all[later].name);
    } catch (const std::runtime_error&) {  // to be compiled, and passed over
    }
    return choices;
  }

  /// Several at a time; those that are refused have no kernel.
  std::vector<Trial> compile(const std::vector<Choices>& variants) {
    std::vector<Trial> trials(variants.size());
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      for (std::size_t i; (i = next++) < trials.size() && interrupted == 0;) {
        trials[i].choices = variants[i];
        try {
          trials[i].kernel = std::make_unique<TrialKernel>(entry_, isa_, variants[i], folder_);
        } catch (const std::exception&) {
          trials[i].kernel = nullptr;
        }
      }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    return trials;
  }

  /// Takes a trial for the best one if it is.
  bool consider(Trial trial) {
    if (trial.kernel == nullptr || deadline_.passed()) return false;
    if (!operands_.agrees(*trial.kernel)) return false;
    trial.seconds = shortest(*trial.kernel, best_seconds_);
    if (trial.seconds > best_seconds_ * worthwhile) return false;
    best_seconds_ = trial.seconds;
    best_ = std::move(trial);
    return true;
  }

  /// The shortest time of many runs; of few where the kernel is clearly slower than `other` (0: no other).
  double shortest(TrialKernel& kernel, double other) {
    double best = operands_.run(kernel);
    double sum = best;
    constexpr double long_enough = 0.05;
    for (int runs = 1; runs < 3 || sum < long_enough; ++runs) {
      if (runs >= 2 && other > 0 && best > other * 1.15) break;
      const double time = operands_.run(kernel);
      best = std::min(best, time);
      sum += time;
    }
    return best;
  }

  /// Times the rule's kernel and the best one in turn: what was a lucky moment of the clock's goes back to the rule.
  void confirm() {
    if (best_.kernel == nullptr) return;
    for (int i = 0; i < 3; ++i) {
      rule_.seconds = std::min(rule_.seconds, shortest(*rule_.kernel, 0));
      best_.seconds = std::min(best_.seconds, shortest(*best_.kernel, 0));
    }
    confirmed_seconds_ = best_.seconds;
    if (best_.seconds > rule_.seconds * worthwhile) best_ = {};
    best_seconds_ = best_.kernel == nullptr ? rule_.seconds : best_.seconds;
  }

  const KernelEntry& entry_;
  Isa isa_;
  const fs::path& folder_;
  const Deadline& deadline_;
  TrialOperands operands_;
  Trial rule_;
  Trial best_;  // without a kernel: the rule's
  double best_seconds_ = 0;
  double confirmed_seconds_ = 0;
  std::string problem_;
  std::set<std::string> tried_;
};

bool write(const fs::path& path, const std::string& text) try {
  write_file(path, text);
  return true;
} catch (const Error& error) {
  fmt::print(stderr, "error: {}\n", error.what());
  return false;
}

/// What was gained, a line a kernel: by tuning, or by the choices that were checked, which may be slower than the
/// rule's.
class Report {
 public:
  explicit Report(bool check) : check_(check) {}

  void add(const std::string& name, const Search& search) {
    const double seconds = check_ ? search.confirmed_seconds() : search.seconds();
    const std::string& problem = search.problem();
    lines_ += fmt::format("{:>10.3f}  {:>10}  {:>5}  {}\n", search.rule_seconds() * 1e3,
                          problem.empty() ? fmt::format("{:.3f}", seconds * 1e3) : problem,
                          problem.empty() ? fmt::format("{:.2f}", search.rule_seconds() / seconds) : "", name);
    ++kernels_;
    if (search.seconds() < search.rule_seconds()) ++faster_;
  }

  void print(const fs::path& file, std::size_t all) const {
    const char* done = check_ ? "checked" : "tuned";
    if (kernels_ > 0)
      fmt::print("{:>10}  {:>10}  {:>5}  kernel\n{}", "rule, ms", check_ ? "given, ms" : "tuned, ms", "gain", lines_);
    fmt::print("{}: {} of {} kernels {}, {} of them faster than by the rule\n", file.string(), kernels_, all, done,
               faster_);
  }

 private:
  bool check_;
  std::string lines_;
  int kernels_ = 0;
  int faster_ = 0;
};

std::string note(const Search& search, int batch) {
  if (search.seconds() == search.rule_seconds()) return "the rule's";
  return fmt::format("{:.2f} times as fast as the rule: {:.3f} ms, batch {}, {} threads",
                     search.rule_seconds() / search.seconds(), search.seconds() * 1e3, batch, threads());
}

}  // namespace

int tune_kernels(const KernelTable& table, Tiles tiles, const TuneOptions& options) try {
  const Isa isa = tuned_isa(table);
  if (!has_compiler() || !write(options.file, tiles.text(isa))) return 1;
  const Deadline deadline(options.seconds);
  const Interruptible interruptible;
  const ScratchFolder folder(fs::temp_directory_path(), "netc-tune");
  const std::vector<Subject> subjects = subjects_of(table, isa, tiles, options);
  set_threads(options.threads);
  Report report(options.check);
  {
    Progress progress(options.check ? "checking" : "tuning", static_cast<std::int64_t>(subjects.size()), 0, "kernels");
    for (std::size_t i = 0; i < subjects.size() && !deadline.passed(); ++i) {
      const Subject& subject = subjects[i];
      progress.update(static_cast<std::int64_t>(i), subject.entry->name);
      const int batch = subject.entry->group->few ? 1 : options.batch;
      Search search(subject, isa, batch, folder.path(), deadline);
      const Choices& known = table.tiles.choices(isa, subject.name);
      const bool whole = options.check ? search.check(known) : search.run(known);
      if (!whole && search.seconds() == search.rule_seconds()) break;
      tiles.set(isa, subject.name, {search.choices(), note(search, batch)});
      report.add(subject.name, search);
      if (!write(options.file, tiles.text(isa))) return 1;
    }
  }
  report.print(options.file, subjects.size());
  return 0;
} catch (const std::bad_alloc&) {
  fmt::print(stderr, "error: a batch of {} does not fit into memory\nhelp: choose a smaller --batch\n", options.batch);
  return 1;
} catch (const Error& error) {
  if (error.kind() != ErrorKind::memory) throw;
  fmt::print(stderr, "error: {}\nhelp: choose a smaller --batch\n", error.what());
  return 1;
}

}  // namespace netc

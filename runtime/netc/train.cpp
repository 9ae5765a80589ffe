// The command `train`: the recipe of the model's `train` clause, epoch by epoch.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "netc/checkpoint.h"
#include "netc/commands.h"
#include "netc/evaluate.h"
#include "netc/file.h"
#include "netc/overrides.h"
#include "netc/plot.h"
#include "netc/progress.h"
#include "netc/schedule.h"
#include "netc/settings.h"

namespace netc {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct TrainOptions {
  std::string data = default_data_folder().string();
  std::optional<int> epochs;
  std::optional<std::int64_t> limit;
  std::string device = "auto";
  ThreadOptions threads;
  std::optional<std::uint64_t> seed;
  std::string checkpoint;
  double checkpoint_seconds = 60;
  bool resume = false;
  std::string log;
  std::string save;
  std::vector<std::string> set;
};

Recipe final_recipe(const Description& description, const TrainOptions& options) {
  Recipe recipe = description.recipe;
  apply_overrides(recipe, options.set);
  if (options.epochs) recipe.epochs = *options.epochs;
  if (options.seed) recipe.seed = *options.seed;
  check_recipe(recipe);
  // A run that is continued must not go on along another curve because it has more epochs now.
  if (recipe.schedule.name == "cosine") recipe.schedule.t_max = cosine_epochs(recipe);
  return recipe;
}

/// One training run, new or continued.
class Trainer {
 public:
  Trainer(const Model& model, const TrainOptions& options)
      : options_(options),
        recipe_(final_recipe(model.description, options)),
        name_(model.description.name),
        train_images_(load_data(recipe_.data, Split::train, options.data, options.limit)),
        test_images_(load_data(recipe_.data, Split::test, options.data, options.limit)),
        network_(model.make(choose_device(options.device, model.description))),
        optimizer_(make_optimizer(recipe_)),
        split_(split_training_data(train_images_.count, recipe_.validation, recipe_.seed)),
        train_loader_(train_images_, training_options()),
        test_loader_(test_images_, evaluation_options(recipe_, model.description)) {
    if (!split_.validation.empty())
      validation_loader_.emplace(train_images_, evaluation_options(recipe_, model.description, split_.validation));
    network_->initialize(recipe_.seed);
    network_->set_seed(recipe_.seed);
  }

  void run() {
    check_outputs();
    restore();
    write_logs();
    try {
      while (!is_finished()) train_epoch();
      if (!options_.save.empty()) network_->save(options_.save);
    } catch (const Error& error) {
      throw Error(error.kind(), error.what() + way_on());
    }
    print_summary();
  }

 private:
  LoaderOptions training_options() const {
    LoaderOptions options = evaluation_options(recipe_, network_->description(), split_.training);
    options.shuffle_seed = recipe_.seed;
    const int side = recipe_.data.resize > 0 ? recipe_.data.resize : train_images_.height;
    options.augmenter.emplace(recipe_.augment, side, recipe_.seed);
    return options;
  }

  bool stops_early() const {
    return recipe_.early_stop > 0 && epochs_since_lowest(state_.finished) >= recipe_.early_stop;
  }

  bool is_finished() const { return static_cast<int>(state_.finished.size()) >= recipe_.epochs || stops_early(); }

  /// Where the weights of the best epoch go: beside the checkpoint, or to the logs.
  fs::path best_file() const {
    const std::string& folder = options_.checkpoint.empty() ? options_.log : options_.checkpoint;
    return folder.empty() ? fs::path() : fs::path(folder) / "best.safetensors";
  }

  /// The learning rate of a batch of the epoch under way.
  double rate_of(std::int64_t batch) const {
    const std::int64_t before = static_cast<std::int64_t>(state_.finished.size()) * train_loader_.batches();
    return learning_rate(recipe_, before + batch, train_loader_.batches());
  }

  RunIdentity identity() const { return {recipe_, train_images_.count}; }

  /// Finds out before the first epoch, not after the last one, that something cannot be written.
  void check_outputs() const {
    if (!options_.log.empty()) make_folder(options_.log);
    if (!options_.checkpoint.empty()) make_folder(options_.checkpoint);
    if (!options_.save.empty()) check_writable(options_.save);
  }

  void restore() {
    if (options_.checkpoint.empty()) return;
    const fs::path file = checkpoint_file(options_.checkpoint);
    std::error_code error;
    const bool exists = fs::exists(file, error);
    if (error) {
      throw Error(ErrorKind::io, fmt::format("{}: cannot look for it: {}", file.string(), error.message()));
    }
    if (exists && !options_.resume) {
      throw Error(ErrorKind::usage,
                  fmt::format("{} exists: continue that run by --resume, or choose another folder", file.string()));
    }
    if (exists) {
      state_ = load_checkpoint(file, *network_, *optimizer_, identity());
      say(fmt::format("continuing {} after {} epochs and {} batches\n", file.string(), state_.finished.size(),
                      state_.next_batch));
      return;
    }
    if (options_.resume) say(fmt::format("no checkpoint in {} yet: starting anew\n", options_.checkpoint));
    save_progress();
  }

  /// A line for the user of a run that ends with an error; empty where nothing is left of the run.
  std::string way_on() const {
    if (options_.checkpoint.empty()) return "";
    const fs::path file = checkpoint_file(options_.checkpoint);
    std::error_code ignored;
    if (!fs::exists(file, ignored)) return "";
    return fmt::format("\n{} is intact: the same command with --resume goes on from there", file.string());
  }

  void train_epoch() {
    const auto epoch = static_cast<std::uint32_t>(state_.finished.size());
    const Clock::time_point start = Clock::now();
    const double seconds_before = state_.epoch_seconds;
    {
      Progress progress(fmt::format("{} epoch {}/{}", name_, epoch + 1, recipe_.epochs), train_loader_.examples(),
                        state_.running.examples);
      train_loader_.start(epoch, state_.next_batch);
      while (const Batch* batch = train_loader_.next()) {
        start_batch(*batch);
        if (static_cast<int>(under_way_.size()) == network_->steps_at_once()) finish_batch();
        progress.update(state_.running.examples,
                        fmt::format("loss {:.3f}  lr {:.4g}", state_.running.loss(), optimizer_->lr));
        state_.epoch_seconds = seconds_before + seconds_since(start);
        save_now_and_then();
      }
      finish_all();
    }
    std::optional<Scores> validation;
    if (validation_loader_) validation = evaluate(*network_, *validation_loader_).scores();
    const Scores test = evaluate(*network_, test_loader_).scores();
    state_.epoch_seconds = seconds_before + seconds_since(start);
    finish_epoch(validation, test);
  }

  void start_batch(const Batch& batch) {
    const AnyView images = batch.images();
    const AnyView labels = batch.labels();
    optimizer_->lr = rate_of(state_.next_batch + static_cast<std::int64_t>(under_way_.size()));
    under_way_.push_back({Clock::now(), {batch.label_values.begin(), batch.label_values.begin() + batch.size}});
    network_->start_step({&images, 1}, {&labels, 1}, *optimizer_);
  }

  /// Accounts for the batch that was started first. Steps follow each other: one that was started while another was
  /// under way took the time since that one ended.
  void finish_batch() {
    const auto [loss, output] = network_->finish_step();
    const StartedBatch batch = std::move(under_way_.front());
    under_way_.pop_front();
    state_.epoch_compute_seconds += seconds_since(std::max(batch.start, last_end_));
    last_end_ = Clock::now();
    RunningMetrics metrics;
    metrics.add(loss, output, batch.classes);
    state_.running.add(metrics);
    state_.since_point.add(metrics);
    ++state_.next_batch;
    add_point_now_and_then();
  }

  void finish_all() {
    while (!under_way_.empty()) finish_batch();
  }

  /// The curve has so many points an epoch, or one a batch.
  void add_point_now_and_then() {
    constexpr std::int64_t points_an_epoch = 20;
    const std::int64_t batches = train_loader_.batches();
    const auto points = [&](std::int64_t batch) { return batch * points_an_epoch / batches; };
    if (points(state_.next_batch) == points(state_.next_batch - 1)) return;
    const double share = static_cast<double>(state_.next_batch) / static_cast<double>(batches);
    state_.points.push_back({static_cast<double>(state_.finished.size()) + share, state_.since_point.scores()});
    state_.since_point = {};
    if (seconds_since(logged_) >= 1) keep_logs();
  }

  void finish_epoch(const std::optional<Scores>& validation, const Scores& test) {
    const RunningMetrics& train = state_.running;
    const double lr = rate_of(train_loader_.batches() - 1);
    TrainingState next;
    next.finished = std::move(state_.finished);
    next.finished.push_back({.epoch = static_cast<int>(next.finished.size()) + 1,
                             .loss = train.loss(),
                             .train_accuracy = train.accuracy(),
                             .test_loss = test.loss,
                             .test_accuracy = test.accuracy,
                             .examples_per_second = static_cast<double>(train.examples) / state_.epoch_compute_seconds,
                             .seconds = state_.epoch_seconds,
                             .lr = lr,
                             .validation = validation});
    next.compute_seconds = state_.compute_seconds + state_.epoch_compute_seconds;
    next.examples = state_.examples + train.examples;
    next.points = std::move(state_.points);
    state_ = std::move(next);
    print_epoch(state_.finished.back());
    keep_logs();
    save_best();  // before the checkpoint: a run that is killed between the two comes here again
    save_progress();
  }

  void print_epoch(const EpochMetrics& epoch) const {
    const std::string validation = epoch.validation ? fmt::format("val loss {:.3f}, val acc {:.3f}, ",
                                                                  epoch.validation->loss, epoch.validation->accuracy)
                                                    : "";
    fmt::print(
        "epoch {}/{}: loss {:.3f}, train acc {:.3f}, {}test acc {:.3f}, lr {:.4g}, {:.1f} examples/s, {:.1f} s\n",
        epoch.epoch, recipe_.epochs, epoch.loss, epoch.train_accuracy, validation, epoch.test_accuracy, epoch.lr,
        epoch.examples_per_second, epoch.seconds);
    std::fflush(stdout);
  }

  void save_best() {
    const fs::path file = best_file();
    if (!file.empty() && best_epoch(state_.finished) == state_.finished.size() - 1) network_->save(file);
  }

  void save_progress() {
    if (options_.checkpoint.empty()) return;
    save_checkpoint(checkpoint_file(options_.checkpoint), *network_, *optimizer_, identity(), state_);
    saved_ = Clock::now();
  }

  void save_now_and_then() {
    if (options_.checkpoint.empty() || seconds_since(saved_) < options_.checkpoint_seconds) return;
    finish_all();
    save_progress();
  }

  /// The disk is not waited for, since training would stand still meanwhile: a run that goes on writes them anew.
  void write_logs() const {
    if (options_.log.empty()) return;
    const fs::path folder = options_.log;
    write_file(folder / "metrics.jsonl", to_json_lines(state_.finished), Durable::no);
    write_file(folder / "curves.csv", to_csv(state_.finished), Durable::no);
    write_file(folder / "progress.csv", to_csv(state_.points), Durable::no);
    write_file(folder / "curves.svg", plot_curves(name_, state_.finished, state_.points), Durable::no);
  }

  /// The same within the run, which a disk that is full by now must not end: the next logs hold everything again.
  void keep_logs() {
    try {
      write_logs();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::io) throw;
      if (!std::exchange(warned_of_logs_, true)) {
        say(fmt::format("{}: warning: {}; training goes on without logs until they can be written again\n", name_,
                        error.what()));
      }
    }
    logged_ = Clock::now();
  }

  void print_best() const {
    const auto best = best_epoch(state_.finished);
    if (!best || best_file().empty()) return;
    const EpochMetrics& epoch = state_.finished[*best];
    const std::string score = epoch.validation ? fmt::format("val acc {:.3f}", epoch.validation->accuracy)
                                               : fmt::format("loss {:.3f}", epoch.loss);
    fmt::print("best: epoch {}, {}, {}\n", epoch.epoch, score, best_file().string());
  }

  void print_summary() const {
    if (stops_early()) {
      fmt::print("stopped early: the validation loss has not fallen for {} epochs\n", recipe_.early_stop);
    }
    print_best();
    const EpochMetrics& last = state_.finished.back();
    const double rate = static_cast<double>(state_.examples) / state_.compute_seconds;
    fmt::print("{}: {} epochs, loss {:.3f}, train acc {:.3f}, test acc {:.3f}, {:.1f} examples/s\n", name_,
               state_.finished.size(), last.loss, last.train_accuracy, last.test_accuracy, rate);
  }

  const TrainOptions& options_;
  Recipe recipe_;
  std::string name_;
  ImageSet train_images_;
  ImageSet test_images_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Optimizer> optimizer_;
  TrainingSplit split_;
  Loader train_loader_;
  std::optional<Loader> validation_loader_;
  Loader test_loader_;
  TrainingState state_;
  /// A step on a GPU goes on while the next batch is made ready.
  struct StartedBatch {
    Clock::time_point start;
    std::vector<std::int32_t> classes;
  };
  std::deque<StartedBatch> under_way_;
  Clock::time_point last_end_;  // of a step
  Clock::time_point saved_ = Clock::now();
  Clock::time_point logged_ = Clock::now();
  bool warned_of_logs_ = false;
};

void train(const Model& model, const TrainOptions& options) {
  if (options.resume && options.checkpoint.empty()) {
    throw Error(ErrorKind::usage, "--resume: say what to continue by --checkpoint DIR");
  }
  require_data(model.description);
  require_classifier(model.description);
  use_threads(model, options.threads);
  Trainer(model, options).run();
}

}  // namespace

void add_train_command(CLI::App& app, const Model& model) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "Train by the recipe of the model's `train` clause");
  command->add_option("--data", options->data, "folder of the data set")->type_name("DIR")->capture_default_str();
  command->add_option("--epochs", options->epochs, "passes over the training data")->type_name("E");
  command->add_option("--limit", options->limit, "use the first N examples of the training and of the test data")
      ->check(above_zero())
      ->type_name("N");
  add_device_option(*command, options->device);
  add_thread_options(*command, options->threads);
  command->add_option("--seed", options->seed, "seed of everything that is random")->type_name("S");
  command->add_option("--checkpoint", options->checkpoint, "folder to save the run to, and the best weights")
      ->type_name("DIR");
  command->add_option("--checkpoint-seconds", options->checkpoint_seconds, "save within an epoch, too, every S seconds")
      ->check(at_least_zero())
      ->type_name("S")
      ->capture_default_str();
  command->add_flag("--resume", options->resume, "continue the run in the checkpoint folder");
  command->add_option("--log", options->log, "folder for curves.svg, curves.csv, progress.csv, metrics.jsonl")
      ->type_name("DIR");
  command->add_option("--save", options->save, "write the final weights to this safetensors file")->type_name("FILE");
  command->add_option("--set", options->set, "change a setting of the `train` clause, written as there")
      ->type_name("train.NAME=VALUE")
      ->allow_extra_args(false);
  command->footer(
      "Settings, such as --set train.batch=64, --set train.optimizer.lr=0.1 (or train.lr), or\n"
      "--set 'train.optimizer=adam(lr = 0.001)':\n" +
      describe_settings());
  command->callback([&model, options] { train(model, *options); });
}

}  // namespace netc

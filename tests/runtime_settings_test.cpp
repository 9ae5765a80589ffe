// The table of settings, recipes as lists, and values of `--set`.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <string>
#include <variant>

#include "netc/overrides.h"
#include "netc/random.h"
#include "netc/settings.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

Recipe recipe_with(const std::vector<std::string>& assignments) {
  Recipe recipe{.data = {.name = "fashion_mnist"}};
  apply_overrides(recipe, assignments);
  check_recipe(recipe);
  return recipe;
}

TEST_CASE("values reach the recipe") {
  const Recipe recipe =
      recipe_with({"train.batch=64", "train.epochs=7", "train.seed=9007199254740993",
                   "train.optimizer=adamw(0.01, betas = (0.8, 0.99), eps=1e-6)", "train.warmup=0.5",
                   "train.schedule=step(step_size = 3)", "train.clip_grad_norm=2", "train.clip_grad_value=.5",
                   "train.validation=0.1", "train.early_stop=4", "train.warmup_start_factor=0.25",
                   "train.data.resize=32", "train.augment=(flip, crop(4), color(contrast = 0.3))"});
  CHECK(recipe.batch == 64);
  CHECK(recipe.epochs == 7);
  CHECK(recipe.seed == 9007199254740993);
  CHECK(recipe.optimizer.name == "adamw");
  CHECK(recipe.optimizer.lr == 0.01);
  CHECK(recipe.optimizer.betas == std::array<double, 2>{0.8, 0.99});
  CHECK(recipe.optimizer.eps == 1e-6);
  CHECK(recipe.optimizer.weight_decay == 0.01);  // PyTorch's for AdamW
  CHECK(recipe.schedule.name == "step");
  CHECK(recipe.schedule.step_size == 3);
  CHECK(recipe.schedule.gamma == 0.1);
  CHECK(recipe.warmup == 0.5);
  CHECK(recipe.warmup_start_factor == 0.25);
  CHECK(recipe.clip_grad_norm == 2);
  CHECK(recipe.clip_grad_value == 0.5);
  CHECK(recipe.augment.flip.p == 0.5);
  CHECK(recipe.augment.crop.pad == 4);
  CHECK(recipe.augment.color.brightness == 0);
  CHECK(recipe.augment.color.contrast == 0.3);
  CHECK(recipe.validation == 0.1);
  CHECK(recipe.early_stop == 4);
  CHECK(recipe.data.resize == 32);
}

TEST_CASE("fractions are numbers as in a `train` clause") {
  const Recipe recipe = recipe_with(
      {"train.warmup=1/2", "train.batch=-128/-2", "train.optimizer=adam(lr = 1 / 100, betas = (9/10, 99/100))"});
  CHECK(recipe.warmup == 0.5);
  CHECK(recipe.batch == 64);
  CHECK(recipe.optimizer.lr == 0.01);
  CHECK(recipe.optimizer.betas == std::array<double, 2>{0.9, 0.99});
  const auto fails = [](const std::string& assignment, const std::string& why) {
    test::check_error(ErrorKind::usage, {"--set " + assignment + ": ", why}, [&] { recipe_with({assignment}); });
  };
  fails("train.batch=6/-4", "batch = -3/2 is not a whole number");
  fails("train.optimizer=2/4", "the fraction 1/2");
  fails("train.warmup=1/0", "division by zero");
  fails("train.warmup=1/", "expected an int behind '/', found the end");
  fails("train.warmup=1/x", "expected an int behind '/', found 'x'");
  fails("train.warmup=1/2.5", "expected an int behind '/', found '2.5'");
  fails("train.warmup=1/2/3", "expected the end, found '/3'");
  fails("train.warmup=1/-9223372036854775808", "too large");
}

TEST_CASE("a choice begins anew, an argument changes what is chosen, short paths too") {
  const Recipe adam = recipe_with({"train.momentum=0.9", "train.nesterov=true", "train.optimizer=adam"});
  CHECK(adam.optimizer.lr == 1e-3);
  CHECK(adam.optimizer.momentum == 0);
  CHECK(!adam.optimizer.nesterov);
  CHECK(adam.optimizer.weight_decay == 0);
  CHECK(recipe_with({"train.nesterov=true", "train.optimizer.momentum=0.9"}).optimizer.nesterov);
  CHECK(recipe_with({"train.optimizer=adam", "train.eps=0.5", "train.betas=(0, 0.5)"}).optimizer.eps == 0.5);
  CHECK(recipe_with({"train.schedule=cosine(3)", "train.eta_min=1e-4"}).schedule.eta_min == 1e-4);
  const AugmentRecipe augment = recipe_with({"train.augment=(crop(3), flip(1))", "train.augment=flip"}).augment;
  CHECK(augment.crop.pad == 0);
  CHECK(augment.flip.p == 0.5);
  CHECK(recipe_with({"train.augment=flip", "train.augment=none"}).augment.flip.p == 0);
}

TEST_CASE("a recipe as a list has what was chosen") {
  std::map<std::string, RecipeEntry> list;
  for (const RecipeEntry& entry : entries(recipe_with({"train.optimizer=adam", "train.augment=(flip)"}))) {
    list.emplace(entry.path, entry);
  }
  CHECK(std::get<std::string>(list.at("optimizer.name").value) == "adam");
  CHECK(!list.at("optimizer.name").is_default);
  CHECK(list.at("optimizer.lr").is_default);
  CHECK(list.contains("optimizer.betas"));
  CHECK(!list.contains("optimizer.momentum"));
  CHECK(std::get<double>(list.at("augment.flip.p").value) == 0.5);
  CHECK(!list.contains("augment.crop.pad"));
  CHECK(std::get<int>(list.at("batch").value) == 32);
}

TEST_CASE("broken values are refused, whatever they are") {
  const std::string seeds[] = {"train.optimizer=adam(lr = 0.01, betas = (0.9, 0.99))",
                               "train.augment=(flip, crop(pad = 4))", "train.warmup=1e-3"};
  const std::string alphabet = "(),=. -+/eabflrx019_\xff\n";
  RandomStream random(1, "settings");
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = seeds[random.below(3)];
    for (std::uint32_t edits = 1 + random.below(4); edits > 0; --edits) {
      const std::size_t at = random.below(static_cast<std::uint32_t>(text.size()));
      const char letter = alphabet[random.below(static_cast<std::uint32_t>(alphabet.size()))];
      if (random.below(2) == 0) text[at] = letter;
      if (random.below(3) == 0) text.insert(at, 1, letter);
      if (random.below(4) == 0 && text.size() > 1) text.erase(at, 1);
    }
    try {
      recipe_with({text});
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::usage);
      ++refused;
    }
  }
  CHECK(refused > 10000);
}

TEST_CASE("recipes that were not read are checked as well") {
  const auto fails = [](const Recipe& recipe, const std::vector<std::string>& texts) {
    test::check_error(ErrorKind::usage, texts, [&] { check_recipe(recipe); });
  };
  check_recipe({});
  fails({.batch = 0}, {"batch", "found 0"});
  fails({.optimizer = {.lr = -1}}, {"optimizer.lr", "found -1"});
  fails({.optimizer = {.name = "adam", .betas = {0.9, 1}}}, {"optimizer.betas", "below 1"});
  fails({.schedule = {.name = "step"}}, {"schedule.step_size", "from 1"});
  fails({.epochs = 1, .warmup = 2}, {"warm-up"});
}

TEST_CASE("every setting is in the language reference and in --help") {
  const std::string reference = test::read_text("dsl/README.md");
  const std::string help = describe_settings();
  const auto check = [&](const std::string& name) {
    CAPTURE(name);
    CHECK(reference.find(name) != std::string::npos);
    CHECK(help.find(name) != std::string::npos);
  };
  for (const Setting& setting : train_settings()) {
    check(setting.name);
    for (const SettingChoice& choice : setting.choices) {
      check(choice.name);
      for (const SettingField& argument : choice.arguments) check(argument.name);
    }
  }
}

}  // namespace
}  // namespace netc

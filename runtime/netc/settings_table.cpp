// What can be set in a `train` clause, and where a recipe keeps it.
#include <fmt/format.h>

#include <algorithm>

#include "netc/dataset.h"
#include "netc/settings.h"

namespace netc {

namespace {

constexpr double largest_int = std::numeric_limits<int>::max();
constexpr SettingRange one_or_more{1, largest_int};
constexpr SettingRange none_or_more{0, largest_int};
constexpr SettingRange not_negative{};
constexpr SettingRange share{0, 1};
constexpr SettingRange below_one{0, 1, false, true};
constexpr SettingRange positive{0, std::numeric_limits<double>::max(), true};
constexpr SettingRange positive_share{0, 1, true};

/// The member of a recipe that these lead to, one through the other.
template <auto... members>
SettingTarget at(Recipe& recipe) {
  return &(recipe.*....*members);
}

constexpr auto optimizer = &Recipe::optimizer;
constexpr auto schedule = &Recipe::schedule;
constexpr auto augment = &Recipe::augment;

Setting number(const char* name, const char* doc, SettingTarget (*target)(Recipe&), SettingRange range,
               bool always = false) {
  return {.name = name, .doc = doc, .number = SettingField{name, doc, target, range}, .always = always};
}

Setting data() {
  Setting setting{.name = "data", .doc = "the data set", .always = true};
  for (const DataSet& set : data_sets()) {
    setting.choices.push_back(
        {set.name, set.doc, {{"resize", "pixels a side", at<&Recipe::data, &DataRecipe::resize>, one_or_more}}});
  }
  setting.chosen = [](Recipe& recipe) { return &recipe.data.name; };
  return setting;
}

SettingField lr() {
  return {"lr", "the learning rate", at<optimizer, &OptimizerRecipe::lr>, not_negative};
}

SettingField weight_decay(std::optional<double> preset = {}) {
  return {
      "weight_decay", "pulls parameters towards 0", at<optimizer, &OptimizerRecipe::weight_decay>, not_negative, false,
      preset};
}

SettingField betas() {
  return {"betas", "how much of the running means is kept in a step", at<optimizer, &OptimizerRecipe::betas>,
          below_one};
}

SettingField eps() {
  return {"eps", "added to the divisor", at<optimizer, &OptimizerRecipe::eps>, not_negative};
}

Setting optimizers() {
  const SettingField momentum{"momentum", "how much of the last step is kept",
                              at<optimizer, &OptimizerRecipe::momentum>, not_negative};
  const SettingField nesterov{"nesterov", "looks ahead along the momentum", at<optimizer, &OptimizerRecipe::nesterov>};
  return {
      .name = "optimizer",
      .doc = "how parameters move",
      .choices = {{"sgd", "stochastic gradient descent", {lr(), momentum, weight_decay(), nesterov}},
                  {"adam", "Adam", {lr(), betas(), eps(), weight_decay()}},
                  {"adamw", "Adam, weight decay apart from the gradient", {lr(), betas(), eps(), weight_decay(0.01)}}},
      .chosen = [](Recipe& recipe) { return &recipe.optimizer.name; },
      .always = true};
}

Setting schedules() {
  const SettingField step_size{"step_size", "epochs between two changes", at<schedule, &ScheduleRecipe::step_size>,
                               one_or_more, true};
  const SettingField gamma{"gamma", "the factor of a change", at<schedule, &ScheduleRecipe::gamma>, positive};
  const SettingField t_max{"t_max", "epochs to the lowest rate; 0: all behind the warm-up",
                           at<schedule, &ScheduleRecipe::t_max>, none_or_more};
  const SettingField eta_min{"eta_min", "the lowest rate", at<schedule, &ScheduleRecipe::eta_min>, not_negative};
  return {.name = "schedule",
          .doc = "how the learning rate changes from epoch to epoch",
          .choices = {{"constant", "stays as it is"},
                      {"step", "times gamma every step_size epochs", {step_size, gamma}},
                      {"cosine", "falls along half a cosine", {t_max, eta_min}}},
          .chosen = [](Recipe& recipe) { return &recipe.schedule.name; }};
}

Setting augmentations() {
  using Recipes = AugmentRecipe;
  const SettingField p{"p", "how likely", at<augment, &Recipes::flip, &Recipes::Flip::p>, positive_share, false, 0.5};
  const SettingField pad{"pad", "black pixels around the image", at<augment, &Recipes::crop, &Recipes::Crop::pad>,
                         one_or_more, true};
  const SettingField brightness{"brightness", "a factor from 1 - brightness to 1 + brightness",
                                at<augment, &Recipes::color, &Recipes::Color::brightness>, not_negative};
  const SettingField contrast{"contrast", "a factor from 1 - contrast to 1 + contrast",
                              at<augment, &Recipes::color, &Recipes::Color::contrast>, not_negative};
  return {.name = "augment",
          .doc = "random changes to training images: one, or several as (flip, crop(pad = 4))",
          .choices = {{"none", "no change"},
                      {"flip", "left and right change places", {p}},
                      {"crop", "a part as large as the image, of the padded image", {pad}},
                      {"color", "other brightness and contrast", {brightness, contrast}}}};
}

std::string argument_list(const SettingChoice& choice) {
  std::string text;
  for (const SettingField& argument : choice.arguments) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", argument.name);
  }
  return text.empty() ? choice.name : fmt::format("{}({})", choice.name, text);
}

RecipeEntry entry(std::string path, const SettingField& field, const Recipe& recipe) {
  Recipe copy = recipe;  // targets are not const
  return std::visit(
      [&](const auto* value) {
        return RecipeEntry{std::move(path), *value, is_default(field, recipe)};
      },
      field.target(copy));
}

/// Of a setting that takes several choices: those with a value that is not the default.
bool is_given(const SettingChoice& choice, const Recipe& recipe) {
  return std::any_of(choice.arguments.begin(), choice.arguments.end(),
                     [&](const SettingField& argument) { return !is_default(argument, recipe); });
}

void add_choices(const Setting& setting, const Recipe& recipe, std::vector<RecipeEntry>& list) {
  Recipe copy = recipe;
  Recipe fresh;
  for (const SettingChoice& choice : setting.choices) {
    const bool several = setting.chosen == nullptr;
    if (several ? !is_given(choice, recipe) : *setting.chosen(copy) != choice.name) continue;
    const std::string prefix = several ? fmt::format("{}.{}", setting.name, choice.name) : setting.name;
    if (!several) list.push_back({prefix + ".name", choice.name, *setting.chosen(fresh) == choice.name});
    for (const SettingField& argument : choice.arguments) {
      list.push_back(entry(fmt::format("{}.{}", prefix, argument.name), argument, recipe));
    }
  }
}

}  // namespace

const std::vector<Setting>& train_settings() {
  static const std::vector<Setting> table{
      data(),
      number("batch", "examples a step", at<&Recipe::batch>, one_or_more, true),
      number("epochs", "passes over the data", at<&Recipe::epochs>, one_or_more, true),
      optimizers(),
      schedules(),
      number("warmup", "epochs in which the rate rises to lr", at<&Recipe::warmup>, not_negative),
      number("warmup_start_factor", "the share of lr at which the warm-up begins", at<&Recipe::warmup_start_factor>,
             positive_share),
      number("clip_grad_norm", "the largest norm of all gradients; 0: any", at<&Recipe::clip_grad_norm>, not_negative),
      number("clip_grad_value", "the largest element of a gradient; 0: any", at<&Recipe::clip_grad_value>,
             not_negative),
      augmentations(),
      number("validation", "a share or number of the training examples that is held out to validate",
             at<&Recipe::validation>, not_negative),
      number("early_stop", "ends the run after so many epochs without a lower validation loss; 0: never",
             at<&Recipe::early_stop>, none_or_more),
      number("seed", "of initial values, order, dropout, augmentation and validation", at<&Recipe::seed>, not_negative,
             true),
  };
  return table;
}

const SettingChoice* Setting::find(std::string_view choice) const {
  const auto found =
      std::find_if(choices.begin(), choices.end(), [&](const SettingChoice& c) { return c.name == choice; });
  return found == choices.end() ? nullptr : &*found;
}

bool is_default(const SettingField& field, const Recipe& recipe) {
  Recipe copy = recipe;
  Recipe fresh;
  const SettingTarget before = field.target(fresh);
  return std::visit([&](auto* value) { return *value == *std::get<decltype(value)>(before); }, field.target(copy));
}

void reset(const SettingField& field, Recipe& recipe) {
  Recipe fresh;
  const SettingTarget before = field.target(fresh);
  std::visit([&](auto* value) { *value = *std::get<decltype(value)>(before); }, field.target(recipe));
}

std::string describe_settings() {
  std::string text;
  for (const Setting& setting : train_settings()) {
    text += fmt::format("  {:<46}{}\n", setting.name, setting.doc);
    for (const SettingChoice& choice : setting.choices) {
      text += fmt::format("    {:<44}{}\n", argument_list(choice), choice.doc);
    }
  }
  return text;
}

std::vector<RecipeEntry> entries(const Recipe& recipe) {
  std::vector<RecipeEntry> list;
  for (const Setting& setting : train_settings()) {
    if (setting.number) {
      list.push_back(entry(setting.name, *setting.number, recipe));
    } else {
      add_choices(setting, recipe, list);
    }
  }
  return list;
}

}  // namespace netc

// Reads values into a recipe by the table of settings.
#include "netc/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "netc/dataset.h"
#include "netc/suggest.h"

namespace netc {

namespace {

template <class Item>
std::vector<std::string> names_of(const std::vector<Item>& items) {
  std::vector<std::string> names;
  for (const Item& item : items) names.emplace_back(item.name);
  return names;
}

template <class Item>
const Item* find(const std::vector<Item>& items, const std::string& name) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.name == name; });
  return found == items.end() ? nullptr : &*found;
}

/// "did you mean `batch`?", or else `otherwise`.
std::string suggestion(const std::string& name, const std::vector<std::string>& names, const std::string& otherwise) {
  const std::string* found = nearest(name, names);
  return found == nullptr ? otherwise : fmt::format("did you mean `{}`?", *found);
}

/// "the int 3"
std::string described(const SettingValue& value) {
  static constexpr const char* kinds[] = {"the int ", "the fraction ", "the float ", "the bool ", "", "the tuple ", ""};
  return value.kind == SettingValue::Kind::name ? fmt::format("`{}`", value.text)
                                                : kinds[static_cast<int>(value.kind)] + value.text;
}

/// "at least 0", "from 1 to 10", "above 0 and at most 1"
std::string described(const SettingRange& range) {
  const bool limited = range.most != SettingRange{}.most;
  if (limited && !range.above && !range.below) return fmt::format("from {} to {:.17g}", range.least, range.most);
  const std::string least = fmt::format("{} {}", range.above ? "above" : "at least", range.least);
  if (!limited) return least;
  return fmt::format("{} and {} {:.17g}", least, range.below ? "below" : "at most", range.most);
}

}  // namespace

// ---- Settings and choices -------------------------------------------------------------------------------------------

void RecipeReader::refuse(const std::string& name, int place) {
  const std::string message = fmt::format("`train` has no setting `{}`", name);
  if (name == "label_smoothing") {
    return problem(Kind::unknown, place, message, "write `loss cross_entropy(label_smoothing = 0.1);`");
  }
  for (const Setting& setting : train_settings()) {
    for (const SettingChoice& choice : setting.choices) {
      if (find(choice.arguments, name) == nullptr) continue;
      return problem(Kind::unknown, place, message,
                     fmt::format("it is an argument: {} = {}({} = …)", setting.name, choice.name, name));
    }
  }
  const std::vector<std::string> known = names_of(train_settings());
  problem(Kind::unknown, place, message,
          suggestion(name, known, fmt::format("the settings are {}", fmt::join(known, ", "))));
}

void RecipeReader::assign(const std::string& path, const SettingValue& value) {
  const std::size_t dot = path.find('.');
  const Setting* setting = find(train_settings(), path.substr(0, dot));
  if (setting != nullptr && dot == std::string::npos) return assign(*setting, value);
  if (setting != nullptr && setting->chosen != nullptr) return assign_argument(*setting, path.substr(dot + 1), value);
  if (setting != nullptr) {
    return problem(Kind::unknown, value.place, fmt::format("`{}` is set as a whole", setting->name),
                   fmt::format("set {} = {}", setting->name, setting->number ? "a number" : "(flip, crop(pad = 4))"));
  }
  for (const Setting& candidate : train_settings()) {
    if (candidate.chosen == nullptr || dot != std::string::npos) continue;
    const SettingChoice* choice = current(candidate);
    if (choice != nullptr && find(choice->arguments, path) != nullptr) return assign_argument(candidate, path, value);
  }
  unknown_path(path, value.place);
}

void RecipeReader::unknown_path(const std::string& path, int place) {
  std::vector<std::string> known = names_of(train_settings());
  for (const Setting& setting : train_settings()) {
    const SettingChoice* choice = setting.chosen != nullptr ? current(setting) : nullptr;
    if (choice == nullptr) continue;
    for (const std::string& name : names_of(choice->arguments)) {
      known.push_back(name);
      known.push_back(fmt::format("{}.{}", setting.name, name));
    }
  }
  problem(Kind::unknown, place, fmt::format("`train` has no setting `{}`", path),
          suggestion(path, known, fmt::format("the settings are {}", fmt::join(names_of(train_settings()), ", "))));
}

void RecipeReader::assign(const Setting& setting, const SettingValue& value) {
  places_[setting.name] = value.place;
  if (setting.number) return assign_field(setting.name, setting.name, *setting.number, value);
  std::vector<const SettingValue*> values;
  if (setting.chosen == nullptr && value.kind == SettingValue::Kind::tuple) {
    for (const auto& [name, element] : value.parts) values.push_back(&element);
  } else {
    values.push_back(&value);
  }
  choose(setting, values);
}

/// Every argument of the setting begins anew.
void RecipeReader::choose(const Setting& setting, const std::vector<const SettingValue*>& values) {
  std::vector<std::pair<const SettingChoice*, const SettingValue*>> chosen;
  std::set<const SettingChoice*> seen;
  for (const SettingValue* value : values) {
    const SettingChoice* choice = find_choice(setting, *value);
    if (choice == nullptr) continue;
    if (seen.insert(choice).second) {
      chosen.emplace_back(choice, value);
    } else {
      problem(Kind::argument_twice, value->place, fmt::format("`{}` is given twice", choice->name));
    }
  }
  if (chosen.empty()) return;
  for (const SettingChoice& choice : setting.choices) {
    for (const SettingField& argument : choice.arguments) reset(argument, recipe_);
  }
  for (const auto& [choice, value] : chosen) bind(setting, *choice, *value);
}

const SettingChoice* RecipeReader::find_choice(const Setting& setting, const SettingValue& value) {
  const std::vector<std::string> known = names_of(setting.choices);
  if (value.kind != SettingValue::Kind::name) {
    problem(Kind::unknown, value.place,
            fmt::format("`{}` takes a name such as `{}`, found {}", setting.name, known.back(), described(value)));
    return nullptr;
  }
  const SettingChoice* choice = setting.find(value.text);
  if (choice == nullptr) {
    problem(Kind::unknown, value.place, fmt::format("`{}` is no {} that netc knows", value.text, setting.name),
            suggestion(value.text, known, fmt::format("it knows {}", fmt::join(known, ", "))));
  }
  return choice;
}

const SettingChoice* RecipeReader::current(const Setting& setting) const {
  return setting.find(*setting.chosen(recipe_));
}

// ---- Arguments ------------------------------------------------------------------------------------------------------

void RecipeReader::bind(const Setting& setting, const SettingChoice& choice, const SettingValue& call) {
  if (setting.chosen != nullptr) *setting.chosen(recipe_) = choice.name;
  for (const SettingField& argument : choice.arguments) {
    if (argument.preset) *std::get<double*>(argument.target(recipe_)) = *argument.preset;
  }
  std::set<std::string> given;
  for (std::size_t i = 0; i < call.parts.size(); ++i) {
    const auto& [name, value] = call.parts[i];
    const SettingField* field = find_argument(choice, call, i);
    if (field == nullptr) continue;
    if (given.insert(field->name).second) {
      assign_field(fmt::format("{}.{}", setting.name, field->name), fmt::format("{}: {}", choice.name, field->name),
                   *field, value);
    } else {
      problem(Kind::argument_twice, value.place,
              fmt::format("{}: the argument `{}` is given twice", choice.name, field->name));
    }
  }
  for (const SettingField& argument : choice.arguments) {
    if (!argument.required || given.contains(argument.name)) continue;
    problem(Kind::missing_argument, call.place, fmt::format("{}: missing argument `{}`", choice.name, argument.name));
  }
}

/// What the call's argument `i` stands for, by name or by place.
const SettingField* RecipeReader::find_argument(const SettingChoice& choice, const SettingValue& call, std::size_t i) {
  const auto& [name, value] = call.parts[i];
  if (!name.empty()) {
    const SettingField* field = find(choice.arguments, name);
    if (field == nullptr) unknown_argument(choice, name, value.place);
    return field;
  }
  if (i > 0 && !call.parts[i - 1].first.empty()) {
    problem(Kind::positional_behind_named, value.place, "a positional argument after a named one");
    return nullptr;
  }
  if (i < choice.arguments.size()) return &choice.arguments[i];
  problem(Kind::too_many_arguments, value.place,
          fmt::format("{} takes at most {} argument{}, {} given", choice.name, choice.arguments.size(),
                      choice.arguments.size() == 1 ? "" : "s", call.parts.size()));
  return nullptr;
}

void RecipeReader::assign_argument(const Setting& setting, const std::string& name, const SettingValue& value) {
  const SettingChoice* choice = current(setting);
  if (choice == nullptr) {
    return problem(Kind::unknown, value.place, fmt::format("the recipe has no `{}`", setting.name));
  }
  const SettingField* field = find(choice->arguments, name);
  if (field == nullptr) return unknown_argument(*choice, name, value.place);
  assign_field(fmt::format("{}.{}", setting.name, name), fmt::format("{}: {}", choice->name, name), *field, value);
}

void RecipeReader::unknown_argument(const SettingChoice& choice, const std::string& name, int place) {
  const std::vector<std::string> known = names_of(choice.arguments);
  const std::string all = known.empty() ? fmt::format("{} takes no arguments", choice.name)
                                        : fmt::format("{} takes {}", choice.name, fmt::join(known, ", "));
  problem(Kind::unknown_argument, place, fmt::format("{} has no argument `{}`", choice.name, name),
          suggestion(name, known, all));
}

// ---- Values ---------------------------------------------------------------------------------------------------------

void RecipeReader::assign_field(const std::string& path, const std::string& what, const SettingField& field,
                                const SettingValue& value) {
  places_[path] = value.place;
  std::visit([&](auto* target) { read({what, field.range, value}, *target); }, field.target(recipe_));
}

void RecipeReader::read(const Given& given, int& target) {
  if (const auto number = whole(given)) target = static_cast<int>(*number);
}

void RecipeReader::read(const Given& given, std::uint64_t& target) {
  if (const auto number = whole(given)) target = static_cast<std::uint64_t>(*number);
}

void RecipeReader::read(const Given& given, double& target) {
  if (const auto number = real(given)) target = *number;
}

void RecipeReader::read(const Given& given, bool& target) {
  if (given.value.kind != SettingValue::Kind::boolean) return wrong_type(given, "true or false");
  target = given.value.boolean;
}

void RecipeReader::read(const Given& given, std::array<double, 2>& target) {
  const SettingValue& value = given.value;
  if (value.kind != SettingValue::Kind::tuple || value.parts.size() != 2) {
    return wrong_type(given, "a pair of numbers such as (0.9, 0.999)");
  }
  const auto first = real({given.what, given.range, value.parts[0].second});
  const auto second = real({given.what, given.range, value.parts[1].second});
  if (first && second) target = {*first, *second};
}

std::optional<double> RecipeReader::real(const Given& given) {
  const SettingValue& value = given.value;
  using Value = SettingValue::Kind;
  if (value.kind != Value::integer && value.kind != Value::fraction && value.kind != Value::real) {
    wrong_type(given, "a number");
    return std::nullopt;
  }
  if (!in_range(given.what, given.range, value.real, value.text, value.place)) return std::nullopt;
  return value.real;
}

std::optional<std::int64_t> RecipeReader::whole(const Given& given) {
  const SettingValue& value = given.value;
  if (value.kind == SettingValue::Kind::fraction) {
    problem(Kind::not_whole, value.place, fmt::format("{} = {} is not a whole number", given.what, value.text));
    return std::nullopt;
  }
  if (value.kind != SettingValue::Kind::integer) {
    wrong_type(given, "an int");
    return std::nullopt;
  }
  if (!in_range(given.what, given.range, value.real, value.text, value.place)) return std::nullopt;
  return value.integer;
}

void RecipeReader::wrong_type(const Given& given, const char* expected) {
  problem(Kind::wrong_type, given.value.place,
          fmt::format("{} must be {}, found {}", given.what, expected, described(given.value)));
}

bool RecipeReader::in_range(const std::string& what, const SettingRange& range, double value, const std::string& text,
                            int place) {
  const bool low_enough = range.below ? value < range.most : value <= range.most;
  const bool high_enough = range.above ? value > range.least : value >= range.least;
  if (low_enough && high_enough) return true;
  problem(Kind::out_of_range, place, fmt::format("{} must be {}, found {}", what, described(range), text));
  return false;
}

// ---- The whole recipe -----------------------------------------------------------------------------------------------

void RecipeReader::check() {
  check_ranges();
  check_optimizer();
  check_schedule();
  check_data();
}

/// Of a recipe that was filled by other means, too. What an argument is when left out need not lie in its range.
void RecipeReader::check_ranges() {
  for (const Setting& setting : train_settings()) {
    if (setting.number) check_range(setting.name, *setting.number);
    const SettingChoice* choice = setting.chosen != nullptr ? current(setting) : nullptr;
    if (choice == nullptr) continue;
    for (const SettingField& argument : choice->arguments) {
      if (argument.required || !is_default(argument, recipe_)) {
        check_range(fmt::format("{}.{}", setting.name, argument.name), argument);
      }
    }
  }
}

void RecipeReader::check_range(const std::string& path, const SettingField& field) {
  const auto check = [&](double value) {
    in_range(path, field.range, value, fmt::format("{}", value), place_of(path));
  };
  const SettingTarget target = field.target(recipe_);
  if (auto* const* pair = std::get_if<std::array<double, 2>*>(&target)) {
    for (double value : **pair) check(value);
  } else if (auto* const* real = std::get_if<double*>(&target)) {
    check(**real);
  } else if (auto* const* integer = std::get_if<int*>(&target)) {
    check(**integer);
  }
}

void RecipeReader::check_optimizer() {
  const OptimizerRecipe& recipe = recipe_.optimizer;
  if (!recipe.nesterov || recipe.momentum != 0) return;
  problem(Kind::contradiction, place_of("optimizer.nesterov"), "nesterov needs a momentum",
          "write sgd(…, momentum = 0.9, nesterov = true)");
}

void RecipeReader::check_schedule() {
  if (recipe_.warmup > recipe_.epochs) {
    problem(Kind::contradiction, place_of("warmup"),
            fmt::format("the warm-up of {} epochs is longer than the training of {}", recipe_.warmup, recipe_.epochs),
            "give it fewer epochs, or the training more");
  }
  const ScheduleRecipe& schedule = recipe_.schedule;
  if (schedule.name == "cosine" && schedule.eta_min > recipe_.optimizer.lr) {
    problem(Kind::contradiction, place_of("schedule.eta_min"),
            fmt::format("the lowest rate, {}, is above the learning rate, {}", schedule.eta_min, recipe_.optimizer.lr),
            "choose an eta_min below lr");
  }
}

void RecipeReader::check_data() {
  const double held_out = recipe_.validation;
  if (recipe_.early_stop > 0 && held_out == 0) {
    problem(Kind::contradiction, place_of("early_stop"), "early_stop watches the validation loss: there is none",
            "hold out a part of the training data: validation = 0.1");
  }
  if (held_out > 1 && held_out != std::floor(held_out)) {
    problem(Kind::contradiction, place_of("validation"),
            fmt::format("validation = {} is neither a share below 1 nor a whole number of examples", held_out));
  }
  const DataSet* set = find_data_set(recipe_.data.name);
  if (set == nullptr) return;
  if (held_out >= static_cast<double>(set->examples)) {
    problem(Kind::contradiction, place_of("validation"),
            fmt::format("validation holds out {} of the {} training examples: none is left", held_out, set->examples));
  }
  const int side = recipe_.data.resize > 0 ? recipe_.data.resize : set->pixels;
  if (recipe_.augment.crop.pad >= side) {
    problem(Kind::contradiction, place_of("augment.pad"),
            fmt::format("a pad of {} is as large as the image of {} x {}", recipe_.augment.crop.pad, side, side),
            "crops could miss the image: choose a smaller pad");
  }
}

/// Of what was assigned, or of the setting that it is an argument of.
int RecipeReader::place_of(const std::string& path) const {
  const auto found = places_.find(path);
  if (found != places_.end()) return found->second;
  const auto setting = places_.find(path.substr(0, path.find('.')));
  return setting == places_.end() ? -1 : setting->second;
}

void RecipeReader::problem(Kind kind, int place, std::string message, std::string help) {
  problems_.push_back({kind, place, std::move(message), std::move(help)});
}

}  // namespace netc

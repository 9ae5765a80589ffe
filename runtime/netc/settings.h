// The settings of a `train` clause as one table: names, types, ranges, meaning. The compiler reads clauses by it, a
// model's program reads `--set train.…`, and both say the same about a mistake.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "netc/recipe.h"

namespace netc {

// ---- The table ------------------------------------------------------------------------------------------------------

/// Where a number of a recipe is kept.
using SettingTarget = std::variant<int*, std::uint64_t*, double*, bool*, std::array<double, 2>*>;

struct SettingRange {
  double least = 0;
  double most = std::numeric_limits<double>::max();
  bool above = false;  // `least` itself is outside
  bool below = false;  // `most` itself is outside
};

/// A number, a truth value or a pair of numbers: `batch = 64`, the `lr` of `sgd(lr = 0.1)`.
struct SettingField {
  const char* name;
  const char* doc;
  SettingTarget (*target)(Recipe& recipe);
  SettingRange range{};
  bool required = false;           // as an argument
  std::optional<double> preset{};  // of an argument that is left out, where it differs from a new Recipe's
};

/// A name with arguments: `sgd(lr = 0.1)`.
struct SettingChoice {
  const char* name;
  const char* doc;
  std::vector<SettingField> arguments{};
};

/// Either one number, or a choice among names, or several of these.
struct Setting {
  const char* name;
  const char* doc;
  std::optional<SettingField> number{};
  std::vector<SettingChoice> choices{};
  std::string* (*chosen)(Recipe& recipe) = nullptr;  // where the name is kept; none: several may be given
  bool always = false;                               // generated code states it where it is the default, too

  const SettingChoice* find(std::string_view choice) const;
};

/// Whether the recipe has what a new one has, and makes it so.
bool is_default(const SettingField& field, const Recipe& recipe);
void reset(const SettingField& field, Recipe& recipe);

/// In the order of Recipe's members.
const std::vector<Setting>& train_settings();

/// One line a setting and a choice, for `--help`.
std::string describe_settings();

// ---- A recipe as a list ---------------------------------------------------------------------------------------------

/// `optimizer.lr` and its value; the name of a choice is called `optimizer.name`.
struct RecipeEntry {
  std::string path;
  std::variant<int, std::uint64_t, double, bool, std::array<double, 2>, std::string> value;
  bool is_default = false;
};

/// Everything that a recipe says: of a choice only the arguments that it has.
std::vector<RecipeEntry> entries(const Recipe& recipe);

// ---- Reading --------------------------------------------------------------------------------------------------------

/// A value as it stands in a `train` clause or behind `--set`.
struct SettingValue {
  enum class Kind { integer, fraction, real, boolean, name, tuple, other };
  Kind kind = Kind::other;
  std::int64_t integer = 0;
  double real = 0;  // of all numbers
  bool boolean = false;
  /// Of a name, `sgd(lr = 0.1)`: arguments, "" for one without a name; of a tuple: its elements.
  std::vector<std::pair<std::string, SettingValue>> parts{};
  std::string text{};  // as written: "0.1", "sgd"; of `other` with its type
  int place = -1;      // where it stands: the reader of the text knows
};

/// A mistake, and where: the place of a SettingValue, or -1.
struct SettingProblem {
  enum class Kind {
    unknown,  // setting or choice
    wrong_type,
    not_whole,
    out_of_range,
    unknown_argument,
    too_many_arguments,
    positional_behind_named,
    argument_twice,
    missing_argument,
    contradiction,
  };
  Kind kind;
  int place;
  std::string message;
  std::string help{};
};

/// Fills a recipe, setting by setting. A number with a mistake is not stored.
class RecipeReader {
 public:
  explicit RecipeReader(Recipe& recipe) : recipe_(recipe) {}

  /// `setting = value`: one that is left out of a choice gets its default.
  void assign(const Setting& setting, const SettingValue& value);
  /// The same by path: a setting (`optimizer`), an argument (`optimizer.lr`), or an argument alone (`lr`) of what is
  /// chosen at present.
  void assign(const std::string& path, const SettingValue& value);
  /// Reports that a clause can have no setting of this name.
  void refuse(const std::string& name, int place);
  /// Whether the whole makes sense, ranges included: once, at the end.
  void check();

  const std::vector<SettingProblem>& problems() const { return problems_; }

 private:
  using Kind = SettingProblem::Kind;

  /// A value and what it is to be.
  struct Given {
    const std::string& what;  // "sgd: lr", for messages
    const SettingRange& range;
    const SettingValue& value;
  };

  const SettingChoice* current(const Setting& setting) const;
  void choose(const Setting& setting, const std::vector<const SettingValue*>& values);
  const SettingChoice* find_choice(const Setting& setting, const SettingValue& value);
  void bind(const Setting& setting, const SettingChoice& choice, const SettingValue& call);
  const SettingField* find_argument(const SettingChoice& choice, const SettingValue& call, std::size_t i);
  void assign_argument(const Setting& setting, const std::string& name, const SettingValue& value);
  void assign_field(const std::string& path, const std::string& what, const SettingField& field,
                    const SettingValue& value);
  void unknown_argument(const SettingChoice& choice, const std::string& name, int place);
  void unknown_path(const std::string& path, int place);

  void read(const Given& given, int& target);
  void read(const Given& given, std::uint64_t& target);
  void read(const Given& given, double& target);
  void read(const Given& given, bool& target);
  void read(const Given& given, std::array<double, 2>& target);
  std::optional<double> real(const Given& given);
  std::optional<std::int64_t> whole(const Given& given);
  void wrong_type(const Given& given, const char* expected);
  bool in_range(const std::string& what, const SettingRange& range, double value, const std::string& text, int place);

  void check_ranges();
  void check_range(const std::string& path, const SettingField& field);
  void check_optimizer();
  void check_schedule();
  void check_data();
  int place_of(const std::string& path) const;
  void problem(Kind kind, int place, std::string message, std::string help = "");

  Recipe& recipe_;
  std::map<std::string, int> places_;  // of what was assigned, by path
  std::vector<SettingProblem> problems_;
};

}  // namespace netc

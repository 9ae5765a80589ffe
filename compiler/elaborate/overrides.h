// What `--set path=value` changes.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/elaborate/report.h"
#include "compiler/elaborate/values.h"
#include "dsl/ast.h"
#include "dsl/source.h"

namespace netc {

class Environment;

/// `train.optimizer.lr=0.1`: the path behind `train.`, and the value.
struct TrainOption {
  std::string path;
  ast::Node value;
};

/// The options of one run, parsed. Each must be taken by a `let` of the model or by a setting of its `train`.
class Overrides {
 public:
  /// Parses the options; their texts go to `sources`.
  Overrides(const std::vector<std::pair<std::string, std::string>>& options,
            std::vector<std::unique_ptr<Source>>& sources, Reporter& reporter);

  /// The value of the model's `let` called `name`: `original`, or what an option says, which must be of a like type.
  Constant let(const std::string& name, const Constant& original, const Environment& environment);

  /// The options of `train.…`, in order; without those that are no value, which are reported.
  std::vector<TrainOption> train();

  /// Reports options that nothing has taken.
  void report_unused();

 private:
  struct Option {
    std::string path;
    std::string text;  // the value as given
    ast::Node value;
    bool valid = false;
    bool used = false;
  };

  void parse(Option& option, std::vector<std::unique_ptr<Source>>& sources);
  void error(const std::string& code, const Option& option, const std::string& message, const std::string& help);

  Reporter& reporter_;
  std::vector<Option> options_;
  std::vector<std::string> known_;  // paths that could be set
};

}  // namespace netc

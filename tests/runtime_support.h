// What the tests of the runtime share: folders, captured programs, a small data set, and a network without a compiler.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "netc/network.h"

namespace netc::test {

/// The figures of peers; tests run in the root of the source tree.
inline std::filesystem::path vectors() {
  return "tests/parity/runtime";
}

/// A folder that is removed with its content.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  /// The names in it, sorted.
  std::vector<std::string> names() const;

 private:
  std::filesystem::path path_;
};

std::string read_text(const std::filesystem::path& file);
std::vector<std::string> lines_of(const std::string& text);
void write_text(const std::filesystem::path& file, std::string_view text);

/// The error that `f` throws; fails the test when it throws none.
Error error_of(const std::function<void()>& f);

/// Checks the kind of an error and that its message holds each text.
void check_error(ErrorKind kind, const std::vector<std::string>& texts, const std::function<void()>& f);

/// A gzip-compressed IDX file.
void write_idx(const std::filesystem::path& file, const std::vector<std::uint32_t>& shape, std::string_view bytes);

/// A data set in the form of Fashion-MNIST, whose classes a linear model can learn.
void write_small_data(const std::filesystem::path& folder, int train, int test);

/// Softmax regression on images of `side` pixels in plain C++: the parameters "out.weight" (stored transposed) and
/// "out.bias", the buffer "stats.mean", noise in training that depends on seed and step.
const Description& softmax_description(int side = 28);
std::unique_ptr<Network> make_softmax(const Description& description);

struct ProgramResult {
  int status;
  std::string out;
  std::string err;
};

/// Runs the softmax model's program in this process; its description may leave out what a command does not need.
ProgramResult run_softmax(const std::vector<std::string>& arguments, int side = 28);
ProgramResult run_softmax(const std::vector<std::string>& arguments, const Description& description);

}  // namespace netc::test

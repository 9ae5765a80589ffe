// What PyTorch computes in double for the samples of the operators; tests/parity/operators.py made the files.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graph_runner.h"
#include "operator_cases.h"

namespace netc::test {

constexpr int vectors_batch = 5;  // with 16 lanes the only block is padded

/// Where the files and the list of their samples are.
std::filesystem::path vectors_folder();

/// What is given (named as in Experiment), and what is expected: output.train, output.eval, gradient.NAME, after.NAME
/// of buffers. Random operators have no output.train.
using Vectors = std::map<std::string, std::vector<double>>;

/// `folder`: "" or "bf16", where all that is multiplied is rounded to bf16.
Vectors read_vectors(const Case& c, const std::string& folder = "");

/// Sets what is given.
void set(GraphRunner& run, const Experiment& e, const Vectors& vectors);

double norm(const std::vector<double>& x);

/// Relative error by the norm; where nothing is expected, the absolute one.
double error(std::vector<double> actual, const std::vector<double>& expected);

/// Checks the output, all gradients (zero in padding) and the buffers of a training step.
void compare(const GraphRunner& run, const Experiment& e, const Vectors& expected, double tolerance);

}  // namespace netc::test

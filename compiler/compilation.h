// The sources of a run of netc, and what is to be said of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dsl/diagnostic.h"
#include "dsl/source.h"

namespace netc {

/// The sources of a run; spans point into them.
struct Compilation {
  std::vector<std::unique_ptr<Source>> sources;
  Diagnostics diagnostics;
};

/// A file that the user names as a source of `compilation`; null, and an error among its diagnostics, where it cannot
/// be read or is larger than a file may be.
const Source* read_source(const std::string& path, Compilation& compilation);

}  // namespace netc

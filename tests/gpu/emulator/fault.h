// What goes wrong while a kernel runs.
#pragma once

#include <stdexcept>
#include <string>

#include "driver/types.h"

namespace netc::emulator {

/// Ends a launch: `code()` is what the driver reports from then on, the message says what happened.
class Fault : public std::runtime_error {
 public:
  Fault(Result code, const std::string& message) : std::runtime_error(message), code_(code) {}

  Result code() const { return code_; }

 private:
  Result code_;
};

}  // namespace netc::emulator

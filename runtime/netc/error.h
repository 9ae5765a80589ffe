// The runtime's errors: one class, a kind that callers can switch on, a message for people.
#pragma once

#include <stdexcept>
#include <string>

namespace netc {

enum class ErrorKind {
  io,        // a file cannot be opened, read, written or renamed
  format,    // a file's content is not what its format says
  mismatch,  // a file or tensor of another model, shape or type
  memory,    // memory that cannot be had, or a batch that is too large
  device,    // a device or processor that is not there, or fails
  usage,     // a call or an option that makes no sense
  internal,  // a bug of netc's
};

/// Says what, where, why and what to do, in that order.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace netc

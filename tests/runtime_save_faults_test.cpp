// Saving under faults: the calls of the system that a save makes are replaced here, so that each can fail or end the
// process. Whatever happens, the file is the old one or the new one.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "netc/file.h"
#include "tests/runtime_support.h"

namespace {

/// Counts down at every watched call; at zero the call fails with `error`, or the process ends where `error` is 0.
struct Fault {
  bool armed = false;
  int countdown = 0;
  int error = 0;
  int calls = 0;

  bool strikes() {
    if (!armed) return false;
    ++calls;
    if (--countdown != 0) return false;
    if (error == 0) _exit(9);
    errno = error;
    return true;
  }
};
Fault fault;

/// A system that keeps permissions as they are.
bool permissions_are_fixed = false;

}  // namespace

// These take the place of the C library's in this program.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
extern "C" {

ssize_t write(int file, const void* data, size_t bytes) {
  if (fault.strikes()) {
    syscall(SYS_write, file, data, bytes / 2);  // a part arrives before the disk is full
    errno = fault.error;
    return -1;
  }
  return syscall(SYS_write, file, data, bytes);
}

int fsync(int file) {
  return fault.strikes() ? -1 : static_cast<int>(syscall(SYS_fsync, file));
}

int close(int file) {
  const bool strikes = fault.strikes();
  const int result = static_cast<int>(syscall(SYS_close, file));
  if (strikes) errno = fault.error;
  return strikes ? -1 : result;
}

int rename(const char* from, const char* to) noexcept {
  return fault.strikes() ? -1 : static_cast<int>(syscall(SYS_rename, from, to));
}

int fchmod(int file, mode_t mode) noexcept {
  if (!permissions_are_fixed) return static_cast<int>(syscall(SYS_fchmod, file, mode));
  errno = EPERM;
  return -1;
}

}  // extern "C"
// NOLINTEND(readability-inconsistent-declaration-parameter-name)

namespace netc {
namespace {

using test::read_text;
using test::TemporaryFolder;
using test::write_text;

const std::string old_text(5000, 'o');
const std::string new_text(9000, 'n');

void save(const std::filesystem::path& file, Durable durable = Durable::yes) {
  AtomicFile out(file);
  out.write(std::string_view(new_text).substr(0, 100));
  out.write(std::string_view(new_text).substr(100));
  out.commit(durable);
}

int count_calls(Durable durable = Durable::yes) {
  const TemporaryFolder folder;
  fault = {true, 0, EIO, 0};
  save(folder / "f", durable);
  fault.armed = false;
  return fault.calls;
}

TEST_CASE("a save makes the calls that are watched") {
  CHECK(count_calls() >= 7);  // two writes, fsync, close, rename, the folder's fsync and close
}

TEST_CASE("a save that need not outlast the power does not wait for the disk") {
  CHECK(count_calls(Durable::no) == count_calls() - 3);  // fsync, the folder's fsync and close
}

/// Of the file that is opened next.
int next_descriptor() {
  const int file = open("/dev/null", O_RDONLY);
  close(file);
  return file;
}

TEST_CASE("a save that fails before it begins leaves no file open, and no other beside the old one") {
  const TemporaryFolder folder;
  write_text(folder / "f", old_text);
  const int before = next_descriptor();
  permissions_are_fixed = true;
  test::check_error(ErrorKind::io, {"f: cannot keep the permissions of: Operation not permitted"},
                    [&] { save(folder / "f"); });
  permissions_are_fixed = false;
  CHECK(next_descriptor() == before);
  CHECK(read_text(folder / "f") == old_text);
  CHECK(folder.names() == std::vector<std::string>{"f"});
}

TEST_CASE("a failing call leaves the old file or the new one, and no other") {
  const int calls = count_calls();
  for (int error : {ENOSPC, EIO, EDQUOT}) {
    for (int call = 1; call <= calls; ++call) {
      CAPTURE(call);
      const TemporaryFolder folder;
      write_text(folder / "f", old_text);
      fault = {true, call, error, 0};
      bool thrown = false;
      try {
        save(folder / "f");
      } catch (const Error& raised) {
        thrown = raised.kind() == ErrorKind::io;
      }
      fault.armed = false;
      const std::string text = read_text(folder / "f");
      CHECK((text == old_text || text == new_text));
      if (!thrown) CHECK(text == new_text);
      if (call <= 5) CHECK((thrown && text == old_text));  // up to the rename
      CHECK(folder.names() == std::vector<std::string>{"f"});
    }
  }
}

/// Whether the file system has files without a name.
bool nameless_files(const TemporaryFolder& folder) {
  const int file = open(folder.path().c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (file >= 0) close(file);
  return file >= 0;
}

TEST_CASE("a process that ends at any call leaves the old file or the new one, and nothing else while it wrote") {
  const int calls = count_calls();
  for (int call = 1; call <= calls; ++call) {
    CAPTURE(call);
    const TemporaryFolder folder;
    write_text(folder / "f", old_text);
    const pid_t child = fork();
    if (child == 0) {
      fault = {true, call, 0, 0};
      save(folder / "f");
      _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WEXITSTATUS(status) == 9);
    const std::string text = read_text(folder / "f");
    CHECK((text == old_text || text == new_text));
    if (call <= 3 && nameless_files(folder)) CHECK(folder.names() == std::vector<std::string>{"f"});
    save(folder / "f");  // the next save is not hindered by what was left
    CHECK(read_text(folder / "f") == new_text);
  }
}

}  // namespace
}  // namespace netc

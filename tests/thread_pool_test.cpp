// The thread pool: every iteration once, nested and from many threads, failures, numbers of threads, pinning, forks,
// ends. It needs no more of netc than the pool, so that it is built with the thread sanitizer, too.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "netc/affinity.h"
#include "netc/error.h"
#include "netc/thread_pool.h"

static std::atomic<bool> system_refuses = false;

/// In place of the C library's, so that a system that refuses can be played.
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
extern "C" int pthread_setaffinity_np(pthread_t thread, std::size_t size, const cpu_set_t* set) noexcept {
  static const auto real =
      reinterpret_cast<decltype(&pthread_setaffinity_np)>(dlsym(RTLD_NEXT, "pthread_setaffinity_np"));
  return system_refuses ? EPERM : real(thread, size, set);
}

namespace netc {
namespace {

using namespace std::chrono_literals;
using Body = std::function<int(int index)>;

int loop(int min, int size, Body body) {
  const auto call = [](void* context, int index, std::uint8_t*) { return (*static_cast<Body*>(context))(index); };
  return parallel_loop(&body, call, min, size, nullptr);
}

/// Whether a loop runs each of its iterations once.
bool complete(int size) {
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(size));
  const int status = loop(-7, size, [&](int index) {
    ++runs[static_cast<std::size_t>(index) + 7];
    return 0;
  });
  return status == 0 && std::all_of(runs.begin(), runs.end(), [](const std::atomic<int>& run) { return run == 1; });
}

/// The innermost iterations of loops in loops.
int nested(int depth, int size) {
  if (depth == 0) return 1;
  std::atomic<int> sum = 0;
  loop(0, size, [&](int) {
    sum += nested(depth - 1, size);
    return 0;
  });
  return sum;
}

/// Whether a helper takes part in a loop, within some seconds.
bool helped() {
  const std::thread::id caller = std::this_thread::get_id();
  return loop(0, 100'000, [&](int) {
           std::this_thread::sleep_for(100us);
           return std::this_thread::get_id() == caller ? 0 : 1;
         }) == 1;
}

/// For each of so many threads the processors on which it may run; all of them are in one loop at the same time.
std::vector<std::set<int>> places(int threads) {
  std::vector<std::set<int>> found;
  std::mutex mutex;
  std::atomic<int> arrived = 0;
  loop(0, threads, [&](int) {
    ++arrived;
    while (arrived < threads) std::this_thread::yield();
    cpu_set_t set;
    sched_getaffinity(0, sizeof(set), &set);
    const std::lock_guard lock(mutex);
    found.emplace_back();
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) found.back().insert(cpu);
    }
    return 0;
  });
  return found;
}

void check_throws(ErrorKind kind, const std::vector<std::string>& texts, const std::function<void()>& f) {
  try {
    f();
    FAIL("expected an error");
  } catch (const Error& error) {
    const std::string message = error.what();
    CAPTURE(message);
    CHECK(error.kind() == kind);
    for (const std::string& text : texts) CHECK(message.find(text) != std::string::npos);
  }
}

TEST_CASE("a loop runs each iteration once, for any number of threads") {
  for (int threads : {1, 2, 3, 8}) {
    set_threads(threads);
    for (int size : {0, 1, 2, 3, 7, 64, 1000}) {
      for (int repetition = 0; repetition < 20; ++repetition) REQUIRE(complete(size));
    }
  }
  CHECK(loop(0, -3, [](int) { return 1; }) == 0);
}

TEST_CASE("each thread begins with its own part of a loop, so that it finds its data in its cache") {
  set_threads(2);
  REQUIRE(helped());
  const std::thread::id caller = std::this_thread::get_id();
  for (int repetition = 0; repetition < 100; ++repetition) {
    std::atomic<int> helpers_first = -1;
    std::atomic<bool> caller_begins = true;
    loop(0, 6, [&](int index) {
      int none = -1;
      if (std::this_thread::get_id() != caller) helpers_first.compare_exchange_strong(none, index);
      if (caller_begins.exchange(false)) {
        while (helpers_first == -1) std::this_thread::yield();
      }
      return 0;
    });
    CHECK(helpers_first == 3);
  }
}

TEST_CASE("loops nest") {
  for (int threads : {1, 2, 5}) {
    set_threads(threads);
    for (int repetition = 0; repetition < 20; ++repetition) {
      CHECK(nested(3, 6) == 6 * 6 * 6);
      CHECK(nested(6, 2) == 64);
      CHECK(nested(2, 1) == 1);
    }
  }
}

TEST_CASE("the first failure stops a loop, and only that loop") {
  for (int threads : {1, 2, 4}) {
    set_threads(threads);
    std::atomic<int> runs = 0;
    CHECK(loop(0, 1'000'000, [&](int index) {
            ++runs;
            return index == 5 ? -42 : 0;
          }) == -42);
    CHECK(runs < 1'000'000);
    std::atomic<int> outer = 0;
    CHECK(loop(0, 50, [&](int) {
            ++outer;
            return loop(0, 10, [](int inner) { return inner == 3 ? 9 : 0; }) == 9 ? 0 : 1;
          }) == 0);
    CHECK(outer == 50);
    CHECK(loop(3, 1, [](int index) { return index; }) == 3);
  }
}

TEST_CASE("many threads call at once, while the number of threads changes") {
  std::atomic<int> wrong = 0;
  std::atomic<int> running = 4;
  std::vector<std::thread> callers;
  callers.reserve(4);
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&wrong, &running, caller] {
      for (int i = 0; i < 2000; ++i) {
        if (!complete((i * 37 + caller) % 50)) ++wrong;
        if (nested(2, 5) != 25) ++wrong;
        if (loop(0, 20, [i](int index) { return index == i % 20 ? i + 1 : 0; }) != i + 1) ++wrong;
        if (i % 100 == 0) std::this_thread::sleep_for(1ms);
      }
      --running;
    });
  }
  for (int threads = 0; running > 0; threads = (threads + 1) % 7) {
    set_threads(threads);
    std::this_thread::sleep_for(300us);
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  set_threads(2);
  CHECK(helped());
}

TEST_CASE("a second caller takes the place of a helper, until it is done") {
  set_threads(2);
  const std::thread::id first = std::this_thread::get_id();
  std::atomic<bool> second_computes = false;
  std::atomic<bool> first_is_done = false;
  std::atomic<int> helped_then = 0;
  std::thread second;
  loop(0, 200, [&](int index) {
    if (second_computes && std::this_thread::get_id() != first) ++helped_then;
    if (index == 20) {
      second = std::thread([&] {
        loop(0, 2, [&](int) {
          second_computes = true;
          while (!first_is_done) std::this_thread::yield();
          return 0;
        });
      });
    }
    while (index == 30 && !second_computes) std::this_thread::yield();
    std::this_thread::sleep_for(50us);
    return 0;
  });
  first_is_done = true;
  second.join();
  CHECK(helped_then <= 1);  // what it had claimed already
  CHECK(helped());
}

TEST_CASE("the number of threads") {
  set_threads(3);
  CHECK(threads() == 3);
  set_threads(0);
  CHECK(threads() == processors());
  check_throws(ErrorKind::usage, {"expected 0 to 1024 threads, found -1"}, [] { set_threads(-1); });
  check_throws(ErrorKind::usage, {"expected 0 to 1024 threads, found 1025"}, [] { set_threads(1025); });
  CHECK(threads() == processors());
  set_threads(processors() + 6);
  CHECK(complete(1000));
  CHECK(places(processors() + 6).size() == static_cast<std::size_t>(processors()) + 6);
  set_threads(0);
}

TEST_CASE("idle threads sleep") {
  set_threads(0);
  complete(100);
  std::this_thread::sleep_for(20ms);
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(100ms);
  CHECK(std::clock() - before < CLOCKS_PER_SEC / 50);
  CHECK(complete(100));
}

TEST_CASE("pinned threads have a processor each") {
  set_threads(1);
  pin_threads(true);
  set_threads(0);
  std::set<int> used;
  for (const std::set<int>& place : places(processors())) {
    CHECK(place.size() == 1);
    used.insert(place.begin(), place.end());
  }
  CHECK(used.size() == static_cast<std::size_t>(processors()));
  check_throws(ErrorKind::usage, {std::to_string(processors() + 1) + " threads cannot be pinned"},
               [] { set_threads(processors() + 1); });
  CHECK(threads() == processors());
  pin_threads(false);
  for (const std::set<int>& place : places(processors())) CHECK(place == used);
}

TEST_CASE("pinning that makes no sense or is refused leaves threads as they were") {
  set_threads(processors() + 1);
  check_throws(ErrorKind::usage, {std::to_string(processors() + 1) + " threads cannot be pinned", "or fewer"},
               [] { pin_threads(true); });
  set_threads(0);
  system_refuses = true;
  check_throws(ErrorKind::device, {"cannot pin threads to processors: Operation not permitted"},
               [] { pin_threads(true); });
  CHECK_NOTHROW(pin_threads(false));  // nothing is pinned
  system_refuses = false;
  for (const std::set<int>& place : places(processors())) CHECK(place.size() == static_cast<std::size_t>(processors()));
}

// The sanitizers of threads and of addresses know no threads in forked processes and no limit of memory.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)

/// The exit status of a process that calls `f` and ends by `exit`; it may take ten seconds.
int status_in_child(const std::function<bool()>& f) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    std::exit(f() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST_CASE("a forked process computes, whatever other threads do meanwhile") {
  set_threads(3);
  std::atomic<bool> done = false;
  std::thread other([&] {
    while (!done) complete(100);
  });
  for (int i = 0; i < 20; ++i) {
    CHECK(status_in_child([] { return complete(100) && nested(3, 5) == 125 && helped(); }) == 0);
  }
  done = true;
  other.join();
  CHECK(helped());
}

TEST_CASE("a program may end while it computes") {
  set_threads(3);
  const auto detached = [] {
    std::thread([] {
      while (true) complete(100);
    }).detach();
    std::this_thread::sleep_for(5ms);
    return true;
  };
  const auto from_helper = [] {
    const std::thread::id caller = std::this_thread::get_id();
    loop(0, 10'000, [&](int) {
      if (std::this_thread::get_id() != caller) std::exit(5);
      std::this_thread::sleep_for(1ms);
      return 0;
    });
    return false;
  };
  for (int i = 0; i < 5; ++i) {
    CHECK(status_in_child(detached) == 0);
    CHECK(status_in_child(from_helper) == 5);
  }
}

TEST_CASE("a system that starts no more threads is named, and those that there are compute") {
  CHECK(status_in_child([] {
          const rlimit stack{std::size_t{8} << 20, std::size_t{8} << 20};  // of each thread, fewer of which then fit
          const rlimit gigabytes{std::size_t{2} << 30, std::size_t{2} << 30};
          setrlimit(RLIMIT_STACK, &stack);
          setrlimit(RLIMIT_AS, &gigabytes);
          std::string message;
          try {
            set_threads(max_threads);
          } catch (const Error& error) {
            message = error.what();
          }
          const std::string most = "use " + std::to_string(threads()) + " threads at most";
          return message.starts_with("cannot start thread ") && message.find(most) != std::string::npos &&
                 threads() < max_threads && complete(100);
        }) == 0);
}

#endif

}  // namespace
}  // namespace netc

// A caller works on its own loop and hands it to helpers that are idle; a helper waits for that spinning, then asleep.
//
// Choice: an inbox a helper, filled by one exchange, and 200 us of spinning. Alternative: Halide's pool, a queue behind
// a mutex. Two threads, 16 tasks of 20 us (181 us in series), Halide's -> this: idle for 50 us before 114 -> 92 us, for
// 150 us 116 -> 92, for 500 us (asleep: waking costs the caller 10 us) 121 -> 114. Tasks of 2 us (17.6 in series):
// awake 9.9 -> 9.4, idle for 150 us 26.7 -> 11.0. Models that never idle are as fast with both (2026-11).
//
// Choice: each thread begins with its own part of the iterations, the same one in every loop of a size, and then helps
// others. Alternative: all of them take the next one. Examples come back to the core that has them in its cache, which
// tells where cores have caches of their own. A core's message to another and back, step of training, two threads:
// 55 ns, LeNet 2.82 -> 2.70 ms, ResNet-18 1000 -> 983; 330 ns (two chiplets), LeNet 5.25 -> 2.79 (2026-11).
#include "netc/thread_pool.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "netc/affinity.h"
#include "netc/error.h"

namespace netc {

namespace {

using Clock = std::chrono::steady_clock;
using Task = int (*)(void* context, int index, std::uint8_t* closure);

constexpr std::chrono::microseconds spin_time{200};

/// Of a loop's `helpers`: its caller has gone to sleep until they have left.
constexpr unsigned caller_sleeps = 1U << 31;

/// A loop's iterations are divided into parts that lie together, one a thread; beyond so many, threads share parts.
constexpr int max_parts = 32;

/// What is left of a part.
struct alignas(64) Part {
  std::atomic<std::int64_t> next = 0;
  std::int64_t end = 0;

  std::int64_t left() const { return std::max<std::int64_t>(end - next.load(std::memory_order_relaxed), 0); }
};

/// A loop lives on the stack of its caller, who waits until no helper refers to it.
struct Loop {
  Loop() = default;
  Loop(void* its_context, Task its_task, std::uint8_t* its_closure, int its_min, int size, int threads)
      : context(its_context),
        task(its_task),
        closure(its_closure),
        min(its_min),
        parts(std::min({size, threads, max_parts})) {
    for (std::int64_t i = 0; i < parts; ++i) {
      part(i).next = size * i / parts;
      part(i).end = size * (i + 1) / parts;
    }
  }

  void* context = nullptr;
  Task task = nullptr;
  std::uint8_t* closure = nullptr;
  int min = 0;
  int parts = 0;
  std::atomic<int> status = 0;
  std::array<Part, max_parts> part_of;
  alignas(64) std::atomic<unsigned> helpers = 0;  // to which it was handed and that have not left it

  Part& part(std::int64_t index) { return part_of[static_cast<std::size_t>(index)]; }

  std::int64_t left() {
    std::int64_t sum = 0;
    for (int i = 0; i < parts; ++i) sum += part(i).left();
    return sum;
  }

  void run_iteration(std::int64_t index) {
    const int result = task(context, min + static_cast<int>(index), closure);
    if (result == 0) return;
    int none = 0;
    status.compare_exchange_strong(none, result);
    for (int i = 0; i < parts; ++i) part(i).next = part(i).end;
  }
};

// What a helper's inbox holds beside loops.
std::array<Loop, 3> marks;
Loop* const idle = nullptr;
Loop* const asleep = &marks[0];
Loop* const busy = &marks[1];
Loop* const ending = &marks[2];

/// `inbox` alone says what a helper does: whoever changes it from idle or asleep to a loop has got it, and the helper
/// takes a loop by changing it to busy, so that its caller can take back what was not begun.
struct alignas(64) Helper {
  explicit Helper(int number) : index(number) {}

  std::atomic<Loop*> inbox = idle;
  int index;
  std::thread thread;
};

/// Loops of a thread that is within one are inner ones.
thread_local bool computes = false;

class ThreadPool {
 public:
  ThreadPool() : threads_(processors()) {}

  int run(Loop& loop);
  int threads() const { return threads_; }
  void set_threads(int threads);
  void pin(bool pinned);
  void end();

  void before_fork() { mutex_.lock(); }
  void after_fork() { mutex_.unlock(); }
  void after_fork_in_child();

 private:
  std::error_code start(int helpers);
  void start_what_is_missing();
  int bind_all(bool pinned);
  int place(int helper, bool pinned) const;

  void serve(Helper& helper);
  Loop* wait_for_loop(Helper& helper);
  void work(Loop& loop, int helper);
  void offer(Loop& loop);
  void take_back(Loop& loop);
  void leave(Loop& loop);
  void wait_for_helpers(Loop& loop);

  /// Helpers with a lower index may work: every caller takes the place of one.
  int helpers_allowed() const {
    return threads_.load(std::memory_order_relaxed) - callers_.load(std::memory_order_relaxed);
  }

  template <class Condition>
  bool spin_until(Condition condition) const;

  std::atomic<int> threads_;
  std::atomic<int> callers_ = 0;  // threads within loops, helpers apart
  std::atomic<int> started_ = 0;
  std::array<Helper*, max_threads> helpers_{};
  std::atomic<unsigned> loops_left_ = 0;  // whose callers slept

  std::mutex mutex_;  // starting, pinning, ending
  bool pinned_ = false;
  bool ended_ = false;
};

/// Counts a thread as a caller while it is in a loop of its own, inner loops apart.
class Caller {
 public:
  explicit Caller(std::atomic<int>& callers) : callers_(callers), outermost_(!computes) {
    if (!outermost_) return;
    computes = true;
    ++callers_;
  }
  ~Caller() {
    if (!outermost_) return;
    --callers_;
    computes = false;
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

 private:
  std::atomic<int>& callers_;
  bool outermost_;
};

// ---- Loops ----------------------------------------------------------------------------------------------------------

/// Gives up after spin_time, and at once where threads take turns on processors.
template <class Condition>
bool ThreadPool::spin_until(Condition condition) const {
  if (condition()) return true;
  if (threads_.load(std::memory_order_relaxed) > processors()) return false;
  const Clock::time_point end = Clock::now() + spin_time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (condition()) return true;
      __builtin_ia32_pause();
    }
    std::this_thread::yield();
  } while (Clock::now() < end);
  return false;
}

int ThreadPool::run(Loop& loop) {
  const Caller caller(callers_);
  if (started_.load(std::memory_order_relaxed) < threads_.load(std::memory_order_relaxed) - 1) start_what_is_missing();
  work(loop, -1);
  if (loop.helpers != 0) {
    take_back(loop);
    wait_for_helpers(loop);
  }
  return loop.status;
}

/// Begins with the thread's own part and goes on with what the others have not begun. Helpers that are idle by now are
/// asked at every iteration, so that they come back from loops of other callers.
void ThreadPool::work(Loop& loop, int helper) {
  for (int i = 0; i < loop.parts; ++i) {
    Part& part = loop.part((helper + 1 + i) % loop.parts);
    while (part.left() > 0) {
      if (helper >= 0 && helper >= helpers_allowed()) return;
      offer(loop);
      const std::int64_t index = part.next.fetch_add(1, std::memory_order_relaxed);
      if (index < part.end) loop.run_iteration(index);
    }
  }
}

/// One iteration is left to the thread that offers the others.
void ThreadPool::offer(Loop& loop) {
  const int helpers = std::min(helpers_allowed(), started_.load(std::memory_order_acquire));
  std::int64_t offered = 0;
  for (int i = 0; i < helpers; ++i) {
    std::atomic<Loop*>& inbox = helpers_[static_cast<std::size_t>(i)]->inbox;
    for (Loop* state = inbox.load(std::memory_order_relaxed); state == idle || state == asleep;) {
      if (offered + 1 >= loop.left()) return;
      ++loop.helpers;
      if (inbox.compare_exchange_weak(state, &loop)) {
        if (state == asleep) inbox.notify_one();
        ++offered;
        break;
      }
      --loop.helpers;
    }
  }
}

/// From helpers that have not begun, such as those that are still waking up.
void ThreadPool::take_back(Loop& loop) {
  for (int i = 0; i < started_.load(std::memory_order_acquire); ++i) {
    Loop* offered = &loop;
    if (helpers_[static_cast<std::size_t>(i)]->inbox.compare_exchange_strong(offered, idle)) --loop.helpers;
  }
}

/// The loop may be gone as soon as its last helper is counted off.
void ThreadPool::leave(Loop& loop) {
  if (--loop.helpers != caller_sleeps) return;
  ++loops_left_;
  loops_left_.notify_all();
}

void ThreadPool::wait_for_helpers(Loop& loop) {
  if (spin_until([&] { return loop.helpers.load(std::memory_order_acquire) == 0; })) return;
  loop.helpers |= caller_sleeps;
  for (unsigned seen = loops_left_; loop.helpers != caller_sleeps; seen = loops_left_) loops_left_.wait(seen);
}

// ---- Helpers --------------------------------------------------------------------------------------------------------

void ThreadPool::serve(Helper& helper) {
  computes = true;
  for (Loop* loop = wait_for_loop(helper); loop != ending; loop = wait_for_loop(helper)) {
    work(*loop, helper.index);
    helper.inbox = idle;  // before it leaves: its caller's next loop finds it ready
    leave(*loop);
  }
}

Loop* ThreadPool::wait_for_loop(Helper& helper) {
  for (;;) {
    const bool offered = spin_until([&] { return helper.inbox.load(std::memory_order_relaxed) != idle; });
    Loop* state = idle;
    if (!offered && helper.inbox.compare_exchange_strong(state, asleep)) helper.inbox.wait(asleep);
    state = helper.inbox;
    if (state != idle && helper.inbox.compare_exchange_strong(state, busy)) return state;
  }
}

std::error_code ThreadPool::start(int helpers) {
  try {
    while (!ended_ && started_ < helpers) {
      const int index = started_;
      auto helper = std::make_unique<Helper>(index);
      helper->thread = std::thread([this, &served = *helper] { serve(served); });
      const pthread_t thread = helper->thread.native_handle();
      if (pinned_) {
        bind_thread(thread, place(index, true));
      } else {
        start_elsewhere(thread, index);
      }
      helpers_[static_cast<std::size_t>(index)] = helper.release();
      started_ = index + 1;
    }
  } catch (const std::system_error& error) {
    return error.code();
  }
  return {};
}

/// Within a loop nobody can be told that there are fewer threads; `threads()` says so from then on.
void ThreadPool::start_what_is_missing() {
  const std::lock_guard lock(mutex_);
  start(threads_ - 1);
  threads_ = std::min(threads_.load(), started_ + 1);
}

/// Threads are never ended for being too many: they sleep.
void ThreadPool::set_threads(int threads) {
  const std::lock_guard lock(mutex_);
  if (pinned_ && threads > processors()) {
    throw Error(ErrorKind::usage, fmt::format("{} threads cannot be pinned to {} processors, one each: use fewer, or "
                                              "do not pin them",
                                              threads, processors()));
  }
  const std::error_code error = start(threads - 1);
  threads_ = std::min(threads, started_ + 1);
  if (!error) return;
  throw Error(ErrorKind::device,
              fmt::format("cannot start thread {} of {}: {}; use {} threads at most, or raise the limit of this user's "
                          "threads and memory (ulimit -u, ulimit -v)",
                          started_ + 2, threads, error.message(), started_ + 1));
}

// ---- Pinning, ending, forking ---------------------------------------------------------------------------------------

int ThreadPool::place(int helper, bool pinned) const {
  return pinned && helper + 1 < processors() ? helper + 1 : any_processor;
}

int ThreadPool::bind_all(bool pinned) {
  int error = bind_thread(pthread_self(), place(-1, pinned));
  for (int i = 0; i < started_ && error == 0; ++i) {
    error = bind_thread(helpers_[static_cast<std::size_t>(i)]->thread.native_handle(), place(i, pinned));
  }
  return error;
}

void ThreadPool::pin(bool pinned) {
  const std::lock_guard lock(mutex_);
  if (!pinned && !pinned_) return;  // where the system refuses such calls, only who asks for them is to know
  if (pinned && threads_ > processors()) {
    throw Error(ErrorKind::usage, fmt::format("{0} threads cannot be pinned to {1} processors, one each: use {1} "
                                              "threads or fewer, or do not pin them",
                                              threads_.load(), processors()));
  }
  if (const int error = bind_all(pinned); error != 0) {
    bind_all(false);
    throw Error(ErrorKind::device, fmt::format("cannot pin threads to processors: {}; leave them to the system",
                                               std::generic_category().message(error)));
  }
  pinned_ = pinned;
}

/// Helpers end as soon as they are done with an iteration; loops that other threads still run go on without them.
void ThreadPool::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  threads_ = 1;
  for (int i = 0; i < started_; ++i) {
    Helper& helper = *helpers_[static_cast<std::size_t>(i)];
    if (helper.thread.get_id() == std::this_thread::get_id()) continue;  // a task that ends the program
    Loop* state = idle;
    while (!helper.inbox.compare_exchange_weak(state, ending)) {
      if (state != asleep) {
        state = idle;
        std::this_thread::yield();
      }
    }
    helper.inbox.notify_one();
    helper.thread.join();
  }
}

/// Only the thread that forked lives on here; the others' memory is left alone.
void ThreadPool::after_fork_in_child() {
  started_ = 0;
  callers_ = computes ? 1 : 0;
  mutex_.unlock();
}

ThreadPool& pool();

struct AtEnd {
  ~AtEnd() { pool().end(); }
};

/// Never destroyed, since threads that the program does not wait for may still compute; but a shared library must not
/// be unloaded under its helpers.
ThreadPool& pool() {
  static ThreadPool& the_pool = [&]() -> ThreadPool& {
    pthread_atfork([] { pool().before_fork(); }, [] { pool().after_fork(); }, [] { pool().after_fork_in_child(); });
    return *new ThreadPool;
  }();
  static const AtEnd at_end;
  return the_pool;
}

}  // namespace

void set_threads(int threads) {
  if (threads < 0 || threads > max_threads) {
    throw Error(ErrorKind::usage, fmt::format("expected 0 to {} threads, found {}", max_threads, threads));
  }
  pool().set_threads(threads == 0 ? processors() : threads);
}

int threads() {
  return pool().threads();
}

void pin_threads(bool pinned) {
  pool().pin(pinned);
}

bool in_loop() {
  return computes;
}

int parallel_loop(void* context, Task task, int min, int size, std::uint8_t* closure) {
  if (size <= 0) return 0;
  if (size == 1) return task(context, min, closure);
  Loop loop(context, task, closure, min, size, pool().threads());
  return pool().run(loop);
}

}  // namespace netc

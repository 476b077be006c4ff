// SPDX-License-Identifier: Apache-2.0
// Threads: each has a stack of its own for our handler, so that faults also work where its own
// stack is small, or paged. And the waits of libc's locks: the kernel reads their words itself.
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>

#include "preload/interpose/guarded_call.h"

namespace uzram::exec {
namespace {

using StackFunction = int(const stack_t*, stack_t*);

// What unpacking and packing need, with room to spare; only what is touched costs memory.
constexpr std::size_t kFaultStackBytes = std::size_t{256} << 10;

int next_sigaltstack(const stack_t* fresh, stack_t* former) {
  return UZ_NEXT(StackFunction, "sigaltstack")(fresh, former);
}

// The handler's stack of one thread. A program's own signal stack is replaced by one that is larger
// by what we need; it sees the one that it has given.
class FaultStack {
 public:
  ~FaultStack() {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    if (memory_ == nullptr) return;
    const InsideScope inside;
    if (next_sigaltstack(&none, nullptr) == 0) ::munmap(memory_, bytes_);
    memory_ = nullptr;
  }
  // Returns: an errno value.
  int make(std::size_t bytes) {
    if (bytes <= bytes_) return 0;
    const InsideScope inside;
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return ENOMEM;
    stack_t fresh{};
    fresh.ss_sp = memory;
    fresh.ss_size = bytes;
    if (next_sigaltstack(&fresh, nullptr) != 0) {
      const int code = errno;
      ::munmap(memory, bytes);
      return code;
    }
    if (memory_ != nullptr) ::munmap(memory_, bytes_);
    memory_ = memory;
    bytes_ = bytes;
    return 0;
  }
  [[nodiscard]] bool is_in_use() const {
    stack_t now{};
    return next_sigaltstack(nullptr, &now) == 0 && (now.ss_flags & SS_ONSTACK) != 0;
  }
  stack_t pretended{nullptr, SS_DISABLE, 0};

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};
thread_local FaultStack fault_stack;

int set_stack(const stack_t* fresh, stack_t* former) {
  const stack_t before = fault_stack.pretended;
  const bool is_in_use = fault_stack.is_in_use();
  if (fresh != nullptr) {
    const bool is_none = (fresh->ss_flags & SS_DISABLE) != 0;
    if (!is_none && fresh->ss_size < static_cast<std::size_t>(MINSIGSTKSZ)) return ENOMEM;
    if (is_in_use) return EPERM;
    if (!is_none) {
      if (const int code = fault_stack.make(fresh->ss_size + kFaultStackBytes); code != 0)
        return code;
    }
    fault_stack.pretended = *fresh;
  }
  if (former != nullptr) {
    *former = before;
    if (is_in_use) former->ss_flags |= SS_ONSTACK;
  }
  return 0;
}

struct ThreadStart {
  void* (*work)(void*);
  void* argument;
  bool is_internal;
};

void* run_thread(void* given) {
  const ThreadStart start = *static_cast<ThreadStart*>(given);
  delete static_cast<ThreadStart*>(given);
  // A thread of the pager never leaves the library, and never touches paged memory.
  if (start.is_internal)
    ++inside_depth;
  else if (!is_strict)
    give_fault_stack();
  return start.work(start.argument);
}

// A mutex without protocols: the kernel only ever waits at it.
bool is_plain(const pthread_mutex_t* mutex) {
  constexpr int kTypeBits = 3;
  return (mutex->__data.__kind & ~kTypeBits) == 0;
}

int lock_mutex(pthread_mutex_t* mutex) {
  auto* const next = UZ_NEXT(int(pthread_mutex_t*), "pthread_mutex_lock");
  if (!is_paged(mutex)) return next(mutex);
  if (is_plain(mutex)) {
    // Free, as nearly always: the kernel is not asked.
    if (UZ_NEXT(int(pthread_mutex_t*), "pthread_mutex_trylock")(mutex) == 0) return 0;
  }
  Guard guard("pthread_mutex_lock");
  guard.hold(mutex, sizeof *mutex, true);
  return next(mutex);
}

int unlock_mutex(pthread_mutex_t* mutex) {
  auto* const next = UZ_NEXT(int(pthread_mutex_t*), "pthread_mutex_unlock");
  // Waking others by the address of a private word reads nothing.
  if (!is_paged(mutex) || is_plain(mutex)) return next(mutex);
  Guard guard("pthread_mutex_unlock");
  guard.hold(mutex, sizeof *mutex, true);
  return next(mutex);
}

}  // namespace

void give_fault_stack() { static_cast<void>(fault_stack.make(kFaultStackBytes)); }

}  // namespace uzram::exec

namespace exec = uzram::exec;

UZ_EXPORT int sigaltstack(const stack_t* fresh, stack_t* former) noexcept {
  if (exec::is_strict || exec::is_inside() || exec::settings() == nullptr)
    return exec::next_sigaltstack(fresh, former);
  const int code = exec::set_stack(fresh, former);
  if (code == 0) return 0;
  errno = code;
  return -1;
}

UZ_EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                             void* (*work)(void*), void* argument) noexcept {
  using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  auto* const next = UZ_NEXT(Create, "pthread_create");
  if (exec::settings() == nullptr) return next(thread, attributes, work, argument);
  exec::ThreadStart* start = nullptr;
  {
    const exec::InsideScope inside;
    start = new (std::nothrow) exec::ThreadStart{work, argument, exec::inside_depth > 1};
  }
  if (start == nullptr) return EAGAIN;
  const int code = next(thread, attributes, exec::run_thread, start);
  if (code != 0) delete start;
  return code;
}

// A stack of the program's own: the kernel and libc use it at any time. With --strict as well: the
// pager itself may be called on it, and would put away what it stands on.
UZ_EXPORT int pthread_attr_setstack(pthread_attr_t* attributes, void* stack,
                                    std::size_t bytes) noexcept {
  if (exec::is_paged(stack) && !exec::is_inside() && !exec::is_child()) {
    const exec::InsideScope inside;
    if (!exec::machinery()->space->keep(stack, bytes, uzram::PagedSpace::Keep::Locked))
      return ENOMEM;
  }
  return UZ_NEXT(int(pthread_attr_t*, void*, std::size_t), "pthread_attr_setstack")(attributes,
                                                                                    stack, bytes);
}

UZ_EXPORT int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  return exec::lock_mutex(mutex);
}
UZ_EXPORT int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  return exec::unlock_mutex(mutex);
}

// NOLINTBEGIN(bugprone-macro-parentheses): parameters, and what is held, are given as they are.
// NAME, its parameters, its arguments, and what is held: a first and a second object.
#define UZ_WAIT_ONE(name, parameters, arguments, first) \
  UZ_EXPORT int name parameters {                       \
    auto* const next = UZ_NEXT(int parameters, #name);  \
    if (!exec::is_paged(first)) return next arguments;  \
    exec::Guard guard(#name);                           \
    guard.hold(first, sizeof *first, true);             \
    return next arguments;                              \
  }
#define UZ_WAIT_TWO(name, parameters, arguments, first, second)                   \
  UZ_EXPORT int name parameters {                                                 \
    auto* const next = UZ_NEXT(int parameters, #name);                            \
    if (!exec::is_paged(first) && !exec::is_paged(second)) return next arguments; \
    exec::Guard guard(#name);                                                     \
    guard.hold(first, sizeof *first, true);                                       \
    guard.hold(second, sizeof *second, true);                                     \
    return next arguments;                                                        \
  }
// NOLINTEND(bugprone-macro-parentheses)

UZ_WAIT_ONE(pthread_mutex_timedlock, (pthread_mutex_t * mutex, const timespec* limit),
            (mutex, limit), mutex)
UZ_WAIT_ONE(pthread_mutex_clocklock,
            (pthread_mutex_t * mutex, clockid_t clock, const timespec* limit),
            (mutex, clock, limit), mutex)
UZ_WAIT_TWO(pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t* mutex),
            (condition, mutex), condition, mutex)
UZ_WAIT_TWO(pthread_cond_timedwait,
            (pthread_cond_t * condition, pthread_mutex_t* mutex, const timespec* limit),
            (condition, mutex, limit), condition, mutex)
UZ_WAIT_TWO(pthread_cond_clockwait,
            (pthread_cond_t * condition, pthread_mutex_t* mutex, clockid_t clock,
             const timespec* limit),
            (condition, mutex, clock, limit), condition, mutex)
UZ_WAIT_ONE(pthread_cond_signal, (pthread_cond_t * condition), (condition), condition)
UZ_WAIT_ONE(pthread_cond_broadcast, (pthread_cond_t * condition), (condition), condition)
UZ_WAIT_ONE(pthread_cond_destroy, (pthread_cond_t * condition), (condition), condition)
UZ_WAIT_ONE(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock), lock)
UZ_WAIT_ONE(pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock), lock)
UZ_WAIT_ONE(pthread_rwlock_timedrdlock, (pthread_rwlock_t * lock, const timespec* limit),
            (lock, limit), lock)
UZ_WAIT_ONE(pthread_rwlock_timedwrlock, (pthread_rwlock_t * lock, const timespec* limit),
            (lock, limit), lock)
UZ_WAIT_ONE(pthread_barrier_wait, (pthread_barrier_t * barrier), (barrier), barrier)
UZ_WAIT_ONE(pthread_barrier_destroy, (pthread_barrier_t * barrier), (barrier), barrier)
UZ_WAIT_ONE(sem_wait, (sem_t * semaphore), (semaphore), semaphore)
UZ_WAIT_ONE(sem_timedwait, (sem_t * semaphore, const timespec* limit), (semaphore, limit),
            semaphore)
UZ_WAIT_ONE(sem_clockwait, (sem_t * semaphore, clockid_t clock, const timespec* limit),
            (semaphore, clock, limit), semaphore)

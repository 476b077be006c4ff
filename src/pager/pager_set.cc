// SPDX-License-Identifier: Apache-2.0
#include "pager/pager_set.h"

#include <pthread.h>
#include <ucontext.h>

#include <cerrno>

#include "base/check.h"
#include "pager/die.h"
#include "pager/quiet_thread.h"

namespace uzram {
namespace {

using Entry = std::atomic<PagerCore*>;

// Acquire and release: whoever finds a pager sees it made.
std::array<Entry, PagerSet::kMostPagers> all_pagers;
// Which signals we have taken, and who had them before. Changed with taking_mutex held.
Mutex taking_mutex;
struct TakenSignal {
  int signal;
  bool is_taken;
  struct sigaction former;
};
std::array<TakenSignal, 2> taken_signals{{{SIGBUS, false, {}}, {SIGSEGV, false, {}}}};
bool has_fork_handlers = false;

TakenSignal& taken_of(int signal) { return taken_signals[signal == SIGBUS ? 0 : 1]; }

// The program's own handler, as if the signal were its own from the start.
void pass_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& former = taken_of(signal).former;
  if ((former.sa_flags & SA_SIGINFO) == 0 &&
      (former.sa_handler == SIG_DFL || former.sa_handler == SIG_IGN)) {
    // Nobody handles it: the instruction is tried again, and ends the process as it should. A
    // signal that somebody has sent does not come again by itself.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(signal, &standard, nullptr);
    if (info->si_code <= 0) ::raise(signal);
    return;
  }
  // With the signals blocked that were blocked where it happened, and those that it asks for.
  const sigset_t& interrupted = static_cast<const ucontext_t*>(context)->uc_sigmask;
  sigset_t ours;
  ::pthread_sigmask(SIG_SETMASK, &interrupted, &ours);
  ::pthread_sigmask(SIG_BLOCK, &former.sa_mask, nullptr);
  if ((former.sa_flags & SA_SIGINFO) != 0)
    former.sa_sigaction(signal, info, context);
  else
    former.sa_handler(signal);
  ::pthread_sigmask(SIG_SETMASK, &ours, nullptr);
}

void on_signal(int signal, siginfo_t* info, void* context) {
  const int code = errno;
  if (!PagerSet::handle_fault(signal, *info, context)) pass_on(signal, info, context);
  errno = code;
}

Result<void> take_signal(int signal) {
  TakenSignal& taken = taken_of(signal);
  struct sigaction now {};
  if (::sigaction(signal, nullptr, &now) != 0) return fail_errno();
  const bool has_handler =
      (now.sa_flags & SA_SIGINFO) != 0 || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN);
  // A handler that the program has put over ours hands on to us, or calls Pager::handle_fault.
  if (taken.is_taken && has_handler) return {};
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  // The program's own handlers wait until the page is there: they might touch the same one.
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART;
  action.sa_mask = asynchronous_signals();
  if (::sigaction(signal, &action, &taken.former) != 0) return fail_errno();
  taken.is_taken = true;
  return {};
}

// Gives a signal back, unless the program has put a handler of its own over ours.
void give_signal_back(TakenSignal& taken) {
  struct sigaction now {};
  if (!taken.is_taken || ::sigaction(taken.signal, nullptr, &now) != 0) return;
  if ((now.sa_flags & SA_SIGINFO) == 0 || now.sa_sigaction != on_signal) return;
  ::sigaction(taken.signal, &taken.former, nullptr);
  taken.is_taken = false;
}

template <typename Work>
void for_each_pager(Work work) {
  for (Entry& entry : all_pagers)
    if (PagerCore* const core = entry.load(std::memory_order_acquire)) work(*core);
}

void before_fork() {
  for_each_pager([](PagerCore& core) { core.prepare_fork(); });
}
void after_fork_in_parent() {
  for_each_pager([](PagerCore& core) { core.finish_fork_in_parent(); });
}
void after_fork_in_child() {
  for_each_pager([](PagerCore& core) {
    core.finish_fork_in_child();
    // The addresses are nobody's in the child: a touch should say why it fails.
    if (core.fork_rule() == ForkRule::Refuse) static_cast<void>(take_signal(SIGSEGV));
  });
}

bool is_write_fault([[maybe_unused]] const void* context) {
#if defined(__x86_64__)
  constexpr long long kWriteBit = 2;
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  return (machine.gregs[REG_ERR] & kWriteBit) != 0;
#else
  // Taken for a write, a read costs a packed copy, and nothing else.
  return true;
#endif
}

}  // namespace

Result<void> PagerSet::add(PagerCore& core) {
  const MutexLock lock(taking_mutex);
  const int signal = core.memory().fault_signal();
  if (signal != 0) {
    if (const Result<void> taken = take_signal(signal); !taken) return taken;
  }
  if (!has_fork_handlers) {
    const int code = ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (code != 0) return fail(code);
    has_fork_handlers = true;
  }
  for (Entry& entry : all_pagers) {
    PagerCore* none = nullptr;
    if (entry.compare_exchange_strong(none, &core, std::memory_order_acq_rel)) return {};
  }
  return fail(EAGAIN);
}

void PagerSet::remove(PagerCore& core) {
  const MutexLock lock(taking_mutex);
  bool is_last = true;
  for (Entry& entry : all_pagers) {
    PagerCore* expected = &core;
    entry.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel);
    if (entry.load(std::memory_order_relaxed) != nullptr) is_last = false;
  }
  if (!is_last) return;
  for (TakenSignal& taken : taken_signals) give_signal_back(taken);
}

PagerCore* PagerSet::find(const void* address) {
  for (const Entry& entry : all_pagers) {
    PagerCore* const core = entry.load(std::memory_order_acquire);
    if (core != nullptr && core->contains(address)) return core;
  }
  return nullptr;
}

bool PagerSet::handle_fault(int signal, const siginfo_t& info, const void* context) {
  // Others with these numbers come from the machine (a broken memory module, a poisoned page) or
  // from kill().
  const bool is_bus_fault = signal == SIGBUS && info.si_code == BUS_ADRERR;
  const bool is_access_fault =
      signal == SIGSEGV && (info.si_code == SEGV_ACCERR || info.si_code == SEGV_MAPERR);
  if (!is_bus_fault && !is_access_fault) return false;
  PagerCore* const core = find(info.si_addr);
  if (core == nullptr) return false;
  if (core->is_child()) {
    warn_of_address("the page at ", reinterpret_cast<std::uint64_t>(info.si_addr),
                    " belongs to the parent: a child of fork() has no memory of a pager"
                    " (ForkRule::Populate gives it a copy)");
    return false;
  }
  if (core->memory().fault_signal() != signal) return false;
  return core->handle_fault(core->page_of(info.si_addr), is_write_fault(context));
}

}  // namespace uzram

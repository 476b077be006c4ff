// SPDX-License-Identifier: Apache-2.0
// The signal of our faults belongs to the pager; the program has the illusion that it is its own:
// its handler is kept and called for faults that are none of ours, and nobody blocks it, since a
// fault with its signal blocked ends the process.
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <ucontext.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/check.h"
#include "preload/interpose/guarded_call.h"

namespace uzram::exec {
namespace {

using ActionFunction = int(int, const struct sigaction*, struct sigaction*);
using MaskFunction = int(int, const sigset_t*, sigset_t*);

int next_sigaction(int signal, const struct sigaction* fresh, struct sigaction* former) {
  return UZ_NEXT(ActionFunction, "sigaction")(signal, fresh, former);
}

std::atomic<int> fault_signal{0};  // 0: no pager yet. Release: own_action was read before.
// What the program has asked for, for fault_signal. A handler runs while another thread changes it:
// that is as it is without us.
struct sigaction program_action {};
Mutex action_mutex;

constexpr std::array<int, 2> kFaultSignals{SIGBUS, SIGSEGV};
std::array<struct sigaction, 2> former_actions;  // Before there was a pager.
// Which of them the program believes to have blocked, in this thread: a bit each.
thread_local unsigned pretended_mask __attribute__((tls_model("initial-exec"))) = 0;

sigset_t without_faults(const sigset_t& asked) {
  sigset_t set = asked;
  if (is_strict) return set;
  for (const int each : kFaultSignals) ::sigdelset(&set, each);
  return set;
}

unsigned fault_bits(const sigset_t& set) {
  unsigned bits = 0;
  for (unsigned i = 0; i < kFaultSignals.size(); ++i)
    if (::sigismember(&set, kFaultSignals[i]) == 1) bits |= 1U << i;
  return bits;
}

// The program's handler, with the mask that the kernel would have given it.
void call_program(int signal, siginfo_t* info, void* context) {
  const struct sigaction action = program_action;
  const bool has_info = (action.sa_flags & SA_SIGINFO) != 0;
  if (!has_info && (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) {
    if (action.sa_handler == SIG_IGN && info->si_code <= 0) return;  // Somebody has sent it.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    next_sigaction(signal, &standard, nullptr);
    // A fault comes again by itself when the instruction is tried again.
    if (info->si_code <= 0) ::raise(signal);
    return;
  }
  if ((action.sa_flags & SA_RESETHAND) != 0) {
    std::memset(&program_action, 0, sizeof program_action);
    program_action.sa_handler = SIG_DFL;
  }
  sigset_t mask = static_cast<const ucontext_t*>(context)->uc_sigmask;
  for (int each = 1; each < NSIG; ++each)
    if (::sigismember(&action.sa_mask, each) == 1) ::sigaddset(&mask, each);
  const sigset_t open = without_faults(mask);
  UZ_NEXT(MaskFunction, "pthread_sigmask")(SIG_SETMASK, &open, nullptr);
  if (has_info)
    action.sa_sigaction(signal, info, context);
  else
    action.sa_handler(signal);
}

// Every other signal waits meanwhile: a handler of the program may touch the very page that this
// thread has locked.
void on_fault(int signal, siginfo_t* info, void* context) {
  const int code = errno;
  bool is_ours = false;
  if (is_paged(info->si_addr) && info->si_code > 0 &&
      !machinery()->space->is_protected(info->si_addr)) {
    const InsideScope inside;
    is_ours = Pager::handle_fault(signal, info, context);
  }
  if (!is_ours) call_program(signal, info, context);
  errno = code;
}

int set_action(int signal, const struct sigaction* fresh, struct sigaction* former) {
  if (signal != 0 && signal == fault_signal.load(std::memory_order_acquire)) {
    const InsideScope inside;
    const MutexLock lock(action_mutex);
    const struct sigaction before = program_action;
    if (fresh != nullptr) program_action = *fresh;
    if (former != nullptr) *former = before;
    return 0;
  }
  if (fresh == nullptr) return next_sigaction(signal, nullptr, former);
  struct sigaction stripped = *fresh;
  stripped.sa_mask = without_faults(fresh->sa_mask);
  struct sigaction before {};
  const int result = next_sigaction(signal, &stripped, &before);
  if (result == 0 && former != nullptr) *former = before;
  return result;
}

// sigprocmask and pthread_sigmask, which differ in how they tell of errors only.
template <typename Next>
int set_mask(Next* next, int how, const sigset_t* asked, sigset_t* former) {
  if (is_strict || is_inside() || settings() == nullptr) return next(how, asked, former);
  const unsigned before = pretended_mask;
  sigset_t stripped{};
  if (asked != nullptr) stripped = without_faults(*asked);
  sigset_t kernel_former{};
  const int result = next(how, asked == nullptr ? nullptr : &stripped, &kernel_former);
  if (result != 0) return result;
  if (asked != nullptr) {
    const unsigned bits = fault_bits(*asked);
    if (how == SIG_BLOCK) pretended_mask = before | bits;
    if (how == SIG_UNBLOCK) pretended_mask = before & ~bits;
    if (how == SIG_SETMASK) pretended_mask = bits;
  }
  if (former == nullptr) return result;
  for (unsigned i = 0; i < kFaultSignals.size(); ++i)
    if ((before >> i & 1U) != 0) ::sigaddset(&kernel_former, kFaultSignals[i]);
  *former = kernel_former;
  return result;
}

}  // namespace

void open_fault_signals() {
  sigset_t faults;
  ::sigemptyset(&faults);
  for (const int each : kFaultSignals) ::sigaddset(&faults, each);
  UZ_NEXT(MaskFunction, "pthread_sigmask")(SIG_UNBLOCK, &faults, nullptr);
}

void note_program_actions() {
  for (std::size_t i = 0; i < kFaultSignals.size(); ++i)
    UZ_CHECK(next_sigaction(kFaultSignals[i], nullptr, &former_actions[i]) == 0);
}

void take_fault_signal(int signal) {
  struct sigaction ours {};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
  ::sigfillset(&ours.sa_mask);
  for (const int each : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT})
    ::sigdelset(&ours.sa_mask, each);
  const MutexLock lock(action_mutex);
  program_action = former_actions[signal == SIGBUS ? 0 : 1];
  UZ_CHECK(next_sigaction(signal, &ours, nullptr) == 0);
  fault_signal.store(signal, std::memory_order_release);
}

}  // namespace uzram::exec

namespace exec = uzram::exec;

UZ_EXPORT int sigaction(int signal, const struct sigaction* fresh,
                        struct sigaction* former) noexcept {
  if (exec::is_strict || exec::is_inside() || exec::settings() == nullptr)
    return exec::next_sigaction(signal, fresh, former);
  return exec::set_action(signal, fresh, former);
}

namespace {

using Handler = void (*)(int);

Handler set_handler(int signal, Handler handler, int flags) {
  struct sigaction fresh {};
  struct sigaction former {};
  fresh.sa_handler = handler;
  fresh.sa_flags = flags;
  return ::sigaction(signal, &fresh, &former) == 0 ? former.sa_handler : SIG_ERR;
}

}  // namespace

UZ_EXPORT Handler signal(int signal, Handler handler) noexcept {
  return set_handler(signal, handler, SA_RESTART);
}
UZ_EXPORT Handler bsd_signal(int signal, Handler handler) noexcept {
  return set_handler(signal, handler, SA_RESTART);
}
UZ_EXPORT Handler sysv_signal(int signal, Handler handler) noexcept {
  return set_handler(signal, handler, static_cast<int>(SA_RESETHAND | SA_NODEFER));
}
UZ_EXPORT Handler __sysv_signal(int signal, Handler handler) noexcept {
  return set_handler(signal, handler, static_cast<int>(SA_RESETHAND | SA_NODEFER));
}

UZ_EXPORT int sigprocmask(int how, const sigset_t* asked, sigset_t* former) noexcept {
  return exec::set_mask(UZ_NEXT(exec::MaskFunction, "sigprocmask"), how, asked, former);
}
UZ_EXPORT int pthread_sigmask(int how, const sigset_t* asked, sigset_t* former) noexcept {
  return exec::set_mask(UZ_NEXT(exec::MaskFunction, "pthread_sigmask"), how, asked, former);
}

// Calls that set a mask while they wait: handlers run with it, and may fault.
UZ_EXPORT int sigsuspend(const sigset_t* mask) {
  const sigset_t open = exec::without_faults(*mask);
  return UZ_NEXT(int(const sigset_t*), "sigsuspend")(&open);
}

UZ_EXPORT int ppoll(pollfd* descriptors, nfds_t count, const timespec* limit,
                    const sigset_t* mask) {
  auto* const next = UZ_NEXT(int(pollfd*, nfds_t, const timespec*, const sigset_t*), "ppoll");
  sigset_t open{};
  if (mask != nullptr) open = exec::without_faults(*mask);
  exec::Guard guard("ppoll");
  guard.hold(descriptors, count * sizeof(pollfd), true);
  return next(descriptors, count, limit, mask == nullptr ? nullptr : &open);
}

UZ_EXPORT int pselect(int count, fd_set* read, fd_set* write, fd_set* other, const timespec* limit,
                      const sigset_t* mask) {
  auto* const next =
      UZ_NEXT(int(int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*), "pselect");
  sigset_t open{};
  if (mask != nullptr) open = exec::without_faults(*mask);
  exec::Guard guard("pselect");
  for (fd_set* const each : {read, write, other})
    guard.hold(each, uzram::round_up(static_cast<unsigned>(count), 64) / 8, true);
  return next(count, read, write, other, limit, mask == nullptr ? nullptr : &open);
}

UZ_EXPORT int epoll_pwait(int descriptor, epoll_event* events, int count, int limit,
                          const sigset_t* mask) {
  auto* const next = UZ_NEXT(int(int, epoll_event*, int, int, const sigset_t*), "epoll_pwait");
  sigset_t open{};
  if (mask != nullptr) open = exec::without_faults(*mask);
  exec::Guard guard("epoll_pwait");
  guard.hold(events, static_cast<unsigned>(count) * sizeof(epoll_event), true);
  return next(descriptor, events, count, limit, mask == nullptr ? nullptr : &open);
}

// SPDX-License-Identifier: Apache-2.0
#include "app/serve.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include <cstring>

#include "app/memory_lock.h"
#include "app/say.h"
#include "app/state_folder.h"
#include "base/printable_text.h"

namespace uzram {

namespace {

// Signals that end the daemon, and SIGHUP, which must not. Blocked in every thread; one waits for
// them.
sigset_t waited_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals, signal);
  return signals;
}

void prepare_process() {
  // A core file would hold the pages of whoever trusts this disk with them.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = waited_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  limit_thread_stacks();
}

void start_log() {
  const auto logger = spdlog::stderr_logger_mt("uzram");
  logger->set_pattern("%Y-%m-%d %H:%M:%S %l %v");
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

void wait_for_end(Daemon& daemon, bool drops_pages) {
  const sigset_t signals = waited_signals();
  while (true) {
    int signal = 0;
    if (::sigwait(&signals, &signal) != 0) continue;
    if (signal == SIGHUP) {
      spdlog::info("{}: nothing to read again; serving on", ::strsignal(signal));
      continue;
    }
    spdlog::info("{}: taking everything down", ::strsignal(signal));
    const std::vector<std::string> reasons = daemon.try_stop(drops_pages);
    if (reasons.empty()) return;
    for (const std::string& reason : reasons) spdlog::warn("still in use: {}", printable(reason));
    spdlog::warn(
        "staying, since the data would be lost: unmount or 'uzram swap off', then stop me; "
        "'uzram stop --force' drops pages that nobody uses");
  }
}

}  // namespace

int serve(DaemonOptions options) {
  prepare_process();
  options.is_io_flusher = become_io_flusher().has_value();
  const InputResult<std::string> folder = prepare_state_folder(options.state_folder);
  if (!folder) return say_failure(folder.error().text);
  options.state_folder = *folder;
  start_log();
  auto daemon = Daemon::start(options);
  if (!daemon) {
    return say_failure(fmt::format("{}; without privilege, serve over NBD: nbdkit uzram size=1G",
                                   daemon.error().text));
  }
  spdlog::info("attributes in {}, commands over {}", printable(options.tree_folder),
               printable(options.socket_path));
  wait_for_end(**daemon, options.drops_on_stop);
  daemon->reset();
  spdlog::info("ended; nothing is left behind");
  return 0;
}

}  // namespace uzram

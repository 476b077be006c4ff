// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <thread>

#include "app/commands/commands.h"
#include "app/say.h"
#include "base/file_descriptor.h"
#include "base/printable_text.h"
#include "control/size_text.h"
#include "frontend/mount/mount_server.h"

namespace uzram {

namespace {

struct MountWords {
  std::string directory;
  std::string mount_point;
  std::vector<std::string> options;
  std::string cache;
  bool is_foreground = false;
};

constexpr std::size_t kLeastCacheBytes = std::size_t{1} << 20;

InputResult<MountOptions> read_words(const MountWords& words) {
  MountOptions options;
  options.thread_count = std::max(1U, std::thread::hardware_concurrency());
  for (const std::string& each : words.options) {
    if (const auto read = read_mount_options(each, options); !read)
      return refuse(EINVAL, read.error());
  }
  if (const auto checked = check_mount_options(options); !checked)
    return refuse(EINVAL, checked.error());
  if (!words.cache.empty()) {
    const auto bytes = read_size("--cache: ", words.cache);
    if (!bytes) return tl::unexpected(bytes.error());
    if (*bytes < kLeastCacheBytes || *bytes > (std::uint64_t{1} << 40))
      return refuse(EINVAL, "--cache: from 1M to 1T");
    options.cache_bytes = *bytes;
  }
  return options;
}

// Who has left the terminal tells its parent, which waits, how it went.
class Detached {
 public:
  // Returns: in the parent, the exit code that it ends with; in the child, nothing.
  std::optional<int> detach() {
    std::array<int, 2> ends;
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return say_failure("no pipe can be made");
    const FileDescriptor reader(ends[0]);
    FileDescriptor writer(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) return say_failure("no process can be made");
    if (child == 0) {
      ::setsid();
      told_ = std::move(writer);
      return std::nullopt;
    }
    writer.reset();
    char code = kExitFailure;
    while (::read(reader.get(), &code, 1) < 0 && errno == EINTR) {
    }
    return code;
  }
  // Requires: in the child.
  void tell(int code) {
    if (!told_.is_open()) return;
    const char byte = static_cast<char>(code);
    if (code == 0) leave_terminal();
    static_cast<void>(!::write(told_.get(), &byte, 1));
    told_.reset();
  }

 private:
  static void leave_terminal() {
    static_cast<void>(!::chdir("/"));
    const FileDescriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      if (nothing.is_open()) static_cast<void>(::dup2(nothing.get(), standard));
  }
  FileDescriptor told_;
};

sigset_t mount_ending_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals, signal);
  return signals;
}

// Until somebody unmounts, or a signal asks us to.
void wait_for_unmount(MountServer& server, int signals, int ended) {
  std::array<pollfd, 2> waits{pollfd{signals, POLLIN, 0}, pollfd{ended, POLLIN, 0}};
  while (waits[1].revents == 0) {
    if (::poll(waits.data(), waits.size(), -1) < 0) continue;
    if (waits[0].revents == 0) continue;
    signalfd_siginfo info;
    static_cast<void>(!::read(signals, &info, sizeof(info)));
    server.unmount();
    waits[0].revents = 0;
  }
}

int serve_mount(const MountWords& words, const MountOptions& options, Detached& detached) {
  // A core file would hold what the files hold.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = mount_ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const FileDescriptor signalled(::signalfd(-1, &signals, SFD_CLOEXEC));
  const FileDescriptor ended(::eventfd(0, EFD_CLOEXEC));
  if (!signalled.is_open() || !ended.is_open()) return say_failure("too many open files");
  auto server = MountServer::start(words.directory, words.mount_point, options);
  if (!server) return say_failure(server.error());
  (*server)->serve(ended.get());
  detached.tell(0);
  wait_for_unmount(**server, signalled.get(), ended.get());
  if (const auto finished = (*server)->finish(); !finished) {
    const std::string text = fmt::format("{}: what was written last is lost: {}", words.directory,
                                         ::strerrordesc_np(finished.error().code));
    ::syslog(LOG_DAEMON | LOG_ERR, "uzram: %s", printable(text).c_str());
    return say_failure(text);
  }
  return 0;
}

int run_mount(const MountWords& words) {
  const auto options = read_words(words);
  if (!options) return say_usage(options.error().text);
  Detached detached;
  if (!words.is_foreground) {
    if (const auto code = detached.detach()) return *code;
  }
  const int code = serve_mount(words, *options, detached);
  detached.tell(code);
  return code;
}

}  // namespace

void add_mount(CLI::App& program, CommandLine& line) {
  CLI::App* mount =
      program.add_subcommand("mount", "mount a directory whose files are kept compressed");
  const auto words = std::make_shared<MountWords>();
  mount->add_option("directory", words->directory, "where the files are kept")->required();
  mount->add_option("mountpoint", words->mount_point, "where they are read and written")
      ->required();
  mount
      ->add_option("-o,--options", words->options,
                   "f2fs's options and allow_other, ro: a=b,c (any number of times)")
      ->type_name("WORDS")
      ->allow_extra_args(false);
  mount->add_option("--cache", words->cache, "decompressed content kept for each open file")
      ->type_name("SIZE");
  mount->add_flag("--foreground", words->is_foreground, "stay at the terminal");
  mount->footer("Example: uzram mount /srv/packed /srv/files -o compress_algorithm=zstd:3");
  mount->callback([&line, words] { line.run = [words] { return run_mount(*words); }; });
}

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include "app/zram_shell.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "app/say.h"
#include "app/zram_namespace.h"
#include "base/file_descriptor.h"
#include "control/input_error.h"

namespace uzram {

namespace {

constexpr int kNotFound = 127;  // As a shell says it.
constexpr int kNotStarted = 126;

// What is sent to this process goes on to the program. Those of a terminal reach it by themselves.
constexpr std::array kPassedSignals{SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGCONT};
constexpr std::array kTerminalSignals{SIGINT, SIGQUIT};

pid_t program_id = 0;  // For the handler; set while the signals are blocked.

void pass_on_signal(int number) { ::kill(program_id, number); }

// --- the keeper --------------------------------------------------------------------------------

using SwapNames = std::set<std::string>;

SwapNames zram_swaps() {
  SwapNames names;
  std::ifstream swaps("/proc/swaps");
  for (std::string line; std::getline(swaps, line);) {
    if (line.starts_with("/dev/zram")) names.insert(line.substr(0, line.find_first_of(" \t")));
  }
  return names;
}

// Swap that was not there `before`.
bool is_newly_swap(const SwapNames& before) {
  for (const std::string& name : zram_swaps()) {
    if (before.count(name) == 0) return true;
  }
  return false;
}

// /proc/swaps shows a name only while its namespace lives, and swapoff goes by the name.
void wait_for_swapoff(const SwapNames& before) {
  const FileDescriptor swaps(::open("/proc/swaps", O_RDONLY | O_CLOEXEC));
  while (swaps.is_open() && is_newly_swap(before)) {
    pollfd wait{swaps.get(), POLLERR | POLLPRI, 0};
    static_cast<void>(::poll(&wait, 1, 1000));
  }
}

// In the keeper: makes the namespace, says over `said` that it is there ("") or why not, and serves
// until the other end of `until_closed` is closed.
[[noreturn]] void keep_namespace(const std::string& tree, FileDescriptor said,
                                 const FileDescriptor& until_closed) {
  const auto end = [&said](const InputError& error) {
    static_cast<void>(!::write(said.get(), error.text.data(), error.text.size()));
    ::_exit(kExitFailure);
  };
  ::setsid();
  const SwapNames before = zram_swaps();
  for (const int number : kPassedSignals) ::signal(number, SIG_IGN);
  for (const int number : kTerminalSignals) ::signal(number, SIG_IGN);
  if (const InputResult<void> entered = enter_zram_namespace(tree); !entered) end(entered.error());
  auto mounts = DevMounts::mount(tree);
  if (!mounts) end(mounts.error());
  const FileDescriptor stop(::eventfd(0, EFD_CLOEXEC));
  std::thread server([&mounts, &stop] { (*mounts)->view().serve(stop.get()); });
  if (const InputResult<void> back = (*mounts)->put_back(); !back) end(back.error());
  // Nothing of the caller's is kept open.
  for (const int own : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    static_cast<void>(::dup2(null.get(), own));
  }
  said.reset();
  char byte = 0;
  while (::read(until_closed.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  wait_for_swapoff(before);
  uncover_zram_namespace();
  ::_exit(0);
}

struct Keeper {
  pid_t id = 0;
  FileDescriptor alive;  // Closed at the end; the keeper waits for that.
};

InputResult<Keeper> start_keeper(const std::string& tree) {
  std::array<int, 2> said_ends{};
  std::array<int, 2> alive_ends{};
  if (::pipe2(said_ends.data(), O_CLOEXEC) != 0) return refuse(errno, "too many open files");
  FileDescriptor said_reader(said_ends[0]);
  FileDescriptor said_writer(said_ends[1]);
  if (::pipe2(alive_ends.data(), O_CLOEXEC) != 0) return refuse(errno, "too many open files");
  FileDescriptor alive_reader(alive_ends[0]);
  Keeper keeper;
  keeper.alive = FileDescriptor(alive_ends[1]);
  keeper.id = ::fork();
  if (keeper.id < 0) return refuse(errno, "no process can be made");
  if (keeper.id == 0) {
    said_reader.reset();
    keeper.alive.reset();
    keep_namespace(tree, std::move(said_writer), alive_reader);
  }
  said_writer.reset();
  std::string problem;
  std::array<char, 512> text{};
  while (true) {
    const ssize_t bytes = ::read(said_reader.get(), text.data(), text.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    problem.append(text.data(), static_cast<std::size_t>(bytes));
  }
  if (!problem.empty()) return refuse(EPERM, problem);
  return keeper;
}

bool enter_namespace_of(pid_t process) {
  const std::string path = fmt::format("/proc/{}/ns/mnt", process);
  const FileDescriptor space(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> folder{};
  // setns goes to the root; the program is to start where the caller is.
  const bool has_folder = ::getcwd(folder.data(), folder.size()) != nullptr;
  if (!space.is_open() || ::setns(space.get(), CLONE_NEWNS) != 0) return false;
  if (has_folder) static_cast<void>(!::chdir(folder.data()));
  return true;
}

// --- the program -------------------------------------------------------------------------------

[[noreturn]] void become_program(const std::vector<std::string>& program, const sigset_t& mask) {
  for (const int number : kTerminalSignals) ::signal(number, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  std::vector<char*> words;
  words.reserve(program.size() + 1);
  // execvp does not change the words; its type is older than const.
  for (const std::string& word : program) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  // systemd's tools refuse a device's folder that is not in sysfs, unless told.
  ::setenv("SYSTEMD_DEVICE_VERIFY_SYSFS", "0", 1);
  ::execvp(words[0], words.data());
  const int code = errno;
  say_failure(fmt::format("{}: {}", program.front(), std::strerror(code)));
  ::_exit(code == ENOENT ? kNotFound : kNotStarted);
}

// Ends as the program did.
int end_like(int status) {
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  const int number = WTERMSIG(status);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(number, SIG_DFL);
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, number);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  ::raise(number);
  return 128 + number;
}

// Requires: in the namespace. Returns: how the program ended; nullopt when there was no process.
std::optional<int> run_and_wait(const std::vector<std::string>& program) {
  sigset_t passed;
  sigset_t mask;
  ::sigemptyset(&passed);
  for (const int number : kPassedSignals) ::sigaddset(&passed, number);
  for (const int number : kTerminalSignals) ::signal(number, SIG_IGN);
  ::pthread_sigmask(SIG_BLOCK, &passed, &mask);
  program_id = ::fork();
  if (program_id < 0) return std::nullopt;
  if (program_id == 0) become_program(program, mask);
  for (const int number : kPassedSignals) ::signal(number, pass_on_signal);
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  int status = 0;
  while (::waitpid(program_id, &status, 0) < 0 && errno == EINTR) {
  }
  // The number may be another process's from now on.
  for (const int number : kPassedSignals) ::signal(number, SIG_IGN);
  return status;
}

// --- the device that scripts expect: a module that is loaded has one --------------------------

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Adds a device where there is none. Returns: its number, or empty.
std::string add_first_device(const std::string& tree) {
  if (::access((tree + "/block/zram0").c_str(), F_OK) == 0) return {};
  return first_line(tree + "/class/zram-control/hot_add");
}

void remove_if_unused(const std::string& tree, const std::string& number) {
  if (number.empty() || first_line(tree + "/block/zram" + number + "/initstate") != "0") return;
  std::ofstream(tree + "/class/zram-control/hot_remove") << number;
}

}  // namespace

int run_zram_shell(const std::string& tree, const std::vector<std::string>& program) {
  if (::geteuid() != 0) {
    return say_failure("shell: a mount namespace over /sys and /dev needs root");
  }
  if (::access((tree + "/machine/block").c_str(), F_OK) != 0) {
    return say_failure(
        fmt::format("shell: no daemon has its attributes at {}; start 'uzram serve', "
                    "or name the folder with --sys",
                    tree));
  }
  const SwapNames swaps_before = zram_swaps();
  const std::string added = add_first_device(tree);
  InputResult<Keeper> keeper = start_keeper(tree);
  if (!keeper) {
    remove_if_unused(tree, added);
    return say_failure("shell: " + keeper.error().text);
  }
  if (!enter_namespace_of(keeper->id)) return say_failure("shell: the namespace cannot be entered");
  const std::optional<int> status = run_and_wait(program);
  remove_if_unused(tree, added);
  keeper->alive.reset();
  // While one of our disks is swap the keeper stays, and the swap has its name.
  if (!is_newly_swap(swaps_before)) ::waitpid(keeper->id, nullptr, 0);
  return status ? end_like(*status) : say_failure("shell: no process can be made");
}

}  // namespace uzram

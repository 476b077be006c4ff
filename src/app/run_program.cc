// SPDX-License-Identifier: Apache-2.0
#include "app/run_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/file_descriptor.h"
#include "control/input_error.h"

namespace uzram {

namespace {

// The child's descriptors and signals: nothing of the daemon's.
class SpawnSettings {
 public:
  explicit SpawnSettings(int output) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, output, STDERR_FILENO);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  [[nodiscard]] const posix_spawn_file_actions_t* actions() const { return &actions_; }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

std::string read_to_end(const FileDescriptor& pipe) {
  std::string text;
  std::array<char, 4096> bytes;
  while (true) {
    const ssize_t got = ::read(pipe.get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

std::string last_line_of(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  const std::size_t newline = text.rfind('\n');
  return newline == std::string::npos ? text : text.substr(newline + 1);
}

// Where the system keeps its own programs, whatever the PATH of the caller says.
constexpr std::array kSystemFolders{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"};

// Returns: the full path, or nothing when there is no such program.
std::string system_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  for (const char* folder : kSystemFolders) {
    std::string path = folder + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

}  // namespace

ProgramOutcome run_program(const std::vector<std::string>& words) {
  UZ_CHECK(!words.empty());
  const std::string path = system_program(words.front());
  if (path.empty()) return {127, errno_name(ENOENT)};
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {127, errno_name(errno)};
  const FileDescriptor reader(ends[0]);
  FileDescriptor writer(ends[1]);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  // posix_spawn does not change the words; its type is older than const.
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  const SpawnSettings settings(writer.get());
  // Nothing of the caller's environment: it may steer libraries, languages and paths.
  std::string search = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  std::string language = "LANG=C";
  const std::array<char*, 3> environment{search.data(), language.data(), nullptr};
  const int code = ::posix_spawn(&child, path.c_str(), settings.actions(), settings.attributes(),
                                 arguments.data(), environment.data());
  if (code != 0) return {127, errno_name(code)};
  writer.reset();
  ProgramOutcome outcome;
  outcome.last_line = last_line_of(read_to_end(reader));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace uzram

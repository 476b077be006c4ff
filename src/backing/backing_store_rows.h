// SPDX-License-Identifier: Apache-2.0
// backing/backing_store_rows.h: every kind of backing store, made for a test and gone after it.
//
// What:    temporary files, loop devices over them, and nbdkit servers. Whatever a test does, its
//          destructors end what was started.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backing/open_backing_store.h"

namespace uzram {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    const char* parent = std::getenv("TMPDIR");
    path_ = std::string(parent != nullptr ? parent : "/tmp") + "/uzram-backing-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    for (const std::string& file : files_) ::unlink(file.c_str());
    if (!path_.empty()) ::rmdir(path_.c_str());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  // A path in the folder, removed with it.
  std::string path(const std::string& name) {
    files_.push_back(path_ + "/" + name);
    return files_.back();
  }
  std::string make_file(const std::string& name, std::uint64_t bytes) {
    std::string file = path(name);
    const FileDescriptor made(::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    EXPECT_EQ(::ftruncate(made.get(), static_cast<off_t>(bytes)), 0);
    return file;
  }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

// Runs a program and returns what it wrote, without the last line end; nullopt when it failed.
inline std::optional<std::string> output_of(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "re");
  if (pipe == nullptr) return std::nullopt;
  std::string output;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe))
    output.push_back(static_cast<char>(c));
  if (::pclose(pipe) != 0) return std::nullopt;
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

class LoopOverFile {
 public:
  explicit LoopOverFile(const std::string& file) {
    if (::geteuid() == 0) path_ = output_of("losetup --find --show " + file).value_or("");
  }
  ~LoopOverFile() {
    if (is_there()) static_cast<void>(output_of("losetup --detach " + path_));
  }
  LoopOverFile(const LoopOverFile&) = delete;
  LoopOverFile& operator=(const LoopOverFile&) = delete;

  [[nodiscard]] bool is_there() const { return !path_.empty(); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// nbdkit on a Unix socket.
class NbdServer {
 public:
  NbdServer(TemporaryFolder& folder, std::vector<std::string> words)
      : socket_(folder.path("nbd.sock")), words_(std::move(words)) {
    start();
  }
  ~NbdServer() { end(); }
  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;

  [[nodiscard]] std::string uri() const { return "nbd+unix:///?socket=" + socket_; }
  [[nodiscard]] bool is_up() const { return is_up_; }
  // Takes requests no more, and keeps its connections.
  void stall() const {
    int status = 0;
    ::kill(process_, SIGSTOP);
    ::waitpid(process_, &status, WUNTRACED);
  }
  void go_on() const { ::kill(process_, SIGCONT); }
  // Without a goodbye.
  void end() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = -1;
    is_up_ = false;
  }
  void start() {
    ::unlink(socket_.c_str());
    std::vector<std::string> all = {"nbdkit", "-f", "-U", socket_};
    all.insert(all.end(), words_.begin(), words_.end());
    std::vector<char*> arguments;
    arguments.reserve(all.size() + 1);
    for (std::string& word : all) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = ::fork();
    if (process_ == 0) {
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    wait_until_up();
  }

 private:
  // The socket is in the folder before anybody listens to it.
  [[nodiscard]] bool takes_connections() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const FileDescriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
           0;
  }
  void wait_until_up() {
    for (int i = 0; i < 500; ++i) {
      is_up_ = takes_connections();
      if (is_up_ || ::waitpid(process_, nullptr, WNOHANG) != 0) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  const std::string socket_;
  std::vector<std::string> words_;
  pid_t process_ = -1;
  bool is_up_ = false;
};

}  // namespace uzram

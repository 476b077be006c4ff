// SPDX-License-Identifier: Apache-2.0
#include "backing/file_use.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/file_descriptor.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;

// How long a program that only has a look may keep the file open for writing.
constexpr std::chrono::milliseconds kWriterPause{20};
constexpr int kWriterPauses = 10;

bool is_same_file(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

bool is_at(const std::string& path, const struct stat& file) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && is_same_file(status, file);
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

bool is_loop_over(const std::string& node, const std::string& backing_path,
                  const struct stat& file) {
  const FileDescriptor loop(::open(node.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  loop_info64 info{};
  if (!loop.is_open() || ::ioctl(loop.get(), LOOP_GET_STATUS64, &info) != 0) {
    return is_at(backing_path, file);  // No node here (a container): the path has to do.
  }
  return info.lo_device == file.st_dev && info.lo_inode == file.st_ino;
}

std::optional<std::string> find_loop(const struct stat& file) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/sys/block", ignored)) {
    const std::string name = entry.path().filename().string();
    const std::string backing_path = first_line(entry.path() / "loop" / "backing_file");
    if (backing_path.empty()) continue;
    if (is_loop_over("/dev/" + name, backing_path, file)) return "the file of /dev/" + name;
  }
  return std::nullopt;
}

// The kernel writes blank, tab, newline and backslash as a backslash and three octal digits.
std::string without_octal_escapes(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string digits = text.substr(i + 1 < text.size() ? i + 1 : i, 3);
    const bool is_escape = text[i] == '\\' && digits.size() == 3 &&
                           digits.find_first_not_of("01234567") == std::string::npos;
    plain += is_escape ? static_cast<char>(std::stoi(digits, nullptr, 8)) : text[i];
    if (is_escape) i += digits.size();
  }
  return plain;
}

bool is_swap(const struct stat& file) {
  std::ifstream table("/proc/swaps");
  std::string line;
  std::getline(table, line);  // The head of the table.
  while (std::getline(table, line)) {
    if (is_at(without_octal_escapes(line.substr(0, line.find_first_of(" \t"))), file)) return true;
  }
  return false;
}

bool is_locked(int descriptor) {
  if (::flock(descriptor, LOCK_SH | LOCK_NB) != 0) return errno == EWOULDBLOCK;
  ::flock(descriptor, LOCK_UN);
  return false;
}

// A read lease is to be had only while nobody has the file open for writing.
bool has_writer(int descriptor) {
  if (::fcntl(descriptor, F_SETSIG, SIGURG) != 0) return false;
  for (int i = 0; i < kWriterPauses; ++i) {
    if (::fcntl(descriptor, F_SETLEASE, F_RDLCK) == 0) {
      static_cast<void>(::fcntl(descriptor, F_SETLEASE, F_UNLCK));
      return false;
    }
    if (errno != EAGAIN) return false;
    std::this_thread::sleep_for(kWriterPause);
  }
  return true;
}

}  // namespace

std::optional<std::string> find_file_use(int descriptor) {
  struct stat file {};
  if (::fstat(descriptor, &file) != 0) return std::nullopt;
  if (is_locked(descriptor)) return "the store of another device, or locked by another program";
  if (is_swap(file)) return "used as swap";
  if (auto loop = find_loop(file)) return loop;
  if (has_writer(descriptor)) return "open for writing in another program";
  return std::nullopt;
}

std::optional<std::string> find_use_below_loop(int loop_descriptor) {
  loop_info64 info{};
  if (::ioctl(loop_descriptor, LOOP_GET_STATUS64, &info) != 0) return std::nullopt;
  const std::string name = "loop" + std::to_string(info.lo_number);
  const std::string path = first_line(fs::path("/sys/block") / name / "loop" / "backing_file");
  const FileDescriptor below(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!below.is_open() || ::fstat(below.get(), &status) != 0) return std::nullopt;
  if (info.lo_device != status.st_dev || info.lo_inode != status.st_ino) return std::nullopt;
  if (S_ISREG(status.st_mode) && is_locked(below.get())) {
    return "a loop device over a file that is another device's store";
  }
  return std::nullopt;
}

}  // namespace uzram

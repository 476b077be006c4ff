// SPDX-License-Identifier: Apache-2.0
#include "app/program_file.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

namespace uzram {
namespace {

constexpr unsigned kMostInterpreters = 5;  // As the kernel's.

bool is_executable(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

std::string find_in_path(const std::string& name) {
  if (name.find('/') != std::string::npos) return is_executable(name) ? name : std::string();
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string full = (folder.empty() ? "." : folder) + "/" + name;
    if (is_executable(full)) return full;
  }
  return {};
}

bool has_interpreter(std::ifstream& file, const Elf64_Ehdr& head) {
  for (unsigned i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr part{};
    file.seekg(static_cast<std::streamoff>(head.e_phoff + std::uint64_t{i} * head.e_phentsize));
    if (!file.read(reinterpret_cast<char*>(&part), sizeof part)) return false;
    if (part.p_type == PT_INTERP) return true;
  }
  return false;
}

bool gives_rights(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return false;
  return ((status.st_mode & S_ISUID) != 0 && status.st_uid != ::geteuid()) ||
         ((status.st_mode & S_ISGID) != 0 && status.st_gid != ::getegid());
}

// The word behind "#!"; empty for what is no script.
std::string interpreter_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string line;
  if (!std::getline(file, line) || line.rfind("#!", 0) != 0) return {};
  std::istringstream words(line.substr(2));
  std::string word;
  words >> word;
  return word;
}

// Why a library cannot be put before this file; empty: it can.
std::string obstacle(const std::string& path) {
  if (gives_rights(path)) return "gets rights from its file, so the system loads nothing before it";
  std::ifstream file(path, std::ios::binary);
  Elf64_Ehdr head{};
  file.read(reinterpret_cast<char*>(&head), sizeof head);
  if (!file || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) return "is no program";
  if (head.e_ident[EI_CLASS] != ELFCLASS64) return "is not a 64-bit program";
  if (!has_interpreter(file, head))
    return "is linked statically, so nothing can be loaded before it";
  return {};
}

}  // namespace

InputResult<std::string> find_preloadable_program(const std::string& name) {
  const std::string found = find_in_path(name);
  if (found.empty())
    return refuse(ENOENT, fmt::format("exec: there is no program {}", quote(name)));
  std::string looked_at = found;
  for (unsigned i = 0; i < kMostInterpreters; ++i) {
    const std::string interpreter = interpreter_of(looked_at);
    if (interpreter.empty()) break;
    looked_at = interpreter;
  }
  const std::string problem = obstacle(looked_at);
  if (!problem.empty())
    return refuse(EINVAL, fmt::format("exec: {} {}", quote(looked_at), problem));
  return found;
}

}  // namespace uzram

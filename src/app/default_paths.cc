// SPDX-License-Identifier: Apache-2.0
#include "app/default_paths.h"

#include <unistd.h>

#include <cstdlib>

namespace uzram {

InputResult<std::string> default_state_folder() {
  if (::geteuid() == 0) return std::string("/run/uzram");
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') return std::string(runtime) + "/uzram";
  return refuse(EINVAL, "XDG_RUNTIME_DIR is not set, so say where: --socket PATH");
}

InputResult<std::string> socket_path_or_default(const std::string& given) {
  if (!given.empty()) return given;
  InputResult<std::string> folder = default_state_folder();
  if (!folder) return folder;
  return *folder + "/control";
}

}  // namespace uzram

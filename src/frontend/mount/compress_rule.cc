// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/compress_rule.h"

#include <strings.h>

#include <algorithm>

namespace uzram {
namespace {

bool is_listed(const std::vector<std::string>& extensions, std::string_view name) {
  return std::any_of(extensions.begin(), extensions.end(),
                     [name](const std::string& each) { return has_extension(name, each); });
}

}  // namespace

bool has_extension(std::string_view name, std::string_view extension) {
  if (extension == "*") return true;
  if (name.size() < extension.size() + 2) return false;
  const std::string_view tail = name.substr(name.size() - extension.size());
  return name[name.size() - extension.size() - 1] == '.' &&
         ::strncasecmp(tail.data(), extension.data(), extension.size()) == 0;
}

bool CompressRule::wants(std::string_view name, CompressFlag folder, CompressFlag file) const {
  if (file != CompressFlag::Unset) return file == CompressFlag::Compress;
  if (is_listed(do_not, name)) return false;
  if (is_listed(compress, name)) return true;
  if (folder != CompressFlag::Unset) return folder == CompressFlag::Compress;
  return compress.empty();
}

}  // namespace uzram

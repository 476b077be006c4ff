// SPDX-License-Identifier: Apache-2.0
#include "backing/open_backing_store.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "backing/backing_file.h"
#include "backing/nbd_store.h"
#include "backing/threaded_store.h"
#include "backing/uring_store.h"

namespace uzram {
namespace {

constexpr std::array<std::string_view, 4> kNbdSchemes = {"nbd://", "nbd+unix://", "nbds://",
                                                         "nbds+unix://"};

Result<std::unique_ptr<BackingStore>> make_file_store(BackingFile file,
                                                      const BackingOptions& options,
                                                      FileEngine engine) {
  if (engine == FileEngine::Automatic) {
    Result<std::unique_ptr<BackingStore>> store = make_uring_store(file, options);
    if (store) return store;
    // Containers forbid io_uring, old kernels lack it or charge it to the locked memory.
  }
  return make_threaded_store(std::move(file), options);
}

}  // namespace

bool is_nbd_uri(const std::string& word) {
  return std::any_of(kNbdSchemes.begin(), kNbdSchemes.end(),
                     [&word](std::string_view scheme) { return word.rfind(scheme, 0) == 0; });
}

Result<std::unique_ptr<BackingStore>> open_backing_store(const std::string& word,
                                                         const BackingOptions& options,
                                                         FileEngine engine) {
  if (is_nbd_uri(word)) return make_nbd_store(word, options);
  Result<BackingFile> file = open_backing_file(word);
  if (!file) return fail(file.error().code);
  return make_file_store(std::move(*file), options, engine);
}

Result<std::unique_ptr<BackingStore>> adopt_backing_file(FileDescriptor descriptor,
                                                         const BackingOptions& options,
                                                         FileEngine engine) {
  Result<BackingFile> file = adopt_open_file(std::move(descriptor));
  if (!file) return fail(file.error().code);
  return make_file_store(std::move(*file), options, engine);
}

}  // namespace uzram

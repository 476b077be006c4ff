// SPDX-License-Identifier: Apache-2.0
// codec/settings.h: what every algorithm's factory does first and last.
//
// What:   settle checks parameters against a row of the table; make_object, make_shared_object
//         and Workspace allocate without exceptions; char_pointer is how C libraries see bytes.
// Errors: settle -> EINVAL. make_object -> ENOMEM. A Workspace without memory is false.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "codec/codec.h"

namespace uzram {

// Returns: the level to use, params.level or the row's standard one.
// Errors: EINVAL: a level outside the row's range, a dictionary or window bits that the algorithm
// does not take, block_bytes that is no block.
[[nodiscard]] Result<int> settle(const CodecParams& params, const CodecInfo& row);

// The dictionary's bytes; empty when there is none.
[[nodiscard]] std::string_view dictionary_of(const CodecParams& params);

template <typename Base, typename Made, typename... Arguments>
[[nodiscard]] Result<std::unique_ptr<Base>> make_object(Arguments&&... arguments) {
  std::unique_ptr<Base> made(new (std::nothrow) Made(std::forward<Arguments>(arguments)...));
  if (!made) return fail(ENOMEM);
  return made;
}

// Returns: nullptr without memory.
template <typename Made, typename... Arguments>
[[nodiscard]] std::shared_ptr<const Made> make_shared_object(Arguments&&... arguments) {
  try {
    return std::make_shared<Made>(std::forward<Arguments>(arguments)...);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// Aligned memory for a library's context, or for an encoder's tables.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes)
      : bytes_(static_cast<std::size_t>(round_up(bytes, kAlignmentBytes))),
        data_(static_cast<std::byte*>(std::aligned_alloc(kAlignmentBytes, bytes_))) {}

  explicit operator bool() const { return data_ != nullptr; }
  [[nodiscard]] std::byte* data() { return data_.get(); }
  [[nodiscard]] std::size_t size() const { return bytes_; }

 private:
  static constexpr std::size_t kAlignmentBytes = 64;
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };

  std::size_t bytes_;
  std::unique_ptr<std::byte, Free> data_;
};

inline const char* char_pointer(ConstBytes bytes) {
  return reinterpret_cast<const char*>(bytes.data());
}
inline char* char_pointer(MutableBytes bytes) { return reinterpret_cast<char*>(bytes.data()); }

}  // namespace uzram

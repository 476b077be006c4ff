// SPDX-License-Identifier: Apache-2.0
// Streams: libc hands large buffers on to the kernel as they are, by calls of its own that nobody
// can stand in for. So what is paged is held, or copied, before it gets there. A stream's own
// buffer is libc's, which is not paged.
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>

#include "preload/interpose/guarded_call.h"

namespace uzram::exec {
namespace {

using ReadFunction = std::size_t(void*, std::size_t, std::size_t, FILE*);
using WriteFunction = std::size_t(const void*, std::size_t, std::size_t, FILE*);

// In pieces that may be held at once; the stream is this thread's meanwhile.
template <typename Piece>
std::size_t in_pieces(const char* name, const void* start, std::uint64_t bytes, bool is_written,
                      FILE* stream, Piece piece) {
  const std::uint64_t most = most_pinned_bytes();
  ::flockfile(stream);
  std::uint64_t done = 0;
  while (done < bytes) {
    const std::uint64_t wanted = std::min(bytes - done, most);
    Guard guard(name);
    guard.hold(static_cast<const std::byte*>(start) + done, wanted, is_written);
    const std::uint64_t got = piece(done, wanted);
    done += got;
    if (got < wanted) break;
  }
  ::funlockfile(stream);
  return done;
}

std::size_t read_items(ReadFunction* next, void* buffer, std::size_t bytes, std::size_t count,
                       FILE* stream) {
  std::size_t whole = 0;
  if (!is_paged(buffer) || !needs_guard() || bytes == 0 ||
      __builtin_mul_overflow(bytes, count, &whole))
    return next(buffer, bytes, count, stream);
  auto* const place = static_cast<std::byte*>(buffer);
  return in_pieces("fread", buffer, whole, true, stream,
                   [&](std::uint64_t done, std::uint64_t wanted) {
                     return next(place + done, 1, wanted, stream);
                   }) /
         bytes;
}

std::size_t write_items(WriteFunction* next, const void* buffer, std::size_t bytes,
                        std::size_t count, FILE* stream) {
  std::size_t whole = 0;
  if (!is_paged(buffer) || !needs_guard() || bytes == 0 ||
      __builtin_mul_overflow(bytes, count, &whole))
    return next(buffer, bytes, count, stream);
  const auto* const place = static_cast<const std::byte*>(buffer);
  return in_pieces("fwrite", buffer, whole, false, stream,
                   [&](std::uint64_t done, std::uint64_t wanted) {
                     return next(place + done, 1, wanted, stream);
                   }) /
         bytes;
}

// Strings among the values may be paged, and longer than the stream's buffer: the text is made in
// memory first.
int print(FILE* stream, const char* format, va_list values) {
  auto* const next = UZ_NEXT(int(FILE*, const char*, va_list), "vfprintf");
  if (!needs_guard() || std::fwide(stream, 0) > 0) return next(stream, format, values);
  std::array<char, 1024> room;
  va_list again;
  va_copy(again, values);
  const int length = std::vsnprintf(room.data(), room.size(), format, values);
  char* text = room.data();
  if (length >= static_cast<int>(room.size())) {
    const InsideScope inside;  // Its memory is not paged.
    if (::vasprintf(&text, format, again) < 0) text = nullptr;
  }
  va_end(again);
  if (length < 0 || text == nullptr) return -1;
  const auto bytes = static_cast<std::size_t>(length);
  const std::size_t done = UZ_NEXT(WriteFunction, "fwrite")(text, 1, bytes, stream);
  if (text != room.data()) std::free(text);
  return done == bytes ? length : -1;
}

// A buffer that stays the stream's: nobody knows until when.
void keep_buffer(void* buffer, std::size_t bytes) {
  if (buffer == nullptr || !is_paged(buffer) || !needs_guard()) return;
  const InsideScope inside;
  if (!machinery()->space->keep(buffer, bytes, PagedSpace::Keep::Locked))
    give_up("the memory limit has no room for the buffer of", "setvbuf");
}

}  // namespace
}  // namespace uzram::exec

namespace exec = uzram::exec;

UZ_EXPORT std::size_t fread(void* buffer, std::size_t bytes, std::size_t count, FILE* stream) {
  return exec::read_items(UZ_NEXT(exec::ReadFunction, "fread"), buffer, bytes, count, stream);
}
UZ_EXPORT std::size_t fread_unlocked(void* buffer, std::size_t bytes, std::size_t count,
                                     FILE* stream) {
  return exec::read_items(UZ_NEXT(exec::ReadFunction, "fread_unlocked"), buffer, bytes, count,
                          stream);
}
// NOLINTNEXTLINE(bugprone-reserved-identifier): libc's name.
UZ_EXPORT std::size_t __fread_chk(void* buffer, std::size_t buffer_bytes, std::size_t bytes,
                                  std::size_t count, FILE* stream) {
  if (bytes != 0 && count > buffer_bytes / bytes)
    exec::give_up("a buffer is too small for", "fread");
  return exec::read_items(UZ_NEXT(exec::ReadFunction, "fread"), buffer, bytes, count, stream);
}
// NOLINTNEXTLINE(bugprone-reserved-identifier): libc's name.
UZ_EXPORT std::size_t __fread_unlocked_chk(void* buffer, std::size_t buffer_bytes,
                                           std::size_t bytes, std::size_t count, FILE* stream) {
  if (bytes != 0 && count > buffer_bytes / bytes)
    exec::give_up("a buffer is too small for", "fread_unlocked");
  return exec::read_items(UZ_NEXT(exec::ReadFunction, "fread_unlocked"), buffer, bytes, count,
                          stream);
}
UZ_EXPORT std::size_t fwrite(const void* buffer, std::size_t bytes, std::size_t count,
                             FILE* stream) {
  return exec::write_items(UZ_NEXT(exec::WriteFunction, "fwrite"), buffer, bytes, count, stream);
}
UZ_EXPORT std::size_t fwrite_unlocked(const void* buffer, std::size_t bytes, std::size_t count,
                                      FILE* stream) {
  return exec::write_items(UZ_NEXT(exec::WriteFunction, "fwrite_unlocked"), buffer, bytes, count,
                           stream);
}

UZ_EXPORT int fputs(const char* text, FILE* stream) {
  if (!exec::is_paged(text)) return UZ_NEXT(int(const char*, FILE*), "fputs")(text, stream);
  const std::size_t bytes = std::strlen(text);
  return ::fwrite(text, 1, bytes, stream) == bytes ? 1 : EOF;
}
UZ_EXPORT int fputs_unlocked(const char* text, FILE* stream) {
  if (!exec::is_paged(text))
    return UZ_NEXT(int(const char*, FILE*), "fputs_unlocked")(text, stream);
  const std::size_t bytes = std::strlen(text);
  return ::fwrite_unlocked(text, 1, bytes, stream) == bytes ? 1 : EOF;
}
UZ_EXPORT int puts(const char* text) {
  if (!exec::is_paged(text)) return UZ_NEXT(int(const char*), "puts")(text);
  ::flockfile(stdout);
  const bool is_done = ::fputs(text, stdout) != EOF && std::fputc('\n', stdout) != EOF;
  ::funlockfile(stdout);
  return is_done ? 1 : EOF;
}

UZ_EXPORT int setvbuf(FILE* stream, char* buffer, int mode, std::size_t bytes) noexcept {
  exec::keep_buffer(buffer, bytes);
  return UZ_NEXT(int(FILE*, char*, int, std::size_t), "setvbuf")(stream, buffer, mode, bytes);
}
UZ_EXPORT void setbuffer(FILE* stream, char* buffer, std::size_t bytes) noexcept {
  exec::keep_buffer(buffer, bytes);
  UZ_NEXT(void(FILE*, char*, std::size_t), "setbuffer")(stream, buffer, bytes);
}
UZ_EXPORT void setbuf(FILE* stream, char* buffer) noexcept {
  exec::keep_buffer(buffer, BUFSIZ);
  UZ_NEXT(void(FILE*, char*), "setbuf")(stream, buffer);
}

#define UZ_PRINT_REST(stream)                             \
  va_list values;                                         \
  va_start(values, format);                               \
  const int length = exec::print(stream, format, values); \
  va_end(values);                                         \
  return length

UZ_EXPORT int vfprintf(FILE* stream, const char* format, va_list values) {
  return exec::print(stream, format, values);
}
UZ_EXPORT int vprintf(const char* format, va_list values) {
  return exec::print(stdout, format, values);
}
UZ_EXPORT int fprintf(FILE* stream, const char* format, ...) { UZ_PRINT_REST(stream); }
UZ_EXPORT int printf(const char* format, ...) { UZ_PRINT_REST(stdout); }
// NOLINTBEGIN(bugprone-reserved-identifier): libc's names.
UZ_EXPORT int __vfprintf_chk(FILE* stream, int, const char* format, va_list values) {
  return exec::print(stream, format, values);
}
UZ_EXPORT int __vprintf_chk(int, const char* format, va_list values) {
  return exec::print(stdout, format, values);
}
UZ_EXPORT int __fprintf_chk(FILE* stream, int, const char* format, ...) { UZ_PRINT_REST(stream); }
UZ_EXPORT int __printf_chk(int, const char* format, ...) { UZ_PRINT_REST(stdout); }
// NOLINTEND(bugprone-reserved-identifier)

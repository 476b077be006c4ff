// SPDX-License-Identifier: Apache-2.0
#include "preload/interpose/guarded_call.h"

#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>

#include "base/check.h"

namespace uzram::exec {
namespace {

constexpr std::uint64_t kLeastPieceBytes = kPageBytes;
constexpr const char* kNoRoom = "the memory limit has no room for the buffers of";

long call(SixArguments function, const Arguments& a) {
  return function(a[0], a[1], a[2], a[3], a[4], a[5]);
}

// A stream gives what it has: asking again could wait for what never comes.
bool gives_all_at_once(long descriptor) {
  struct stat status {};
  const InsideScope inside;
  return ::fstat(static_cast<int>(descriptor), &status) == 0 &&
         (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
}

// Holds what the arguments say. False: there is no room for all of it.
bool hold_all(CallPins& pins, const CallRow& row, const Arguments& arguments) {
  const InsideScope inside;
  return pins.hold_arguments(row, arguments).has_value();
}

void let_go(CallPins& pins) {
  const InsideScope inside;
  pins.let_go();
}

// pread, pwrite and theirs: the offset is the fourth argument.
bool is_positioned(const CallRow& row) {
  const std::string_view name(row.name);
  return name.starts_with("p") || name.starts_with("__p");
}

// Where a piece of a buffer begins, how much it is, and at which offset of the file.
Arguments piece_of(const CallRow& row, const Arguments& whole, std::uint64_t done,
                   std::uint64_t bytes) {
  Arguments piece = whole;
  piece[1] += static_cast<long>(done);
  piece[2] = static_cast<long>(bytes);
  if (is_positioned(row)) piece[3] += static_cast<long>(done);
  return piece;
}

long call_in_pieces(const CallRow& row, SixArguments function, const Arguments& whole) {
  const auto total = static_cast<std::uint64_t>(whole[2]);
  const bool goes_on = !row.rules[0].is_written || gives_all_at_once(whole[0]);
  std::uint64_t most = most_pinned_bytes();
  std::uint64_t done = 0;
  CallPins pins(*machinery()->space);
  while (true) {
    const std::uint64_t wanted = std::min(total - done, most);
    const Arguments piece = piece_of(row, whole, done, wanted);
    if (!hold_all(pins, row, piece)) {
      if (most <= kLeastPieceBytes) give_up(kNoRoom, row.name);
      most /= 2;
      continue;
    }
    const long got = call(function, piece);
    let_go(pins);
    if (got < 0) return done != 0 ? static_cast<long>(done) : got;
    done += static_cast<std::uint64_t>(got);
    if (static_cast<std::uint64_t>(got) < wanted || done == total || !goes_on)
      return static_cast<long>(done);
  }
}

// readv and writev, element by element: what one call does to all of them, several do one by one.
long call_by_elements(const CallRow& row, const Arguments& whole) {
  const bool is_read = row.rules[0].is_written;
  const auto count = static_cast<std::uint64_t>(whole[2]) & 0xffffffffU;
  const auto* const parts = static_cast<const iovec*>(pointer_of(whole[1]));
  const bool has_offset = is_positioned(row);
  const CallRow& single =
      *find_call(has_offset ? (is_read ? "pread64" : "pwrite64") : (is_read ? "read" : "write"));
  const auto single_function = reinterpret_cast<SixArguments>(find_next(single.name));
  long done = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (parts[i].iov_len == 0) continue;
    const Arguments each{whole[0], reinterpret_cast<long>(parts[i].iov_base),
                         static_cast<long>(parts[i].iov_len), has_offset ? whole[3] + done : 0};
    const long got = call_in_pieces(single, single_function, each);
    if (got < 0) return done != 0 ? done : got;
    done += got;
    if (static_cast<std::uint64_t>(got) < parts[i].iov_len) break;
  }
  return done;
}

std::uint64_t vector_bytes(const Arguments& arguments) {
  const auto count = static_cast<std::uint64_t>(arguments[2]) & 0xffffffffU;
  const auto* const parts = static_cast<const iovec*>(pointer_of(arguments[1]));
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; parts != nullptr && i < std::min<std::uint64_t>(count, IOV_MAX); ++i)
    if (is_paged(parts[i].iov_base)) bytes += parts[i].iov_len;
  return bytes;
}

bool is_too_large(const CallRow& row, const Arguments& arguments) {
  if (row.cut == CutKind::None) return false;
  const std::uint64_t bytes = row.cut == CutKind::Bytes ? static_cast<std::uint64_t>(arguments[2])
                                                        : vector_bytes(arguments);
  return bytes > most_pinned_bytes();
}

}  // namespace

std::uint64_t most_pinned_bytes() {
  constexpr std::uint64_t kMost = std::uint64_t{16} << 20;
  constexpr std::uint64_t kLeast = std::uint64_t{256} << 10;
  return std::clamp(settings()->limit_bytes / 16, kLeast, kMost);
}

long guarded_call(const CallRow& row, SixArguments function, const Arguments& arguments) {
  if (!needs_guard() || !CallPins::may_concern(*machinery()->space, row, arguments))
    return call(function, arguments);
  if (!is_too_large(row, arguments)) {
    CallPins pins(*machinery()->space);
    if (hold_all(pins, row, arguments)) {
      const long result = call(function, arguments);
      let_go(pins);
      return result;
    }
    if (row.cut == CutKind::None) give_up(kNoRoom, row.name);
  }
  return row.cut == CutKind::Bytes ? call_in_pieces(row, function, arguments)
                                   : call_by_elements(row, arguments);
}

CallPins& Guard::pins() {
  if (!pins_) pins_.emplace(*machinery()->space);
  return *pins_;
}

void Guard::hold(const void* start, std::uint64_t bytes, bool is_written) {
  if (!is_paged(start) || !needs_guard()) return;
  const InsideScope inside;
  if (!pins().hold(start, bytes, is_written)) give_up(kNoRoom, name_);
}

void Guard::hold_string(const char* text) {
  if (!is_paged(text) || !needs_guard()) return;
  const InsideScope inside;
  if (!pins().hold_string(text)) give_up(kNoRoom, name_);
}

void Guard::hold_strings(const char* const* list) {
  if (!needs_guard()) return;
  const InsideScope inside;
  if (!pins().hold_strings(list)) give_up(kNoRoom, name_);
}

}  // namespace uzram::exec

// SPDX-License-Identifier: Apache-2.0
#include "preload/call_pins.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace uzram {
namespace {

// Requests from before sizes were part of their numbers: no structure of theirs is larger.
constexpr std::uint64_t kOldIoctlBytes = 256;

}  // namespace

Result<void> CallPins::hold(const void* start, std::uint64_t bytes, bool is_written) {
  if (bytes == 0 || !space_.contains(start)) return {};
  const auto offset =
      static_cast<std::uint64_t>(static_cast<const std::byte*>(start) - space_.base());
  bytes = std::min(bytes, space_.bytes() - offset);
  if (bytes >= space_.limit_bytes()) {
    let_go();
    return fail(ENOMEM);
  }
  if (covers(start, bytes)) return {};
  if (first_count_ == kInlineRanges) more_.reserve(more_.size() + 1);
  for (;;) {
    Result<void> pinned;
    {
      const SignalShield shield;
      pinned = space_.pager().pin(start, bytes, is_written);
    }
    if (pinned) break;
    if (pinned.error().code == ENOMEM) {
      let_go();
      return pinned;
    }
    // No region, or a damaged page: the kernel's answer is the right one.
    if (pinned.error().code != EAGAIN) return {};
    ::sched_yield();  // Others have pinned it all too often: they come to an end.
  }
  if (first_count_ < kInlineRanges)
    first_[first_count_++] = {start, bytes};
  else
    more_.push_back({start, bytes});
  return {};
}

// Whether the last range has it already: strings of a list often lie behind each other.
bool CallPins::covers(const void* start, std::uint64_t bytes) const {
  if (first_count_ == 0) return false;
  const Range& last = more_.empty() ? first_[first_count_ - 1] : more_.back();
  const auto from = reinterpret_cast<std::uint64_t>(last.start) / kPageBytes;
  const auto to = (reinterpret_cast<std::uint64_t>(last.start) + last.bytes - 1) / kPageBytes;
  const auto place = reinterpret_cast<std::uint64_t>(start);
  return place / kPageBytes >= from && (place + bytes - 1) / kPageBytes <= to;
}

void CallPins::let_go() {
  if (first_count_ == 0) return;
  const int code = errno;
  const SignalShield shield;
  for (const Range& each : more_)
    UZ_CHECK(space_.pager().unpin(each.start, each.bytes).has_value());
  for (unsigned i = 0; i < first_count_; ++i)
    UZ_CHECK(space_.pager().unpin(first_[i].start, first_[i].bytes).has_value());
  more_.clear();
  first_count_ = 0;
  errno = code;
}

Result<void> CallPins::hold_string(const char* text, bool is_written) {
  if (!space_.contains(text)) return {};
  return hold(text, std::strlen(text) + 1, is_written);
}

Result<void> CallPins::hold_strings(const char* const* list) {
  if (list == nullptr) return {};
  std::uint64_t count = 0;
  for (; list[count] != nullptr; ++count) {
    if (const Result<void> held = hold_string(list[count]); !held) return held;
  }
  return hold(list, (count + 1) * sizeof *list, false);
}

Result<void> CallPins::hold_vector(const void* vector, std::uint64_t count, bool is_written) {
  if (vector == nullptr || count > IOV_MAX) return {};
  const auto* const parts = static_cast<const iovec*>(vector);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Result<void> held = hold(parts[i].iov_base, parts[i].iov_len, is_written);
    if (!held) return held;
  }
  return hold(vector, count * sizeof(iovec), false);
}

Result<void> CallPins::hold_message(const void* message, bool is_written) {
  if (message == nullptr) return {};
  const auto& head = *static_cast<const msghdr*>(message);
  return hold(message, sizeof(msghdr), true)
      .and_then([&] { return hold(head.msg_name, head.msg_namelen, is_written); })
      .and_then([&] { return hold(head.msg_control, head.msg_controllen, is_written); })
      .and_then([&] { return hold_vector(head.msg_iov, head.msg_iovlen, is_written); });
}

Result<void> CallPins::hold_messages(const void* messages, std::uint64_t count, bool is_written) {
  if (messages == nullptr || count > IOV_MAX) return {};
  const auto* const each = static_cast<const mmsghdr*>(messages);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Result<void> held = hold_message(&each[i].msg_hdr, is_written);
    if (!held) return held;
  }
  return hold(messages, count * sizeof(mmsghdr), true);
}

Result<void> CallPins::hold_ioctl(const void* data, unsigned long request) {
  if (!space_.contains(data)) return {};
  const std::uint64_t told = _IOC_SIZE(request);
  if (told != 0) return hold(data, told, true);
  return hold(data, kOldIoctlBytes, true);
}

Result<void> CallPins::hold_rule(const ArgRule& rule, const std::array<long, 6>& arguments) {
  const void* const start = pointer_of(arguments[rule.arg]);
  auto other = static_cast<std::uint64_t>(arguments[rule.other]);
  if (rule.is_narrow) other &= 0xffffffffU;
  switch (rule.kind) {
    case ArgKind::None:
      return {};
    case ArgKind::Bytes:
      return hold(start, rule.bytes, rule.is_written);
    case ArgKind::Counted:
      return hold(start, std::min(other, space_.bytes()) * rule.bytes, rule.is_written);
    case ArgKind::Length: {
      const void* const length = pointer_of(arguments[rule.other]);
      if (start == nullptr || length == nullptr || !space_.contains(start)) return {};
      return hold(start, *static_cast<const std::uint32_t*>(length), rule.is_written);
    }
    case ArgKind::String:
      return hold_string(static_cast<const char*>(start), rule.is_written);
    case ArgKind::Strings:
      return hold_strings(static_cast<const char* const*>(start));
    case ArgKind::Vector:
      return hold_vector(start, other & 0xffffffffU, rule.is_written);
    case ArgKind::Message:
      return hold_message(start, rule.is_written);
    case ArgKind::Messages:
      return hold_messages(start, other & 0xffffffffU, rule.is_written);
    case ArgKind::FdSet:
      return hold(start, round_up(other & 0xffffffffU, 64) / 8, true);
    case ArgKind::IoctlData:
      return hold_ioctl(start, static_cast<unsigned long>(other));
  }
  return {};
}

Result<void> CallPins::hold_arguments(const CallRow& row, const std::array<long, 6>& arguments) {
  for (const ArgRule& rule : row.rules) {
    if (const Result<void> held = hold_rule(rule, arguments); !held) return held;
  }
  return {};
}

bool CallPins::may_concern(const PagedSpace& space, const CallRow& row,
                           const std::array<long, 6>& arguments) {
  for (const ArgRule& rule : row.rules) {
    if (rule.kind == ArgKind::None) return false;
    // These lead to more memory.
    if (rule.kind >= ArgKind::Strings && rule.kind <= ArgKind::Messages) return true;
    if (space.contains(pointer_of(arguments[rule.arg]))) return true;
  }
  return false;
}

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include "pager/uffd_backend.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <system_error>

#include "base/check.h"
#include "pager/die.h"
#include "pager/quiet_thread.h"
#include "pager/uffd_api.h"

namespace uzram {
namespace {

constexpr std::uint64_t needed_features(UffdFaults faults) {
  return UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_REMAP |
         (faults == UffdFaults::AsSignals ? UFFD_FEATURE_SIGBUS : 0);
}

std::uint64_t address_of(const std::byte* base, std::uint64_t page) {
  return reinterpret_cast<std::uint64_t>(base) + page * kPageBytes;
}

// Opens a descriptor that knows no features yet.
FileDescriptor open_plain_uffd(UffdFaults faults, bool& is_device) {
  is_device = false;
  const unsigned only_programs = faults == UffdFaults::AsSignals ? kUffdUserModeOnly : 0;
  FileDescriptor opened(
      static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | only_programs)));
  if (opened.is_open()) return opened;
  const int code = errno;
  const FileDescriptor device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  if (device.is_open()) {
    is_device = true;
    return FileDescriptor(::ioctl(device.get(), _IO(UFFDIO, 0x00), O_CLOEXEC | O_NONBLOCK));
  }
  errno = code;
  return opened;
}

// A descriptor tells its features once only: the first call asks, a second descriptor uses them.
Result<std::uint64_t> ask_features(UffdFaults faults) {
  bool is_device = false;
  const FileDescriptor asked = open_plain_uffd(faults, is_device);
  if (!asked.is_open()) return fail_errno();
  uffdio_api api{};
  api.api = UFFD_API;
  if (::ioctl(asked.get(), UFFDIO_API, &api) != 0) return fail_errno();
  return api.features;
}

std::byte* reserve_addresses(std::uint64_t bytes, int protection) {
  void* place =
      ::mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return place == MAP_FAILED ? nullptr : static_cast<std::byte*>(place);
}

class UffdBackend final : public MemoryBackend {
 public:
  UffdBackend(SpanShape shape, UffdAbility ability, UffdFaults faults, bool uses_move)
      : MemoryBackend(shape),
        ability_(std::move(ability)),
        faults_(faults),
        uses_move_(uses_move) {}
  ~UffdBackend() override;
  Result<void> prepare();

  [[nodiscard]] int fault_signal() const override {
    return faults_ == UffdFaults::AsSignals ? SIGBUS : 0;
  }
  [[nodiscard]] int fault_descriptor() const override {
    return faults_ == UffdFaults::AsMessages ? ability_.descriptor.get() : -1;
  }
  void let_retry(std::uint64_t page) override;
  Result<void> open_range(std::uint64_t first, std::uint64_t count) override;
  Result<void> close_range(std::uint64_t first, std::uint64_t count) override;
  Result<std::uint64_t> install(std::uint64_t first, std::uint64_t count, const std::byte* source,
                                PageAccess access) override;
  void allow_write(std::uint64_t page) override { protect(page, 1, false); }
  bool forbid_write(std::uint64_t page) override {
    protect(page, 1, true);
    return true;
  }
  std::uint64_t take(std::uint64_t first, std::uint64_t count, std::uint64_t present,
                     std::uint64_t staging_first) override;
  void poison(std::uint64_t page) override;
  void forget(std::uint64_t first, std::uint64_t count) override;
  void forget_staging(std::uint64_t first, std::uint64_t count) override;
  [[nodiscard]] bool is_present(std::uint64_t page) const override;
  bool inherit(bool is_inherited) override;
  void note_shared() override { is_shared_.store(true, std::memory_order_relaxed); }

 private:
  void protect(std::uint64_t first, std::uint64_t count, bool is_protected);
  static bool try_halves(std::uint64_t& count);
  std::uint64_t move(std::uint64_t first, std::uint64_t count, std::uint64_t staging_first);
  std::uint64_t copy_out(std::uint64_t first, std::uint64_t count, std::uint64_t present,
                         std::uint64_t staging_first);
  bool copy_to_staging(std::uint64_t page, std::uint64_t staging_page);
  void watch();

  // constant after construction
  const UffdAbility ability_;
  const UffdFaults faults_;
  const bool uses_move_;
  FileDescriptor ending_;  // Readable: the watcher must end.
  // synchronizes itself
  std::atomic<bool> is_shared_{false};  // Relaxed: only makes take() choose the slower way sooner.
  std::thread watcher_;
};

UffdBackend::~UffdBackend() {
  if (watcher_.joinable()) {
    const std::uint64_t one = 1;
    UZ_CHECK(::write(ending_.get(), &one, sizeof one) == sizeof one);
    watcher_.join();
  }
  if (span_ != nullptr) ::munmap(span_, shape_.span_pages * kPageBytes);
  if (staging_ != nullptr) ::munmap(staging_, shape_.staging_pages * kPageBytes);
}

Result<void> UffdBackend::prepare() {
  const std::uint64_t span_bytes = shape_.span_pages * kPageBytes;
  const std::uint64_t staging_bytes = shape_.staging_pages * kPageBytes;
  span_ = reserve_addresses(span_bytes, PROT_NONE);
  staging_ = reserve_addresses(staging_bytes, PROT_READ | PROT_WRITE);
  if (span_ == nullptr || staging_ == nullptr) return fail(ENOMEM);
  for (const auto& [place, bytes] : {std::pair{span_, span_bytes}, {staging_, staging_bytes}}) {
    ::madvise(place, bytes, MADV_NOHUGEPAGE);
    if (::madvise(place, bytes, MADV_DONTFORK) != 0) return fail_errno();
  }
  // Staging is a destination of moves, which must be registered. A copy into it is a plain write,
  // which registered memory would not take.
  for (const auto& [place, bytes] :
       {std::pair{span_, span_bytes}, {staging_, uses_move_ ? staging_bytes : 0}}) {
    if (bytes == 0) continue;
    uffdio_register request{};
    request.range = {reinterpret_cast<std::uint64_t>(place), bytes};
    request.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
    if (::ioctl(ability_.descriptor.get(), UFFDIO_REGISTER, &request) != 0) return fail_errno();
  }
  if (faults_ == UffdFaults::AsMessages) return {};  // Whoever reads them sees moves as well.
  ending_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC));
  if (!ending_.is_open()) return fail_errno();
  try {
    watcher_ = start_quiet_thread("uzram-remap", [this] { watch(); });
  } catch (const std::system_error& error) {
    return fail(error.code().value());
  }
  return {};
}

Result<void> UffdBackend::open_range(std::uint64_t first, std::uint64_t count) {
  if (::mprotect(span_ + first * kPageBytes, count * kPageBytes, PROT_READ | PROT_WRITE) != 0)
    return fail_errno();
  return {};
}

Result<void> UffdBackend::close_range(std::uint64_t first, std::uint64_t count) {
  // Also what is not in the words any more: poison.
  ::madvise(span_ + first * kPageBytes, count * kPageBytes, MADV_DONTNEED);
  if (::mprotect(span_ + first * kPageBytes, count * kPageBytes, PROT_NONE) != 0)
    return fail_errno();
  return {};
}

// Regions that come and go can leave their addresses in several mappings, and a call serves but
// one: whatever does not work as a whole is tried in halves.
bool UffdBackend::try_halves(std::uint64_t& count) {
  if ((errno != ENOENT && errno != EINVAL) || count <= 1) return false;
  count /= 2;
  return true;
}

Result<std::uint64_t> UffdBackend::install(std::uint64_t first, std::uint64_t count,
                                           const std::byte* source, PageAccess access) {
  std::uint64_t done = 0;
  std::uint64_t step = count;
  while (done < count) {
    step = std::min(step, count - done);
    uffdio_copy copy{};
    copy.dst = address_of(span_, first + done);
    copy.src = reinterpret_cast<std::uint64_t>(source + done * kPageBytes);
    copy.len = step * kPageBytes;
    copy.mode = UFFDIO_COPY_MODE_DONTWAKE |
                (access == PageAccess::Read ? UFFDIO_COPY_MODE_WP : std::uint64_t{0});
    if (::ioctl(ability_.descriptor.get(), UFFDIO_COPY, &copy) == 0) {
      done += step;
      continue;
    }
    if (copy.copy > 0) {
      done += static_cast<std::uint64_t>(copy.copy) / kPageBytes;
      continue;
    }
    if (errno == EAGAIN || try_halves(step)) continue;  // EAGAIN: the address space is changing.
    if (errno == ENOMEM) return done == 0 ? Result<std::uint64_t>(fail(ENOMEM)) : done;
    die("a page cannot be put in its place (UFFDIO_COPY: errno ", static_cast<unsigned>(errno),
        "); has the program changed the mapping of a pager's memory?");
  }
  return done;
}

void UffdBackend::protect(std::uint64_t first, std::uint64_t count, bool is_protected) {
  std::uint64_t done = 0;
  std::uint64_t step = count;
  while (done < count) {
    step = std::min(step, count - done);
    uffdio_writeprotect request{};
    request.range = {address_of(span_, first + done), step * kPageBytes};
    request.mode = is_protected ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
    if (::ioctl(ability_.descriptor.get(), UFFDIO_WRITEPROTECT, &request) == 0) {
      done += step;
      continue;
    }
    if (errno == EAGAIN || try_halves(step)) continue;
    die("write protection cannot be changed (UFFDIO_WRITEPROTECT: errno ",
        static_cast<unsigned>(errno),
        "); has the program changed the mapping of a pager's memory?");
  }
}

std::uint64_t UffdBackend::move(std::uint64_t first, std::uint64_t count,
                                std::uint64_t staging_first) {
  constexpr int kMostTries = 8;
  std::uint64_t done = 0;
  std::uint64_t step = count;
  for (int tries = 0; done < count && tries < kMostTries;) {
    step = std::min(step, count - done);
    UffdMove request{};
    request.destination = address_of(staging_, staging_first + done);
    request.source = address_of(span_, first + done);
    request.bytes = step * kPageBytes;
    request.mode = kUffdMoveAllowHoles;
    if (::ioctl(ability_.descriptor.get(), kUffdioMove, &request) == 0) {
      done += step;
      continue;
    }
    if (request.moved > 0) {
      done += static_cast<std::uint64_t>(request.moved) / kPageBytes;
      continue;
    }
    if (try_halves(step)) continue;
    // EBUSY: shared with a child, or in use by a device. Others: somebody changed the mapping.
    if (errno != EAGAIN) break;
    ++tries;
  }
  return done;
}

bool UffdBackend::copy_to_staging(std::uint64_t page, std::uint64_t staging_page) {
  std::byte* const target = staging_ + staging_page * kPageBytes;
  const std::byte* const source = span_ + page * kPageBytes;
  if (!uses_move_) {
    std::memcpy(target, source, kPageBytes);
    return true;
  }
  uffdio_copy copy{};
  copy.dst = reinterpret_cast<std::uint64_t>(target);
  copy.src = reinterpret_cast<std::uint64_t>(source);
  copy.len = kPageBytes;
  return ::ioctl(ability_.descriptor.get(), UFFDIO_COPY, &copy) == 0;
}

std::uint64_t UffdBackend::copy_out(std::uint64_t first, std::uint64_t count, std::uint64_t present,
                                    std::uint64_t staging_first) {
  // From here on a writer faults, and waits for the page's lock.
  protect(first, count, true);
  std::uint64_t copied = 0;
  while (copied < count &&
         ((present >> copied & 1U) == 0 || copy_to_staging(first + copied, staging_first + copied)))
    ++copied;
  if (copied != 0) forget(first, copied);
  return copied;
}

std::uint64_t UffdBackend::take(std::uint64_t first, std::uint64_t count, std::uint64_t present,
                                std::uint64_t staging_first) {
  if (!uses_move_) return copy_out(first, count, present, staging_first);
  const std::uint64_t moved = move(first, count, staging_first);
  // A page that a device is writing to must stay; one that a child shares may be copied.
  if (moved == count || !is_shared_.load(std::memory_order_relaxed)) return moved;
  return moved + copy_out(first + moved, count - moved, present >> moved, staging_first + moved);
}

void UffdBackend::let_retry(std::uint64_t page) {
  uffdio_range request{address_of(span_, page), kPageBytes};
  UZ_CHECK(::ioctl(ability_.descriptor.get(), UFFDIO_WAKE, &request) == 0);
}

void UffdBackend::poison(std::uint64_t page) {
  if (faults_ == UffdFaults::AsSignals) return;
  UffdPoison request{};
  request.range = {address_of(span_, page), kPageBytes};
  request.mode = kUffdPoisonDontWake;
  if (ability_.has_poison) {
    while (::ioctl(ability_.descriptor.get(), kUffdioPoison, &request) != 0)
      if (errno != EAGAIN) break;
    if (request.updated == static_cast<std::int64_t>(kPageBytes)) return;
  }
  die("a page is damaged, and this kernel cannot say so to whoever needs it (before Linux 6.6)");
}

void UffdBackend::forget(std::uint64_t first, std::uint64_t count) {
  UZ_CHECK(::madvise(span_ + first * kPageBytes, count * kPageBytes, MADV_DONTNEED) == 0);
}

void UffdBackend::forget_staging(std::uint64_t first, std::uint64_t count) {
  UZ_CHECK(::madvise(staging_ + first * kPageBytes, count * kPageBytes, MADV_DONTNEED) == 0);
}

bool UffdBackend::is_present(std::uint64_t page) const {
  unsigned char answer = 0;
  if (::mincore(span_ + page * kPageBytes, kPageBytes, &answer) != 0) return false;
  return (answer & 1U) != 0;
}

bool UffdBackend::inherit(bool is_inherited) {
  const int advice = is_inherited ? MADV_DOFORK : MADV_DONTFORK;
  return ::madvise(span_, shape_.span_pages * kPageBytes, advice) == 0;
}

void UffdBackend::watch() {
  pollfd ready[] = {{ability_.descriptor.get(), POLLIN, 0}, {ending_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents != 0) return;
    // A move is the only event that was asked for. It is not read, so that whoever has moved the
    // memory still waits, and cannot touch it.
    if ((ready[0].revents & POLLIN) != 0) die_of_moved_memory();
  }
}

}  // namespace

void die_of_moved_memory() {
  die("the program has moved a pager's memory with mremap(); its pages cannot be found there");
}

Result<UffdAbility> open_uffd(UffdFaults faults) {
  const Result<std::uint64_t> features = ask_features(faults);
  if (!features) return tl::unexpected(features.error());
  const std::uint64_t needed = needed_features(faults);
  if ((*features & needed) != needed) return fail(ENOSYS);
  UffdAbility ability;
  ability.has_move = (*features & kUffdFeatureMove) != 0;
  ability.has_poison = (*features & kUffdFeaturePoison) != 0;
  ability.descriptor = open_plain_uffd(faults, ability.is_device);
  if (!ability.descriptor.is_open()) return fail_errno();
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = needed | (*features & (kUffdFeatureMove | kUffdFeaturePoison));
  if (::ioctl(ability.descriptor.get(), UFFDIO_API, &api) != 0) return fail_errno();
  return ability;
}

Result<std::unique_ptr<MemoryBackend>> make_uffd_backend(SpanShape shape, PagerBackend kind) {
  const bool is_strict = kind == PagerBackend::Strict;
  const UffdFaults faults = is_strict ? UffdFaults::AsMessages : UffdFaults::AsSignals;
  auto ability = open_uffd(faults);
  if (!ability) {
    const bool is_refused = ability.error().code == EPERM || ability.error().code == EACCES;
    return fail(is_strict && is_refused ? EPERM : ENOSYS);
  }
  if (kind == PagerBackend::Move && !ability->has_move) return fail(ENOSYS);
  const bool uses_move = ability->has_move && kind != PagerBackend::Protect;
  auto made = std::make_unique<UffdBackend>(shape, std::move(*ability), faults, uses_move);
  if (const Result<void> prepared = made->prepare(); !prepared)
    return tl::unexpected(prepared.error());
  return made;
}

}  // namespace uzram

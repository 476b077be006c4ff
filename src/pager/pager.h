// SPDX-License-Identifier: Apache-2.0
// pager/pager.h: memory of this process that stays compressed while nobody uses it.
//
// What:    swap for one process, without privilege and without the kernel's swap: regions of
//          addresses whose cold pages live packed in a private device, and come back when they are
//          touched. Not here: how a page is packed (device/), whole programs (`uzram exec`).
// Shapes:  pages of 4 KiB; a region begins at a multiple of 256 KiB. Ranges given to prefetch,
//          drop, sync, pin, unpin and page_out may have any alignment and lie in one region or
//          several; drop covers only whole pages inside the range, all others every page that it
//          touches.
// Owns:    the regions' addresses, the packed bytes, one or more background threads. A pager must
//          outlive every use of its regions.
// Errors:  EINVAL for a range outside the pager or a setting out of its range; ENOMEM when the
//          limit, or the machine, has no room; EIO for a page that cannot be read any more; those
//          of create below. In a fault there is nobody to return an error to: a message that names
//          the cause goes to standard error, and the process ends (SIGABRT), or gets SIGBUS at the
//          damaged page. Never zeros in place of data.
// Threads: every member from any thread; any thread may touch a region, with SIGBUS (Signal: with
//          SIGSEGV) not blocked. Memory of a region must not hold stacks, and system calls find
//          pages that are away only while they are pinned: read(2) into such a page is EFAULT.
//          Strict needs no signal, and serves system calls.
// Memory:  the fault path allocates nothing and touches no memory that it serves.
// Laws:    5, 7, 8.
// Proof:   pager_test.cc, pager_file_test.cc, pager_model_test.cc, pager_file_model_test.cc,
//          pager_thread_test.cc, pager_safety_test.cc, pager_fuzz.cc; `./dev bench pager`.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace uzram {

// How pages come and go. Automatic is the first of the others that this machine allows.
enum class PagerBackend : std::uint8_t {
  Automatic,
  Move,      // userfaultfd; cold pages are moved out by UFFDIO_MOVE (Linux 6.8).
  Protect,   // userfaultfd; cold pages are write-protected, copied out and dropped (Linux 5.7).
  Signal,    // mprotect and SIGSEGV: needs nothing, costs more.
  Explicit,  // No faults at all: memory may be touched only while it is pinned.
  Strict,    // userfaultfd with a privilege; threads serve the faults of all others, the kernel's
             // too: any system call may use any page. Never taken by Automatic.
};

// What a child of fork() finds in the regions.
enum class ForkRule : std::uint8_t {
  Refuse,    // Nothing: it dies with a message when it touches them. Costs nothing.
  Populate,  // Everything, as plain memory of its own: fork() brings all pages back first. Not
             // Signal, not Explicit.
};

// What the program knows about how it will use a region.
enum class AccessHint : std::uint8_t {
  Normal,
  Sequential,  // Reads ahead at once, and far.
  Random,      // Never reads ahead.
  Cold,        // Rarely needed: what is brought in is the first to go again.
};

// Who sees what is written to a mapping.
enum class MapSharing : std::uint8_t {
  Private,  // Nobody else: it stays in memory.
  Shared,   // The file has it, at the latest after sync or close_region.
};

struct PagerConfig {
  // Everything that the process pays: resident pages, pages on their way out, packed bytes, tables,
  // buffers. At least kLeastLimitBytes.
  std::uint64_t memory_limit_bytes = 0;
  // Addresses for all regions together; they cost nothing until they are used.
  std::uint64_t address_bytes = std::uint64_t{64} << 30;
  std::string algorithm = "lz4";  // As comp_algorithm.
  std::optional<int> level = std::nullopt;
  // Pages that leave memory together are packed as one, up to so many: 2 to 32, and 0 for each by
  // itself. Needs zstd: better packed than any page alone, and a fault unpacks what comes before
  // its page in the cluster.
  unsigned cluster_pages = 0;
  bool has_page_checks = true;
  PagerBackend backend = PagerBackend::Automatic;
  ForkRule fork_rule = ForkRule::Refuse;
  // As vm.page-cluster: a fault brings in up to 2^page_cluster pages, 0 to 4.
  unsigned page_cluster = 3;
  // Read ahead by what each region's faults look like; otherwise always the whole aligned block of
  // 2^page_cluster pages.
  bool has_vma_readahead = true;
  // As vm.swappiness, 0 to 200: what it costs to bring back a page of a file, against an anonymous
  // one.
  unsigned swappiness = 100;
  // As vm.watermark_scale_factor: the distance between the watermarks, in 1/10000 of the limit.
  unsigned watermark_scale_factor = 50;
  // Pages on their way out; 0: a sixteenth of the limit, at most 8 MiB.
  std::uint64_t staging_bytes = 0;
  // 0: none, then the faulting threads do all the work.
  std::optional<unsigned> compressor_threads =
      std::nullopt;  // Default: processors - 1, at least 1.
};

inline constexpr std::uint64_t kLeastLimitBytes = std::uint64_t{4} << 20;

// A consistent moment is not promised: counters of one fault may come one by one.
struct PagerStats {
  // What is paid, in bytes. The sum is total_bytes().
  std::uint64_t resident_bytes = 0;
  std::uint64_t staged_bytes = 0;
  std::uint64_t packed_bytes = 0;  // The device: pool, tables, contexts.
  std::uint64_t table_bytes = 0;   // Page words and buffers of the pager.
  std::uint64_t limit_bytes = 0;
  // Watermarks, in free bytes below the limit.
  std::uint64_t low_watermark_bytes = 0;
  std::uint64_t high_watermark_bytes = 0;
  // What is kept: pages of regions that have content, in whatever form.
  std::uint64_t region_bytes = 0;  // Addresses in use.
  std::uint64_t stored_bytes = 0;  // Content that is packed now, unpacked.
  // Events since the start, in pages unless named otherwise.
  std::uint64_t faults = 0;           // Faults handled.
  std::uint64_t major_faults = 0;     // ... that unpacked a page or read a file.
  std::uint64_t file_faults = 0;      // ... that read a file.
  std::uint64_t staging_hits = 0;     // ... that found their page still in staging.
  std::uint64_t write_upgrades = 0;   // First writes to clean pages.
  std::uint64_t readahead_pages = 0;  // Brought in without being asked for.
  std::uint64_t refaults = 0;  // Pages that were needed again soon: within the resident size.
  std::uint64_t evicted_pages = 0;
  std::uint64_t clean_drops = 0;  // Evicted without packing: the packed copy was still true.
  std::uint64_t packed_pages = 0;
  std::uint64_t assisted_pages = 0;   // Packed by threads that wanted memory.
  std::uint64_t clustered_pages = 0;  // Packed together with others.
  std::uint64_t repacked_pages = 0;   // Moved to another cluster, to free what was left of theirs.
  std::uint64_t file_clusters_read = 0;  // Of mapped cluster files, also ahead.
  std::uint64_t written_back_pages = 0;  // To mapped cluster files.
  std::uint64_t failed_write_backs = 0;  // Clusters: what was to be written is kept.
  std::uint64_t unwritten_bytes = 0;     // Now: packed, and not in their cluster file yet.
  std::uint64_t anonymous_evicted = 0;
  std::uint64_t file_evicted = 0;
  // Time that threads have spent waiting for their pages.
  std::uint64_t stall_nanoseconds = 0;
  double stall_avg10 = 0;  // Percent of the wall clock, as in /proc/pressure/memory ("some").
  double stall_avg60 = 0;

  [[nodiscard]] std::uint64_t total_bytes() const {
    return resident_bytes + staged_bytes + packed_bytes + table_bytes;
  }
};

class ClusterFile;
class PagerCore;

class Pager {
 public:
  // Errors: EINVAL a setting out of its range, or an algorithm that there is not; ENOSYS a backend
  // that this machine does not allow; EPERM Strict without its privilege (CAP_SYS_PTRACE,
  // vm.unprivileged_userfaultfd=1, or access to /dev/userfaultfd); ENOMEM; EAGAIN no more threads,
  // or too many pagers.
  static Result<std::unique_ptr<Pager>> create(const PagerConfig& config);
  // Gives everything back: the regions' addresses must not be used any more.
  ~Pager();
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  // --- regions
  // New memory that reads as zeros. Errors: EINVAL no bytes; ENOMEM no addresses left.
  Result<std::byte*> make_region(std::uint64_t bytes, AccessHint hint = AccessHint::Normal);
  // A private mapping of a file: reads come from the file, writes stay in memory. The descriptor
  // is duplicated. Bytes past the end of the file read as zeros. Requires: offset is a multiple of
  // 4096. Errors: as make_region; EBADF; those of fstat.
  Result<std::byte*> map_file(int descriptor, std::uint64_t offset, std::uint64_t bytes,
                              AccessHint hint = AccessHint::Normal);
  // A mapping of what a cluster file holds. A fault unpacks a whole cluster of the file, and all of
  // its pages come that there is room for. The file's present end counts: bytes behind it read as
  // zeros when they come in, and are not written. Pages that are in memory do not follow changes
  // that are made to the file by other ways.
  // Shared: what is written goes to the file when pages leave memory, some time later, and with
  // sync, page_out, drop and close_region at once. Requires: offset is a multiple of 4096; no call
  // of the file by others is given memory of a region, nor interrupted by a signal handler that
  // touches one. Errors: as make_region; EINVAL no file; EACCES Shared, and the file was opened for
  // reading; ENOMEM also: no room for two clusters in the limit; EBUSY another Shared mapping of
  // this pager has some of these pages; EAGAIN no more threads.
  Result<std::byte*> map_cluster_file(std::shared_ptr<ClusterFile> file, std::uint64_t offset,
                                      std::uint64_t bytes, MapSharing sharing,
                                      AccessHint hint = AccessHint::Normal);
  // The same for a file that nobody has open; Private opens it for reading. Errors: also those of
  // ClusterFile::open and of open(2); EBUSY somebody else writes to it, or for Shared reads it.
  Result<std::byte*> map_cluster_file(const std::string& path, std::uint64_t offset,
                                      std::uint64_t bytes, MapSharing sharing,
                                      AccessHint hint = AccessHint::Normal);
  // How many bytes such a file holds. Errors: as map_cluster_file.
  static Result<std::uint64_t> cluster_file_bytes(const std::string& path);
  // Ends a region; a Shared mapping is synced first. Requires: its start. Errors: EINVAL; EBUSY a
  // page is pinned, or is being written; those of sync: then the region stays as it is.
  Result<void> close_region(std::byte* start);
  // The same without a sync: what the file of a Shared mapping lacks is lost. Errors: EINVAL; EBUSY
  // a page is pinned.
  Result<void> abandon_region(std::byte* start);

  // --- ranges
  // Brings pages in, as far as there is room without evicting what is pinned.
  Result<void> prefetch(const void* start, std::uint64_t bytes);
  // Forgets content: anonymous memory reads as zeros afterwards, files as on disk. Pages of a
  // Shared mapping are written first, and lose nothing but damage. Errors: EBUSY a page is pinned;
  // others were dropped; of Shared mappings those of sync: then nothing was dropped.
  Result<void> drop(void* start, std::uint64_t bytes);
  // As msync(MS_SYNC): what was written to Shared mappings is in their files when this succeeds,
  // and survives a crash. Errors: those of ClusterFile::write and sync, ENOSPC say: what is not in
  // the file stays in memory, and can be synced later; EIO also: a page that was to be written is
  // found damaged.
  Result<void> sync(const void* start, std::uint64_t bytes);
  // Brings pages in and keeps them there: system calls may use them. Pins add up, to 127 a page.
  // Pages for writing lose their packed copy. Errors: ENOMEM no room, EAGAIN too many pins: then
  // nothing is pinned.
  Result<void> pin(const void* start, std::uint64_t bytes, bool for_write = true);
  // Requires: pinned before.
  Result<void> unpin(const void* start, std::uint64_t bytes);
  // Puts pages away now, as MADV_PAGEOUT does.
  Result<void> page_out(const void* start, std::uint64_t bytes);
  // Changes the hint of the region that `start` is in.
  Result<void> advise(const void* start, AccessHint hint);

  // --- settings, at any time. Errors: EINVAL.
  // A lower limit holds on return. Errors: ENOMEM it cannot be kept; it stays set.
  Result<void> set_memory_limit(std::uint64_t bytes);
  Result<void> set_page_cluster(unsigned page_cluster);
  Result<void> set_swappiness(unsigned swappiness);

  [[nodiscard]] PagerStats stats() const;
  // The one in use: never Automatic.
  [[nodiscard]] PagerBackend backend() const;
  [[nodiscard]] bool contains(const void* address) const;

  // For programs that own SIGBUS or SIGSEGV themselves: call this first, from the handler. Returns:
  // whether the fault was of a pager's memory, and is dealt with.
  static bool handle_fault(int signal, siginfo_t* info, void* context);

  // Every law that a quiet moment can show; aborts on a violation. No other thread may touch the
  // regions meanwhile.
  void check_invariants();

 private:
  friend class PagerPeer;  // Tests: damage a packed page.
  explicit Pager(std::unique_ptr<PagerCore> core);
  std::unique_ptr<PagerCore> core_;
};

}  // namespace uzram

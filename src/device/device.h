// SPDX-License-Identifier: Apache-2.0
// device/device.h: one zram device: its life, its ranges, its statistics. The only door to a store.
//
// What:    checks ranges and state once, splits byte ranges into pages, spreads large requests over
//          helper threads, counts. Not here: what a page is (store/), attribute texts (control/),
//          ways in (frontend/).
// Shapes:  offsets and lengths are bytes of any alignment within [0, disksize); whole 4 KiB pages
//          are the fast path.
// Errors:  EINVAL outside the device or in the wrong state; EBUSY for a change that needs an
//          uninitialised device; ENOSPC when mem_limit forbids the write, ENOMEM when the pool
//          cannot grow (the old content stays in both cases); EIO for a page whose check fails
//          (that page alone). docs/errors.md has every row.
// Threads: every member may be called from any thread. read, write, discard, write_zeroes and flush
//          may run at once with each other and with statistics; reset and set_disksize wait for
//          requests in flight.
// Memory:  after set_disksize the data path allocates nothing.
// Laws:    1 to 8 through the store; INVARIANTS.md.
// Proof:   device_test.cc, device_thread_test.cc, device_background_test.cc,
//          device_policy_thread_test.cc.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "codec/codec.h"
#include "device/device_stats.h"
#include "device/request_gate.h"
#include "policy/policy_settings.h"
#include "pool/pool.h"
#include "store/arena_header.h"
#include "store/cluster_maker.h"
#include "store/cluster_writer.h"
#include "store/page_ages.h"
#include "store/recompressor.h"
#include "store/writeback.h"

namespace uzram {

class Store;
class Device;

// What a front end does when a device comes to life and before it dies (a FUSE file with its loop
// device, say).
class Attachment {
 public:
  virtual ~Attachment() = default;
  // Called when the device can serve, with its lifecycle held: reset and set_disksize wait. An
  // error undoes the initialisation.
  virtual Result<void> attach(Device& device) = 0;
  // Called before reset. Errors: EBUSY while somebody uses the block device; the device then stays
  // as it is.
  virtual Result<void> detach(Device& device) = 0;
  // Where users find the disk ("/dev/loop0"); empty when there is nothing to open.
  [[nodiscard]] virtual std::string block_path(const Device& device) const = 0;
  // Called when the device has become larger: the disk follows. An error takes that back. Errors:
  // EOPNOTSUPP where users cannot be told.
  virtual Result<void> grow(Device&) { return fail(EOPNOTSUPP); }
};

// A stretch of pages that are alike, for front ends that report allocation (NBD block status,
// SEEK_HOLE).
struct Extent {
  std::uint64_t bytes = 0;    // From the offset asked about; at least one page unless at the end.
  bool is_allocated = false;  // False: reads as zeros and costs nothing.
  bool is_zero = false;
};

// Whether a word for set_backing names an NBD server; otherwise it is a path.
[[nodiscard]] bool is_backing_server(std::string_view where);
// Who uses a store that set_backing refuses with EBUSY: "used as swap". Empty: nobody is seen.
[[nodiscard]] std::string find_backing_user(const std::string& where);

// Why a line of policy settings was not taken.
struct [[nodiscard]] PolicyRefusal {
  int code = 0;      // EINVAL, or EAGAIN: no thread can be made.
  std::string text;  // One line that says what would have been right.
};

class Device {
 public:
  // An uninitialised device. `attachment` may be null (the library and the NBD plug-in) and must
  // outlive the device.
  explicit Device(int id, Attachment* attachment = nullptr);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] int id() const { return id_; }
  [[nodiscard]] bool is_initialised() const;
  // 0 while uninitialised.
  [[nodiscard]] std::uint64_t disksize() const;
  [[nodiscard]] std::string block_path() const;

  // --- configuration
  [[nodiscard]] const CodecInfo& algorithm() const;
  // Errors: EINVAL unknown name; EBUSY after set_disksize.
  Result<void> set_algorithm(std::string_view name);
  // Replaces all parameters of `priority`. Errors: EINVAL priority not 0..3; EBUSY after
  // set_disksize. Values that the algorithm does not take are found by set_disksize, as in the
  // kernel.
  Result<void> set_algorithm_params(int priority, CodecParams params);
  // Whether packed pages carry a check that every read verifies (on unless switched off). Errors:
  // EBUSY after set_disksize.
  Result<void> set_page_checks(bool is_on);
  [[nodiscard]] bool has_page_checks() const;
  // Which algorithm stands at a priority; nullptr when none is configured there.
  [[nodiscard]] const CodecInfo* algorithm_at(int priority) const;
  // Sets the algorithm that recompression uses at a priority. Errors: EINVAL unknown name, or
  // priority not 1..3; EBUSY after set_disksize.
  Result<void> set_recompression_algorithm(std::string_view name, int priority);
  // Whether the time of each page's last access is kept, in 4 bytes a page (on unless switched
  // off). Errors: EBUSY after set_disksize.
  Result<void> set_access_tracking(bool is_on);
  [[nodiscard]] bool tracks_access() const;
  // Opens the store that cold pages are written back to: a block device, a file, or nbd:// and
  // nbd+unix://. Errors: EBUSY after set_disksize, or somebody else uses it; ENOTBLK, EINVAL and
  // those of open: nothing has changed then.
  Result<void> set_backing(const std::string& where);
  // What was given to set_backing; empty when there is none.
  [[nodiscard]] std::string backing() const;
  // Whether data is encrypted on the backing store (on unless switched off). Errors: EBUSY after
  // set_disksize.
  Result<void> set_backing_encryption(bool is_on);
  [[nodiscard]] bool encrypts_backing() const;
  // Whether pages stay packed when they are written back. Errors: EBUSY after set_disksize.
  Result<void> set_compressed_writeback(bool is_on);
  [[nodiscard]] bool has_compressed_writeback() const;
  // How many 4 KiB blocks may still be written back, and whether that counts. At any time.
  void set_writeback_limit(std::uint64_t blocks);
  [[nodiscard]] std::uint64_t writeback_limit() const;
  void set_writeback_limit_enabled(bool is_on);
  [[nodiscard]] bool is_writeback_limit_enabled() const;
  // Most requests of a writeback in flight at a time, at least 1. At any time.
  void set_writeback_batch_size(std::uint32_t requests);
  [[nodiscard]] std::uint32_t writeback_batch_size() const;
  // Whether pages with the same content share it (off unless switched on). Errors: EBUSY after
  // set_disksize.
  Result<void> set_dedup(bool is_on);
  [[nodiscard]] bool uses_dedup() const;
  // How many pages write_together packs as one at most, with the device's zstd at its level: 2 to
  // 32, or 0 (unless set): it cannot be used. Errors: EINVAL; EBUSY after set_disksize, which
  // refuses another algorithm.
  Result<void> set_written_cluster_pages(std::size_t pages);
  // Rounded up to whole pages; makes table, pool, contexts, then attaches. An empty device costs no
  // memory. Errors: EINVAL 0, or parameters that the codec refuses; EBUSY already set; ENOMEM;
  // EAGAIN when no thread can be made; whatever attach returns, or what opening a backing store
  // says whose server went away. After an error every setting is as before.
  Result<void> set_disksize(std::uint64_t bytes);
  // Makes the disk larger while it is used, up to pages_to_grow_to; rounded up to whole pages.
  // Errors: EINVAL smaller than it is, or uninitialised; EFBIG larger than it may grow to; ENOMEM;
  // whatever Attachment::grow returns. Nothing has changed then.
  Result<void> grow(std::uint64_t bytes);
  // The size stays as it is first, so that no addresses are taken for more. Errors: EBUSY after
  // set_disksize.
  Result<void> set_fixed_size();
  // Opens the arena that an earlier process left (a memfd; ownership moves in). Errors: EINVAL not
  // an arena or a damaged header; EBUSY initialised; ENOMEM.
  Result<void> adopt_arena(int memfd);
  // The arena's memfd, to be handed to whoever must keep it alive; -1 while uninitialised.
  // Borrowed.
  [[nodiscard]] int arena_descriptor() const;
  // Drops all pages and every setting. Errors: EBUSY while the attachment is in use. Not
  // initialised: settings only.
  Result<void> reset();
  // 0: no limit. Rounded up to whole pages. May change at any time.
  void set_mem_limit(std::uint64_t bytes);
  void reset_mem_used_max();
  // Moves packed bytes together and gives the freed memory back. Errors: EINVAL while
  // uninitialised.
  Result<void> compact();
  // Keeps at least `bytes` of pool memory touched ahead of need (for swap). 0 releases it.
  // Errors: EINVAL while uninitialised; ENOMEM, and then nothing is kept.
  Result<void> reserve(std::uint64_t bytes);

  // --- data
  Result<void> read(std::uint64_t offset, MutableBytes out);
  Result<void> write(std::uint64_t offset, ConstBytes data);
  // Packs pages as one that their keeper has in hand, with what belongs to them; pages that it does
  // not want any more stay as they are. Requires: as ClusterWriter::write. Errors: EINVAL also
  // without set_written_cluster_pages; ENOSPC, ENOMEM: pages not released are as before.
  Result<ClusterWriteOutcome> write_together(std::span<const PageToWrite> pages,
                                             PageKeeper& keeper);
  // Frees whole pages; a partial page at either end is left alone, as in the kernel.
  Result<void> discard(std::uint64_t offset, std::uint64_t bytes);
  // Reads as zeros afterwards, partial pages included. Whole pages cost nothing.
  Result<void> write_zeroes(std::uint64_t offset, std::uint64_t bytes);
  // Acknowledged writes are already where they live; only the state is checked.
  Result<void> flush();
  // Requires: offset < disksize(). Looks no further than `most_bytes`.
  [[nodiscard]] Result<Extent> extent_at(std::uint64_t offset, std::uint64_t most_bytes);

  // --- after the write. Errors for all: EINVAL while uninitialised. One at a time: a second caller
  // waits for the first. Each ends early, with what it has done, when the device is reset.

  // Marks every stored page idle; or those not accessed for so long, and clears the mark of the
  // others. Errors: EINVAL for an age without access tracking.
  Result<void> mark_idle(std::optional<std::chrono::seconds> age);
  // Errors: EINVAL no algorithm at the priority, or a threshold of a page and more; ENOMEM.
  Result<BackgroundOutcome> recompress(const RecompressRequest& request);
  // Errors: EINVAL a number of pages or a level that clusters do not have; ENOMEM.
  Result<BackgroundOutcome> make_clusters(const ClusterRequest& request);
  // Advances the ages of pages and counts them.
  Result<SlotCensus> sweep_ages(const AgeSweep& sweep);
  // Errors: ENODEV no backing store; EIO the limit is used up, at the start or in the middle;
  // ERANGE a page outside the device, or a range that ends before it begins; ENOSPC the store is
  // full; otherwise the store's last error, after all other pages were tried.
  Result<WritebackOutcome> write_back(const WritebackRequest& request);
  // Whether the device does all of this by itself, and how (off unless switched on): "on", "off",
  // or "on" and settings as docs/policy.md has them. At any time; before disksize it waits for
  // that, and reset switches it off. After an error nothing has changed.
  tl::expected<void, PolicyRefusal> set_policy(std::string_view line);
  // The settings in one line that set_policy takes, each of them; "off".
  [[nodiscard]] std::string policy() const;
  // What the policy would do now, and why: lines for a person.
  [[nodiscard]] std::string explain_policy() const;
  // What the stored pages from `first` on are, at most `most` of them. Errors: EINVAL.
  // A reset waits while it looks, so ask for at most kStatesAtOnce.
  static constexpr std::size_t kStatesAtOnce = 4096;
  Result<std::vector<PageState>> page_states(PageIndex first, std::size_t most) const;

  [[nodiscard]] DeviceStats stats() const;
  // How full the pool's size classes are. Errors: EINVAL while uninitialised.
  [[nodiscard]] Result<std::unique_ptr<ClassUses>> class_uses() const;
  // Checks every law against the slot table; aborts on a violation. For tests and fuzzers, at a
  // quiet moment.
  void check_invariants() const;

 private:
  struct Settings {
    // Takes over what an arena has. Returns: what was set before.
    StoreConfig swap_in(const StoreConfig& config);

    std::array<CodecChoice, kAlgorithmCount> codecs;
    std::uint64_t mem_limit_bytes = 0;
    bool has_page_checks = true;
    bool tracks_access = true;
    bool uses_dedup = false;
    std::size_t written_cluster_pages = 0;
    bool can_grow = true;
    std::string backing;
    std::unique_ptr<BackingStore> opened_backing;  // Until set_disksize takes it.
    bool encrypts_backing = true;
    bool has_compressed_writeback = false;
    PolicySettings policy;  // Changed with lifecycle_mutex_ held as well.
  };
  // Changes a setting that only an uninitialised device can change.
  template <typename Change>
  Result<void> configure(Change change);
  struct Counters;
  class CountedRequest;
  struct Running;    // What an initialised device is made of.
  class PolicyDoor;  // What the policy's thread may ask of the device.

  static constexpr std::uint32_t kStandardBatchSize = 32;  // As the kernel's.
  static Settings standard_settings();
  static Result<void> choose_backing(const Settings& settings, StoreConfig& config);
  // Opens the store that is named and not open (a set_disksize failed before). `claim`: its file,
  // held open all the time so that nobody else could take it; or none.
  Result<void> open_named_backing(FileDescriptor claim) UZ_REQUIRES(lifecycle_mutex_);
  // Null when clusters are not written.
  Result<std::unique_ptr<ClusterWriter>> make_cluster_writer(Store& store, std::size_t lane_count);
  Result<void> start(std::unique_ptr<Store> store) UZ_REQUIRES(lifecycle_mutex_);
  void stop() UZ_REQUIRES(lifecycle_mutex_);
  // Requires: running_ stays as it is meanwhile; a backing store.
  WritebackOutcome write_back_within_limit(const WritebackRequest& request, const StopSignal& stop);
  // Requires for all: inside the gate.
  Result<void> check_range(std::uint64_t offset, std::uint64_t bytes) const;
  Result<void> read_range(std::uint64_t offset, MutableBytes out);
  Result<void> write_range(std::uint64_t offset, ConstBytes data);
  Result<void> zero_range(std::uint64_t offset, std::uint64_t bytes);

  // constant after construction
  const int id_;
  Attachment* const attachment_;
  const std::unique_ptr<Counters> counters_;
  // synchronizes itself
  mutable RequestGate gate_;
  StopSignal is_stopping_{false};  // Relaxed: work in the background looks at it now and then.
  std::atomic<std::uint64_t> disk_bytes_{
      0};  // Relaxed: whoever depends on more goes through the gate.
  // changed only with the gate closed and lifecycle_mutex_ held; read inside the gate
  std::unique_ptr<Running> running_;
  // Serializes set_disksize, adopt_arena and reset as wholes. Taken before settings_mutex_.
  Mutex lifecycle_mutex_;
  Mutex writeback_mutex_;  // Taken before settings_mutex_.
  // Relaxed: numbers that publish nothing.
  std::atomic<std::uint64_t> writeback_limit_{0};
  std::atomic<bool> is_writeback_limited_{false};
  std::atomic<std::uint32_t> writeback_batch_size_{kStandardBatchSize};
  mutable Mutex settings_mutex_;
  Settings settings_ UZ_GUARDED_BY(settings_mutex_);
};

}  // namespace uzram

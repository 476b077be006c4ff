// SPDX-License-Identifier: Apache-2.0
#include "bench/cluster_bench.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/check.h"
#include "bench/measure.h"
#include "cluster/cluster_file.h"
#include "codec/lz4.h"
#include "codec/lz4hc.h"
#include "codec/lzo.h"
#include "codec/lzo_rle.h"
#include "codec/zstd_frame.h"

namespace uzram::bench {
namespace {

constexpr std::size_t kF2fsHeaderBytes = 24;
// As `uzram cluster pack` hands them on.
constexpr std::size_t kWriteBytes = std::size_t{8} << 20;
// By the codec's side that writes too.
constexpr std::size_t kWrittenTogetherBytes = std::size_t{128} << 10;

Result<std::unique_ptr<Codec>> codec_of(const ClusterOptions& options) {
  CodecParams params{.block_bytes = options.cluster_bytes()};
  if (options.level != 0) params.level = options.level;
  switch (options.algorithm) {
    case ClusterAlgorithm::Lzo:
      return make_lzo(params);
    case ClusterAlgorithm::LzoRle:
      return make_lzo_rle(params);
    case ClusterAlgorithm::Lz4:
      return options.level == 0 ? make_lz4(params) : make_lz4hc(params);
    case ClusterAlgorithm::Zstd:
      return make_zstd_frame(params);
  }
  return fail(EINVAL);
}

// Where the cluster file is, which does not stay behind.
class FileInFolder {
 public:
  explicit FileInFolder(const std::string& folder)
      : path_(folder + "/uzram-bench-" + std::to_string(::getpid())) {}
  ~FileInFolder() { ::unlink(path_.c_str()); }
  FileInFolder(const FileInFolder&) = delete;
  FileInFolder& operator=(const FileInFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t used_bytes() const {
    struct stat status {};
    UZ_CHECK(::stat(path_.c_str(), &status) == 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  }

 private:
  const std::string path_;
};

class ClusterMeasurement {
 public:
  ClusterMeasurement(const Corpus& corpus, const ClusterPlan& plan, std::unique_ptr<Codec> codec)
      : plan_(plan),
        cluster_bytes_(plan.options.cluster_bytes()),
        content_(corpus.bytes().first(std::min(corpus.bytes().size(), plan.most_bytes) /
                                      cluster_bytes_ * cluster_bytes_)),
        cluster_count_(content_.size() / cluster_bytes_),
        codec_(std::move(codec)),
        file_(plan.folder) {}

  Result<nlohmann::json> run() {
    pack_alone();
    nlohmann::json answer{{"content_bytes", content_.size()}, {"clusters", cluster_count_}};
    std::vector<double> ours_one;
    std::vector<double> ours_two;
    std::vector<double> theirs_one;
    std::vector<double> theirs_two;
    std::vector<double> theirs_written;
    for (int round = -1; round < plan_.rounds; ++round) {
      const double bare_one = pack_bare(1);
      const auto bare_written = pack_and_write_bare();
      const auto two = pack_to_file(2);
      const double bare_two = pack_bare(2);
      const auto one = pack_to_file(1);
      if (!bare_written) return fail(bare_written.error().code);
      if (!two) return fail(two.error().code);
      if (!one) return fail(one.error().code);
      if (round < 0) continue;
      ours_one.push_back(*one);
      ours_two.push_back(*two);
      theirs_one.push_back(bare_one);
      theirs_two.push_back(bare_two);
      theirs_written.push_back(*bare_written);
    }
    answer["pack_1"] = {
        {"ours", ours_one}, {"theirs", theirs_one}, {"theirs_written", theirs_written}};
    answer["pack_2"] = {{"ours", ours_two}, {"theirs", theirs_two}};
    answer["saved_bytes"] = {{"ours", content_.size() - file_.used_bytes()},
                             {"theirs", f2fs_saved_bytes_}};
    if (auto done = measure_reads(answer); !done) return fail(done.error().code);
    return answer;
  }

 private:
  [[nodiscard]] ConstBytes cluster(std::size_t index) const {
    return content_.subspan(index * cluster_bytes_, cluster_bytes_);
  }

  // What every cluster packs into, with room for any outcome; and f2fs's rule on that.
  void pack_alone() {
    const auto compressor = codec_->make_compressor().value();
    std::vector<std::byte> out(2 * cluster_bytes_);
    for (std::size_t i = 0; i < cluster_count_; ++i) {
      const std::size_t bytes = compressor->compress(cluster(i), out).value();
      const std::size_t blocks = (bytes + kF2fsHeaderBytes + kPageBytes - 1) / kPageBytes;
      if (blocks >= plan_.options.page_count()) continue;
      f2fs_saved_bytes_ += (plan_.options.page_count() - blocks) * kPageBytes;
      packed_.push_back({i, bytes_.size(), bytes});
      bytes_.insert(bytes_.end(), out.begin(), out.begin() + static_cast<std::ptrdiff_t>(bytes));
    }
    UZ_CHECK(!packed_.empty());
  }

  static double seconds_since(std::uint64_t start) {
    return static_cast<double>(now_nanoseconds() - start) / 1e9;
  }

  double pack_bare(unsigned thread_count) {
    // f2fs gives the codec no more room than packing may take.
    const std::size_t room_bytes = cluster_bytes_ - kPageBytes - kF2fsHeaderBytes;
    std::atomic<std::size_t> next = 0;
    const auto work = [&](Compressor& compressor, MutableBytes out) {
      for (std::size_t i = next++; i < cluster_count_; i = next++)
        (void)compressor.compress(cluster(i), out.first(room_bytes));
    };
    std::vector<std::unique_ptr<Compressor>> compressors;
    std::vector<std::vector<std::byte>> outs;
    for (unsigned i = 0; i < thread_count; ++i) {
      compressors.push_back(codec_->make_compressor().value());
      outs.emplace_back(cluster_bytes_);
    }
    std::optional<PinnedThread> pinned;
    if (thread_count == 1) pinned.emplace(plan_.processor);
    const std::uint64_t start = now_nanoseconds();
    std::vector<std::thread> helpers;
    for (unsigned i = 1; i < thread_count; ++i)
      helpers.emplace_back([&, i] { work(*compressors[i], outs[i]); });
    work(*compressors[0], outs[0]);
    for (std::thread& helper : helpers) helper.join();
    return seconds_since(start);
  }

  // Packs and writes whole blocks, raw ones too, to a new file, on one thread.
  Result<double> pack_and_write_bare() {
    const auto compressor = codec_->make_compressor().value();
    const std::size_t room_bytes = cluster_bytes_ - kPageBytes - kF2fsHeaderBytes;
    std::vector<std::byte> blocks(std::max(kWrittenTogetherBytes, cluster_bytes_));
    ::unlink(file_.path().c_str());
    auto storage = open_cluster_storage(file_.path(), StorageMode::Create);
    if (!storage) return fail(storage.error().code);
    const PinnedThread pinned(plan_.processor);
    const std::uint64_t start = now_nanoseconds();
    std::uint64_t end = 0;
    std::size_t used = 0;
    const auto write = [&]() -> Result<void> {
      const auto written = (*storage)->write(end, ConstBytes(blocks).first(used));
      end += used;
      used = 0;
      return written;
    };
    for (std::size_t i = 0; i < cluster_count_; ++i) {
      if (used + cluster_bytes_ > blocks.size()) {
        if (auto written = write(); !written) return fail(written.error().code);
      }
      const MutableBytes place = MutableBytes(blocks).subspan(used, cluster_bytes_);
      const auto packed = compressor->compress(cluster(i), place.first(room_bytes));
      if (!packed) std::memcpy(place.data(), cluster(i).data(), cluster_bytes_);
      used += packed ? bytes_to_pages(*packed + kF2fsHeaderBytes) * kPageBytes : cluster_bytes_;
    }
    if (auto written = write(); !written) return fail(written.error().code);
    return seconds_since(start);
  }

  Result<double> pack_to_file(unsigned thread_count) {
    ::unlink(file_.path().c_str());
    auto storage = open_cluster_storage(file_.path(), StorageMode::Create);
    if (!storage) return fail(storage.error().code);
    std::optional<PinnedThread> pinned;
    if (thread_count == 1) pinned.emplace(plan_.processor);
    const std::uint64_t start = now_nanoseconds();
    const auto file =
        ClusterFile::create(*std::move(storage), plan_.options, {.thread_count = thread_count});
    if (!file) return fail(file.error().code);
    for (std::size_t at = 0; at < content_.size(); at += kWriteBytes) {
      const ConstBytes part = content_.subspan(at, std::min(kWriteBytes, content_.size() - at));
      if (auto written = (*file)->write(at, part); !written) return fail(written.error().code);
    }
    if (auto synced = (*file)->sync(); !synced) return fail(synced.error().code);
    return seconds_since(start);
  }

  Result<std::unique_ptr<ClusterFile>> open_file() const {
    auto storage = open_cluster_storage(file_.path(), StorageMode::Read);
    if (!storage) return fail(storage.error().code);
    return ClusterFile::open(*std::move(storage), StorageMode::Read, {});
  }

  // One page of each packed cluster, in random order: more of them than there are buffers.
  Result<double> read_cold(const std::vector<std::uint32_t>& order, std::uint64_t seed) {
    const auto file = open_file();
    if (!file) return fail(file.error().code);
    Random random(seed);
    std::vector<std::uint64_t> offsets;
    for (const std::uint32_t at : order) {
      const std::uint64_t page = random.below(plan_.options.page_count());
      offsets.push_back(packed_[at].cluster * cluster_bytes_ + page * kPageBytes);
    }
    alignas(64) std::array<std::byte, kPageBytes> page;
    const std::uint64_t start = now_nanoseconds();
    for (const std::uint64_t offset : offsets) {
      const auto got = (*file)->read(offset, page);
      if (!got) return fail(got.error().code);
    }
    const double nanoseconds = 1e9 * seconds_since(start) / static_cast<double>(order.size());
    UZ_CHECK(std::memcmp(page.data(), &content_[offsets.back()], kPageBytes) == 0);
    return nanoseconds;
  }

  double unpack_bare(const std::vector<std::uint32_t>& order, MutableBytes out) {
    const auto decompressor = codec_->make_decompressor().value();
    const std::uint64_t start = now_nanoseconds();
    for (const std::uint32_t at : order) {
      const auto done = decompressor->decompress(
          ConstBytes(bytes_).subspan(packed_[at].start, packed_[at].bytes), out);
      UZ_CHECK(done.has_value());
    }
    return 1e9 * seconds_since(start) / static_cast<double>(order.size());
  }

  // Pages of clusters that fill half of the buffers.
  Result<double> read_hits() {
    const auto file = open_file();
    if (!file) return fail(file.error().code);
    const std::size_t pages =
        std::min(content_.size(), ClusterFileLimits{}.cache_bytes / 2) / kPageBytes;
    alignas(64) std::array<std::byte, kPageBytes> page;
    double nanoseconds = 0;
    for (const bool is_warm : {false, true}) {
      const std::uint64_t start = now_nanoseconds();
      for (const std::uint32_t at : shuffled(pages, is_warm ? 5 : 4)) {
        const auto got = (*file)->read(std::uint64_t{at} * kPageBytes, page);
        if (!got) return fail(got.error().code);
      }
      nanoseconds = 1e9 * seconds_since(start) / static_cast<double>(pages);
    }
    return nanoseconds;
  }

  Result<void> measure_reads(nlohmann::json& answer) {
    const PinnedThread pinned(plan_.processor);
    std::vector<std::byte> out(cluster_bytes_);
    std::vector<double> ours;
    std::vector<double> theirs;
    std::vector<double> hits;
    for (int round = -1; round < plan_.rounds; ++round) {
      const auto seed = static_cast<std::uint64_t>(round) + 100;
      const auto order = shuffled(packed_.size(), seed);
      const auto our_value = read_cold(order, seed);
      if (!our_value) return fail(our_value.error().code);
      const double their_value = unpack_bare(order, out);
      const auto hit = read_hits();
      if (!hit) return fail(hit.error().code);
      if (round < 0) continue;
      ours.push_back(*our_value);
      theirs.push_back(their_value);
      hits.push_back(*hit);
    }
    answer["cold_read"] = {{"ours", ours}, {"theirs", theirs}};
    answer["hit"] = {{"ours", hits}};
    return {};
  }

  struct Packed {
    std::size_t cluster = 0;
    std::size_t start = 0;
    std::size_t bytes = 0;
  };

  const ClusterPlan& plan_;
  const std::size_t cluster_bytes_;
  const ConstBytes content_;
  const std::size_t cluster_count_;
  const std::unique_ptr<Codec> codec_;
  const FileInFolder file_;
  std::vector<Packed> packed_;    // Those that f2fs would keep packed.
  std::vector<std::byte> bytes_;  // One after the other.
  std::uint64_t f2fs_saved_bytes_ = 0;
};

}  // namespace

Result<nlohmann::json> measure_clusters(const Corpus& corpus, const ClusterPlan& plan) {
  auto codec = codec_of(plan.options);
  if (!codec) return fail(codec.error().code);
  return ClusterMeasurement(corpus, plan, *std::move(codec)).run();
}

}  // namespace uzram::bench

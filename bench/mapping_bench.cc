// SPDX-License-Identifier: Apache-2.0
#include "bench/mapping_bench.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "bench/measure.h"
#include "cluster/cluster_file.h"
#include "pager/pager.h"

namespace uzram::bench {
namespace {

constexpr std::size_t kLongReadBytes = std::size_t{128} << 10;

class MappingMeasurement {
 public:
  MappingMeasurement(const Corpus& corpus, const ClusterPlan& plan)
      : plan_(plan),
        content_(corpus.bytes().first(std::min(corpus.bytes().size(), plan.most_bytes) /
                                      kLongReadBytes * kLongReadBytes)),
        page_count_(content_.size() / kPageBytes),
        path_(plan.folder + "/uzram-mapping-" + std::to_string(::getpid())) {}
  ~MappingMeasurement() { ::unlink(path_.c_str()); }
  MappingMeasurement(const MappingMeasurement&) = delete;
  MappingMeasurement& operator=(const MappingMeasurement&) = delete;

  Result<nlohmann::json> run() {
    if (auto made = make_file(); !made) return fail(made.error().code);
    const PinnedThread pinned(plan_.processor);  // Also the pager's, which are made while it holds.
    nlohmann::json answer{{"content_bytes", content_.size()}};
    for (const bool is_random : {true, false}) {
      std::vector<double> ours;
      std::vector<double> theirs;
      for (int round = -1; round < plan_.rounds; ++round) {
        const auto order = is_random ? shuffled(page_count_, static_cast<std::uint64_t>(round) + 9)
                                     : std::vector<std::uint32_t>();
        const auto our_value = touch(order);
        const auto their_value = read(order);
        if (!our_value) return fail(our_value.error().code);
        if (!their_value) return fail(their_value.error().code);
        if (round < 0) continue;
        ours.push_back(*our_value);
        theirs.push_back(*their_value);
      }
      answer[is_random ? "random" : "in_order"] = {{"ours", ours}, {"theirs", theirs}};
    }
    return answer;
  }

 private:
  Result<void> make_file() {
    auto storage = open_cluster_storage(path_, StorageMode::Create);
    if (!storage) return fail(storage.error().code);
    const auto file = ClusterFile::create(*std::move(storage), plan_.options, {});
    if (!file) return fail(file.error().code);
    if (auto written = (*file)->write(0, content_); !written) return written;
    return (*file)->sync();
  }

  [[nodiscard]] double nanoseconds_a_page(std::uint64_t start) const {
    return static_cast<double>(now_nanoseconds() - start) / static_cast<double>(page_count_);
  }

  // An empty `order`: one page after the other.
  Result<double> touch(const std::vector<std::uint32_t>& order) {
    PagerConfig config;
    config.memory_limit_bytes = content_.size() / 4;
    auto pager = Pager::create(config);
    if (!pager) return fail(pager.error().code);
    const auto mapped =
        (*pager)->map_cluster_file(path_, 0, content_.size(), MapSharing::Private,
                                   order.empty() ? AccessHint::Normal : AccessHint::Random);
    if (!mapped) return fail(mapped.error().code);
    const std::uint64_t start = now_nanoseconds();
    for (std::uint64_t i = 0; i < page_count_; ++i) {
      const std::uint64_t at = (order.empty() ? i : order[i]) * kPageBytes + i % kPageBytes;
      UZ_CHECK((*mapped)[at] == content_[at]);
    }
    return nanoseconds_a_page(start);
  }

  Result<double> read(const std::vector<std::uint32_t>& order) {
    auto storage = open_cluster_storage(path_, StorageMode::Read);
    if (!storage) return fail(storage.error().code);
    const auto file = ClusterFile::open(*std::move(storage), StorageMode::Read, {});
    if (!file) return fail(file.error().code);
    std::vector<std::byte> read(order.empty() ? kLongReadBytes : kPageBytes);
    const std::uint64_t count = content_.size() / read.size();
    const std::uint64_t start = now_nanoseconds();
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t offset = (order.empty() ? i : order[i]) * read.size();
      if (auto got = (*file)->read(offset, read); !got) return fail(got.error().code);
      UZ_CHECK(read[i % kPageBytes] == content_[offset + i % kPageBytes]);
    }
    return nanoseconds_a_page(start);
  }

  const ClusterPlan& plan_;
  const ConstBytes content_;
  const std::uint64_t page_count_;
  const std::string path_;
};

}  // namespace

Result<nlohmann::json> measure_mapping(const Corpus& corpus, const ClusterPlan& plan) {
  return MappingMeasurement(corpus, plan).run();
}

}  // namespace uzram::bench

// SPDX-License-Identifier: Apache-2.0
// Random use of mapped cluster files against plain bytes, from a printed seed: what a shared
// mapping and its file must hold, what a private one keeps to itself, whatever leaves memory when.
#include <cstdlib>
#include <random>

#include "pager/pager_file_fixture.h"

namespace uzram {
namespace {

// A shared mapping of one file, a private one of another, and what both must show.
class FileModel {
 public:
  static constexpr std::uint64_t kPages = 700;

  FileModel(Pager& pager, unsigned log_pages, std::uint64_t seed)
      : pager_(pager), random_(seed), mapped_(log_pages), private_(log_pages) {
    mapped_.fill(kPages - 1, 0, 1000);
    private_.fill(kPages - 1, 5000, 1000);
    content_.resize(kPages * kPageBytes);
    private_content_.resize(kPages * kPageBytes);
    EXPECT_EQ(mapped_.file->read(0, content_).value_or(0), end_bytes());
    EXPECT_EQ(private_.file->read(0, private_content_).value_or(0), end_bytes());
    first_page_ = random_.below(10);
    start_ = map(mapped_, MapSharing::Shared);
    private_start_ = map(private_, MapSharing::Private);
  }

  // Returns: what differs, in words.
  std::string step() {
    const std::uint64_t page = first_page_ + random_.below(kPages - first_page_);
    const std::uint64_t pages = 1 + random_.below(std::min<std::uint64_t>(kPages - page, 80));
    std::byte* const place = start_ + (page - first_page_) * kPageBytes;
    switch (random_.below(12)) {
      case 0:
        if (pager_.sync(place, pages * kPageBytes)) return compare_file(page, pages);
        return "sync failed";
      case 1:
        return pager_.page_out(place, pages * kPageBytes) ? "" : "page_out failed";
      case 2:
        return pager_.drop(place, pages * kPageBytes) ? "" : "drop failed";
      case 3:
        return pager_.prefetch(place, pages * kPageBytes) ? "" : "prefetch failed";
      case 4:
        return page % 16 == 0 ? close_and_map_again() : "";
      case 5:
        return change_private(page, pages);
      case 6:
        return cut_and_grow();
      case 7:
      case 8:
      case 9:
        write(page, pages);
        return "";
      default:
        return compare(page, pages);
    }
  }
  std::string compare_all() {
    std::string difference = compare(first_page_, kPages - first_page_);
    if (difference.empty() && !pager_.sync(start_, (kPages - first_page_) * kPageBytes))
      difference = "sync failed";
    if (difference.empty()) difference = compare_file(0, kPages);
    pager_.check_invariants();
    return difference;
  }

 private:
  // What is behind it is nobody's.
  [[nodiscard]] static std::uint64_t end_bytes() { return (kPages - 1) * kPageBytes + 1000; }
  [[nodiscard]] static std::uint64_t end_of(std::uint64_t page, std::uint64_t pages) {
    return std::min((page + pages) * kPageBytes, end_bytes());
  }
  [[nodiscard]] bool is_equal(const std::byte* at, const std::vector<std::byte>& wanted,
                              std::uint64_t page, std::uint64_t pages) const {
    const std::uint64_t begin = page * kPageBytes;
    return std::memcmp(at + (page - first_page_) * kPageBytes, wanted.data() + begin,
                       end_of(page, pages) - begin) == 0;
  }

  std::byte* map(const TestClusterFile& from, MapSharing sharing) {
    const auto made = pager_.map_cluster_file(from.file, first_page_ * kPageBytes,
                                              (kPages - first_page_) * kPageBytes, sharing);
    EXPECT_TRUE(made.has_value()) << std::strerror(errno_of(made));
    return made.value_or(nullptr);
  }

  std::string compare(std::uint64_t page, std::uint64_t pages) {
    if (!is_equal(start_, content_, page, pages)) return "the shared mapping has other bytes";
    if (!is_equal(private_start_, private_content_, page, pages))
      return "the private mapping has other bytes";
    return "";
  }
  std::string compare_file(std::uint64_t page, std::uint64_t pages) {
    std::vector<std::byte> seen(end_of(page, pages) - page * kPageBytes);
    if (mapped_.file->read(page * kPageBytes, seen).value_or(0) != seen.size()) return "no read";
    const bool is_same =
        std::memcmp(seen.data(), content_.data() + page * kPageBytes, seen.size()) == 0;
    return is_same ? "" : "the file has other bytes";
  }

  void write(std::uint64_t page, std::uint64_t pages) {
    // Whole pages, or a few bytes of one.
    const bool is_part = random_.below(2) == 0;
    const std::uint64_t begin = page * kPageBytes + (is_part ? random_.below(kPageBytes) : 0);
    const std::uint64_t end =
        is_part ? std::min(begin + 1 + random_.below(20), end_of(page, 1)) : end_of(page, pages);
    const std::uint64_t seed = random_.next();
    std::byte* const mapped = start_ - first_page_ * kPageBytes;
    for (std::uint64_t i = begin; i < end; ++i) {
      const auto value = static_cast<std::byte>(i % 64 < 8 ? seed >> i % 64 : i / kPageBytes);
      content_[i] = mapped[i] = value;
    }
  }

  std::string change_private(std::uint64_t page, std::uint64_t pages) {
    std::byte* const mapped = private_start_ - first_page_ * kPageBytes;
    const std::uint64_t seed = random_.next();
    for (std::uint64_t i = page * kPageBytes; i < end_of(page, pages); ++i)
      private_content_[i] = mapped[i] = static_cast<std::byte>(i % 512 == 0 ? seed : i);
    std::byte* const place = private_start_ + (page - first_page_) * kPageBytes;
    return pager_.page_out(place, pages * kPageBytes) ? "" : "page_out failed";
  }

  std::string close_and_map_again() {
    if (!pager_.close_region(start_)) return "close_region failed";
    start_ = map(mapped_, MapSharing::Shared);
    return compare_file(0, kPages);
  }

  // Pages that are in memory do not follow: all go, the file loses its tail, and has zeros there.
  std::string cut_and_grow() {
    const std::uint64_t kept_pages = kPages - random_.below(100);
    const std::uint64_t kept = std::min(kept_pages * kPageBytes - random_.below(5000), end_bytes());
    if (!pager_.drop(start_, (kPages - first_page_) * kPageBytes)) return "drop failed";
    if (!mapped_.file->truncate(kept) || !mapped_.file->truncate(end_bytes()))
      return "truncate failed";
    std::fill(content_.begin() + static_cast<std::ptrdiff_t>(kept), content_.end(), std::byte{0});
    return "";
  }

  Pager& pager_;
  Random random_;
  TestClusterFile mapped_;
  TestClusterFile private_;
  std::vector<std::byte> content_;
  std::vector<std::byte> private_content_;
  std::uint64_t first_page_ = 0;
  std::byte* start_ = nullptr;
  std::byte* private_start_ = nullptr;
};

std::uint64_t file_model_seed() {
  if (const char* const given = std::getenv("UZRAM_TEST_SEED"))
    return std::strtoull(given, nullptr, 0);
  return std::random_device()();
}

class PagerFileModelRun : public PagerFileFixture {};
INSTANTIATE_TEST_SUITE_P(Backends, PagerFileModelRun, backends_with_faults(), backend_name);

TEST_P(PagerFileModelRun, AgreesWithPlainBytes) {
  constexpr int kSteps = UZ_PAGER_UNDER_SANITIZER != 0 ? 150 : 400;
  const std::uint64_t seed = file_model_seed();
  SCOPED_TRACE("UZRAM_TEST_SEED=" + std::to_string(seed));
  Random random(seed);
  for (const unsigned log_pages : {2U, 5U, 8U}) {
    PagerConfig config = PagerFileFixture::config(kLeastLimitBytes + 3 * (kPageBytes << log_pages));
    config.compressor_threads = static_cast<unsigned>(random.below(3));
    config.page_cluster = static_cast<unsigned>(random.below(5));
    config.has_vma_readahead = random.below(2) == 0;
    UZ_MAKE_PAGER(*this, config);
    FileModel model(pager(), log_pages, random.next());
    for (int i = 0; i < kSteps; ++i)
      ASSERT_EQ(model.step(), "") << "clusters of 2^" << log_pages << ", step " << i;
    ASSERT_EQ(model.compare_all(), "");
    pager_.reset();
  }
}

}  // namespace
}  // namespace uzram

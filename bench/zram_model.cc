// SPDX-License-Identifier: Apache-2.0
#include "bench/zram_model.h"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace uzram::bench {
namespace {

constexpr std::size_t kLeastObjectBytes = 32;
constexpr std::size_t kClassStepBytes = 16;
constexpr std::size_t kMostSpanPages = 8;
constexpr std::size_t kHandleBytes = 8;
// What zram itself keeps for each page of the disk.
constexpr std::size_t kTableEntryBytes = 16;

using Pack = std::function<std::size_t(PageView)>;

Pack lz4_pack() {
  return [](PageView page) {
    std::array<char, LZ4_COMPRESSBOUND(kPageBytes)> out;
    const int packed = LZ4_compress_default(reinterpret_cast<const char*>(page.data()), out.data(),
                                            kPageBytes, static_cast<int>(out.size()));
    UZ_CHECK(packed > 0);
    return static_cast<std::size_t>(packed);
  };
}

Pack zstd_pack() {
  constexpr int kKernelLevel = 3;
  const std::shared_ptr<ZSTD_CCtx> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  return [context](PageView page) {
    std::array<std::byte, ZSTD_COMPRESSBOUND(kPageBytes)> out;
    const std::size_t packed = ZSTD_compressCCtx(context.get(), out.data(), out.size(), page.data(),
                                                 kPageBytes, kKernelLevel);
    UZ_CHECK(!ZSTD_isError(packed));
    return packed;
  };
}

}  // namespace

ZsmallocModel::SizeClass ZsmallocModel::best_class(std::size_t object_bytes) {
  SizeClass best{object_bytes, 1, kPageBytes / object_bytes};
  std::size_t least_waste = kPageBytes % object_bytes;
  for (std::size_t pages = 2; pages <= kMostSpanPages && least_waste > 0; ++pages) {
    const std::size_t waste = pages * kPageBytes % object_bytes;
    if (waste >= least_waste) continue;
    least_waste = waste;
    best = {object_bytes, pages, pages * kPageBytes / object_bytes};
  }
  return best;
}

ZsmallocModel::ZsmallocModel() {
  for (std::size_t bytes = kLeastObjectBytes; bytes <= kPageBytes; bytes += kClassStepBytes) {
    const SizeClass fresh = best_class(bytes);
    const bool is_like_last = !classes_.empty() && classes_.back().span_pages == fresh.span_pages &&
                              classes_.back().span_objects == fresh.span_objects;
    if (is_like_last) {
      classes_.back() = fresh;  // The larger one serves both.
    } else {
      classes_.push_back(fresh);
    }
  }
  // The largest object that still shares its span, with its handle; one byte more is huge.
  const auto last = std::find_if(classes_.rbegin(), classes_.rend(),
                                 [](const SizeClass& each) { return !each.is_huge(); });
  huge_bytes_ = last->object_bytes - kHandleBytes + 1;
}

void ZsmallocModel::allocate(std::size_t bytes) {
  const std::size_t needed = std::min(bytes + kHandleBytes, kPageBytes);
  const auto found = std::find_if(classes_.begin(), classes_.end(), [needed](const SizeClass& it) {
    return it.object_bytes >= needed;
  });
  UZ_CHECK(found != classes_.end());
  ++found->objects;
}

std::uint64_t ZsmallocModel::object_count() const {
  std::uint64_t count = 0;
  for (const SizeClass& each : classes_) count += each.objects;
  return count;
}

std::uint64_t ZsmallocModel::used_bytes() const {
  std::uint64_t pages = 0;
  for (const SizeClass& each : classes_) {
    const std::uint64_t spans = (each.objects + each.span_objects - 1) / each.span_objects;
    pages += spans * each.span_pages;
  }
  return pages * kPageBytes;
}

Result<nlohmann::json> measure_zram_model(const Corpus& corpus, const std::string& algorithm) {
  if (algorithm != "lz4" && algorithm != "zstd") return fail(EINVAL);
  const Pack pack = algorithm == "lz4" ? lz4_pack() : zstd_pack();
  ZsmallocModel model;
  std::uint64_t packed_bytes = 0;
  std::uint64_t same_pages = 0;
  std::uint64_t huge_pages = 0;
  for (std::size_t index = 0; index < corpus.page_count(); ++index) {
    const PageView page = corpus.page(index);
    if (Corpus::is_same_filled(page)) {
      ++same_pages;
      continue;
    }
    const std::size_t packed = pack(page);
    const bool is_huge = packed >= model.huge_bytes();
    const std::size_t stored = is_huge ? kPageBytes : packed;
    huge_pages += is_huge ? 1 : 0;
    packed_bytes += stored;
    model.allocate(stored);
  }
  const std::uint64_t table_bytes = corpus.page_count() * kTableEntryBytes;
  const std::uint64_t handle_bytes = model.object_count() * kHandleBytes;
  return nlohmann::json{{"pages", corpus.page_count()},
                        {"same_pages", same_pages},
                        {"huge_pages", huge_pages},
                        {"classes", model.class_count()},
                        {"huge_bytes", model.huge_bytes()},
                        {"compr_data_bytes", packed_bytes},
                        {"mem_used_bytes", model.used_bytes()},
                        {"table_bytes", table_bytes},
                        {"handle_bytes", handle_bytes},
                        {"total_bytes", model.used_bytes() + table_bytes + handle_bytes}};
}

}  // namespace uzram::bench

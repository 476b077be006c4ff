// SPDX-License-Identifier: Apache-2.0
#include "bench/writeback_bench.h"

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bench/device_setup.h"
#include "bench/measure.h"

namespace uzram::bench {
namespace {

void make_incompressible(std::uint64_t number, PageBuffer page) {
  Random random(number);
  for (std::size_t at = 0; at < kPageBytes; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random.next();
    std::memcpy(page.data() + at, &word, sizeof word);
  }
}

class WritebackMeasurement {
 public:
  WritebackMeasurement(const Corpus& corpus, const WritebackPlan& plan)
      : corpus_(corpus),
        plan_(plan),
        is_random_(plan.content == WritebackContent::Incompressible),
        page_count_(is_random_ ? (plan.mebibytes << 20) / kPageBytes : corpus.page_count()) {}

  Result<nlohmann::json> run() {
    auto made = make_device({.algorithm = "lz4",
                             .backing = plan_.path,
                             .encrypts_backing = plan_.encrypts,
                             .has_compressed_writeback = !is_random_},
                            page_count_);
    if (!made) return fail(made.error().code);
    Device& device = **made;
    for (std::uint64_t number = 0; number < page_count_; ++number) {
      const Result<void> done = device.write(number * kPageBytes, content_of(number));
      if (!done) return fail(done.error().code);
    }
    wait_for_maintenance(device);
    if (const Result<void> marked = device.mark_idle(std::nullopt); !marked)
      return fail(marked.error().code);
    WritebackRequest request;
    request.pages.type = is_random_ ? PageType::HugeIdle : PageType::Idle;
    const std::uint64_t start = now_nanoseconds();
    const Result<WritebackOutcome> outcome = device.write_back(request);
    const std::uint64_t nanoseconds = now_nanoseconds() - start;
    if (!outcome) return fail(outcome.error().code);
    if (is_random_ && outcome->written_pages != page_count_) return fail(ENODATA);
    if (const Result<void> same = verify_some(device); !same) return fail(same.error().code);
    const double seconds = static_cast<double>(nanoseconds) / 1e9;
    return nlohmann::json{
        {"seconds", seconds},
        {"written_pages", outcome->written_pages},
        {"written_blocks", outcome->written_blocks},
        {"pages_per_second", static_cast<double>(outcome->written_pages) / seconds},
        {"bytes_per_second", static_cast<double>(outcome->written_blocks * kPageBytes) / seconds}};
  }

 private:
  PageView content_of(std::uint64_t number) {
    if (!is_random_) return corpus_.page(number);
    make_incompressible(number, PageBuffer(content_));
    return PageView(content_);
  }

  Result<void> verify_some(Device& device) {
    alignas(kPageBytes) std::array<std::byte, kPageBytes> page;
    for (std::uint64_t number = 0; number < page_count_; number += 1 + page_count_ / 97) {
      if (const Result<void> read = device.read(number * kPageBytes, page); !read) return read;
      if (std::memcmp(page.data(), content_of(number).data(), kPageBytes) != 0)
        return fail(EBADMSG);
    }
    return {};
  }

  const Corpus& corpus_;
  const WritebackPlan& plan_;
  const bool is_random_;
  const std::uint64_t page_count_;
  alignas(kPageBytes) std::array<std::byte, kPageBytes> content_{};
};

}  // namespace

Result<nlohmann::json> measure_writeback(const Corpus& corpus, const WritebackPlan& plan) {
  return WritebackMeasurement(corpus, plan).run();
}

}  // namespace uzram::bench

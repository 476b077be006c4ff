// SPDX-License-Identifier: Apache-2.0
// A machine, or a cgroup, that gives less memory than the pager's limit would allow.
#include <bit>

#include "pager/pager_core.h"
#include "pager/pager_fixture.h"

namespace uzram {
namespace {

// A real backend on a machine that has so many pages, for regions and staging together.
class ScarceBackend final : public MemoryBackend {
 public:
  static constexpr std::uint64_t kMachinePages = 300;

  ScarceBackend(std::unique_ptr<MemoryBackend> inner, SpanShape shape)
      : MemoryBackend(shape),
        inner_(std::move(inner)),
        is_present_(shape.span_pages),
        is_staged_(shape.staging_pages) {
    span_ = inner_->span();
    staging_ = inner_->staging();
  }
  [[nodiscard]] int fault_signal() const override { return inner_->fault_signal(); }
  Result<void> open_range(std::uint64_t first, std::uint64_t count) override {
    return inner_->open_range(first, count);
  }
  Result<void> close_range(std::uint64_t first, std::uint64_t count) override {
    return inner_->close_range(first, count);
  }
  Result<std::uint64_t> install(std::uint64_t first, std::uint64_t count, const std::byte* source,
                                PageAccess access) override {
    if (used_pages_ >= kMachinePages) {
      ++refused_count;
      return fail(ENOMEM);
    }
    count = std::min(count, kMachinePages - used_pages_);
    const auto installed = inner_->install(first, count, source, access);
    if (installed) change(is_present_, first, *installed, true);
    return installed;
  }
  void allow_write(std::uint64_t page) override { inner_->allow_write(page); }
  bool forbid_write(std::uint64_t page) override { return inner_->forbid_write(page); }
  std::uint64_t take(std::uint64_t first, std::uint64_t count, std::uint64_t present,
                     std::uint64_t staging_first) override {
    const std::uint64_t gone = inner_->take(first, count, present, staging_first);
    for (std::uint64_t i = 0; i < gone; ++i) {
      if ((present >> i & 1U) == 0) continue;
      change(is_present_, first + i, 1, false);
      change(is_staged_, staging_first + i, 1, true);
    }
    return gone;
  }
  void forget(std::uint64_t first, std::uint64_t count) override {
    inner_->forget(first, count);
    change(is_present_, first, count, false);
  }
  void forget_staging(std::uint64_t first, std::uint64_t count) override {
    inner_->forget_staging(first, count);
    change(is_staged_, first, count, false);
  }
  [[nodiscard]] bool is_present(std::uint64_t page) const override {
    return inner_->is_present(page);
  }
  bool inherit(bool is_inherited) override { return inner_->inherit(is_inherited); }

  std::uint64_t refused_count = 0;

 private:
  void change(std::vector<bool>& pages, std::uint64_t first, std::uint64_t count, bool is) {
    for (std::uint64_t page = first; page < first + count; ++page) {
      if (pages[page] == is) continue;
      pages[page] = is;
      used_pages_ += is ? 1 : -1;
    }
  }
  const std::unique_ptr<MemoryBackend> inner_;
  std::vector<bool> is_present_;
  std::vector<bool> is_staged_;
  std::uint64_t used_pages_ = 0;
};

Result<std::unique_ptr<MemoryBackend>> make_scarce_backend(PagerBackend kind, SpanShape shape) {
  auto inner = make_memory_backend(kind, shape);
  if (!inner) return tl::unexpected(inner.error());
  return std::make_unique<ScarceBackend>(std::move(*inner), shape);
}

class PagerOnAScarceMachine : public EveryBackend {
 protected:
  static constexpr std::uint64_t kPages = 1000;

  void SetUp() override {
    PagerConfig alone = config(16 * kMebibyte);
    alone.compressor_threads = 0;
    auto made = PagerCore::create(alone, make_scarce_backend);
    if (!made && made.error().code == ENOSYS)
      GTEST_SKIP() << "this machine has no userfaultfd that could serve the backend "
                   << name_of(GetParam());
    ASSERT_TRUE(made.has_value()) << errno_of(made);
    core_ = std::move(*made);
    const auto start =
        core_->add_region(kPages * kPageBytes, PageKindOf::Anonymous, AccessHint::Normal, {});
    ASSERT_TRUE(start.has_value());
    first_ = core_->page_of(*start);
  }
  // As a thread that touches the page.
  std::byte* fault(std::uint64_t page, bool is_write) {
    EXPECT_TRUE(core_->handle_fault(first_ + page, is_write)) << page;
    return core_->memory().span() + (first_ + page) * kPageBytes;
  }
  [[nodiscard]] std::uint64_t refused_count() const {
    return dynamic_cast<const ScarceBackend&>(core_->memory()).refused_count;
  }

  std::unique_ptr<PagerCore> core_;
  std::uint64_t first_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Backends, PagerOnAScarceMachine,
                         ::testing::Values(PagerBackend::Move, PagerBackend::Protect,
                                           PagerBackend::Signal),
                         backend_name);

TEST_P(PagerOnAScarceMachine, GivesUpPagesOfItsOwnLongBeforeItsLimit) {
  for (std::uint64_t page = 0; page < kPages; ++page) fill_test_page(fault(page, true), page);
  EXPECT_GT(refused_count(), 0U);
  EXPECT_LT(core_->stats().total_bytes(), 8 * kMebibyte) << "the limit is not what is short";
  for (std::uint64_t page = 0; page < kPages; ++page)
    ASSERT_TRUE(is_test_page(fault(page, false), page)) << page;
  core_->check_invariants();
}

TEST_P(PagerOnAScarceMachine, SaysSoWhenItCanGiveUpNone) {
  const Result<void> pinned = core_->pin({first_, first_ + kPages}, true);
  EXPECT_EQ(errno_of(pinned), ENOMEM);
  core_->check_invariants();
  // And nothing is pinned then.
  for (std::uint64_t page = 0; page < kPages; ++page) fill_test_page(fault(page, true), page);
  ASSERT_TRUE(core_->pin({first_, first_ + 100}, true).has_value());
  ASSERT_TRUE(core_->unpin({first_, first_ + 100}).has_value());
}

}  // namespace
}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
// device/policy_runner_fixture.h: a store that is looked after, in tests: clocks, pressure and the
// backing store are moved by hand.
//
// What:    BackgroundTest with a PolicyRunner that looks whenever it wants to, on a clock of its
//          own.
// Threads: none of its own.
#pragma once

#include <memory>
#include <string>

#include "backing/fake_disk.h"
#include "device/policy_runner.h"
#include "store/background_fixture.h"

namespace uzram {

class FakeHost final : public PolicyHost {
 public:
  explicit FakeHost(Store& store) : store_(store) {}
  [[nodiscard]] std::uint64_t foreground_requests() const override { return requests; }
  [[nodiscard]] std::optional<std::uint64_t> writeback_allowance() const override {
    return allowance;
  }
  WritebackOutcome write_back(const WritebackRequest& request, const StopSignal& stop) override {
    return uzram::write_back(store_, request, stop);
  }
  void note_changes() override { ++changes; }

  std::uint64_t requests = 0;
  std::optional<std::uint64_t> allowance;
  int changes = 0;

 private:
  Store& store_;
};

inline StoreConfig backed_config(const FakeDisk& disk, std::uint64_t disk_pages) {
  StoreConfig config = config_of("lz4", "zstd", disk_pages);
  config.backing.where = "a disk in memory";
  config.backing.block_count = disk.block_count();
  for (std::size_t i = 0; i < config.backing.key.size(); ++i)
    config.backing.key[i] = static_cast<std::byte>(i * 29 + 3);
  return config;
}

inline PolicySettings settings_of(std::string_view line) {
  const SettingResult<PolicySettings> settings = parse_policy(line);
  EXPECT_TRUE(settings) << settings.error().text;
  return settings ? *settings : PolicySettings{};
}

class PolicyRunnerTest : public BackgroundTest {
 protected:
  using Hours = std::chrono::hours;
  using Microseconds = std::chrono::microseconds;
  using Milliseconds = std::chrono::milliseconds;
  using Minutes = std::chrono::minutes;
  using Seconds = std::chrono::seconds;

  void TearDown() override {
    BackgroundTest::TearDown();
    runner_.reset();
    store_.reset();  // Before the disk that it uses.
  }

  // --- a device
  void make_looked_after(const StoreConfig& config) {
    make(config);
    bring_runner();
  }
  void make_looked_after(std::uint64_t disk_pages = 1024) {
    make_looked_after(config_of("lz4", "zstd", disk_pages));
  }
  void make_backed(std::uint64_t blocks = 4096, std::uint64_t disk_pages = 1024) {
    disk_ = std::make_unique<FakeDisk>(blocks);
    auto made = Store::create(backed_config(*disk_, disk_pages), 4,
                              std::make_unique<FakeStore>(*disk_, BackingOptions{}));
    ASSERT_TRUE(made.has_value()) << made.error().code;
    store_ = std::move(*made);
    bring_runner();
  }
  void set_policy(std::string_view line) {
    settings_ = settings_of(line);
    runner_->set(settings_);
  }

  // --- time
  // Looks whenever the policy wants to; `meanwhile` is called before each look.
  template <typename Work>
  void run_for(Milliseconds time, Work meanwhile) {
    const Milliseconds end = now_ + time;
    while (now_ < end) {
      meanwhile();
      const std::optional<Milliseconds> wake = runner_->look();
      ASSERT_TRUE(wake.has_value());
      ASSERT_GT(*wake, now_) << "it would not sleep";
      now_ = std::min(*wake, end);
    }
  }
  void run_for(Milliseconds time) {
    run_for(time, [] {});
  }
  // When pages that nobody touches have come through a stage, with a minute for the work.
  [[nodiscard]] Milliseconds latest(Stage stage) const {
    PolicyAbilities abilities{{true, true, false, false}, true, store_->backing() != nullptr};
    const PolicyPlan plan = make_policy_plan(settings_, abilities);
    return plan.ladder.ceiling(plan.stage(stage).age) + plan.ladder.tick + Minutes(1);
  }

  // --- what there is
  [[nodiscard]] std::uint64_t count(SlotState state) const {
    std::uint64_t sum = 0;
    for_each_stored_slot(*store_, [&](PageIndex slot, SlotWord slot_word) {
      sum += slot.value < store_->config().disk_pages && slot_word.state() == state ? 1 : 0;
    });
    return sum;
  }
  [[nodiscard]] std::uint64_t count_recompressed() const {
    std::uint64_t sum = 0;
    for_each_stored_slot(*store_, [&](PageIndex, SlotWord slot_word) {
      sum += slot_word.state() == SlotState::Packed && slot_word.priority() == 1 ? 1 : 0;
    });
    return sum;
  }
  // Pages in memory that are members of clusters of so many pages.
  [[nodiscard]] std::uint64_t count_members(std::size_t cluster_pages) const {
    std::uint64_t sum = 0;
    for (std::uint64_t page = 0; page < store_->config().disk_pages; ++page) {
      const std::optional<PageState> found = state_of(*store_, {page});
      sum += found && !found->is_written_back && found->cluster_pages == cluster_pages ? 1 : 0;
    }
    return sum;
  }
  [[nodiscard]] std::uint64_t count_written_back() const {
    std::uint64_t sum = 0;
    for (std::uint64_t page = 0; page < store_->config().disk_pages; ++page) {
      const std::optional<PageState> found = state_of(*store_, {page});
      sum += found && found->is_written_back ? 1 : 0;
    }
    return sum;
  }
  [[nodiscard]] std::uint64_t written_blocks() const {
    return store_->backing()->counters().blocks_written;
  }
  [[nodiscard]] bool says(std::string_view words) const {
    return runner_->explain().find(words) != std::string::npos;
  }

  std::unique_ptr<FakeDisk> disk_;
  std::unique_ptr<FakeHost> host_;
  std::unique_ptr<PolicyRunner> runner_;
  PolicySettings settings_;
  Milliseconds now_ = Hours(1);
  Microseconds cpu_{};       // Of the thread that looks.
  Microseconds cpu_step_{};  // How far it goes on at each glance.
  std::optional<double> memory_pressure_;

 private:
  void bring_runner() {
    host_ = std::make_unique<FakeHost>(*store_);
    PolicySources sources;
    sources.now = [this] { return now_; };
    sources.thread_cpu = [this] { return cpu_ += cpu_step_; };
    sources.memory_pressure = [this] { return memory_pressure_; };
    sources.cpu_pressure = [] { return std::nullopt; };
    runner_ = std::make_unique<PolicyRunner>(*store_, *host_, std::move(sources));
  }
};

}  // namespace uzram

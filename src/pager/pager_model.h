// SPDX-License-Identifier: Apache-2.0
// pager/pager_model.h: commands for a pager, and a plain copy of memory to compare it with.
//
// What:   PagerModel runs a command on a pager and on the mirror; the model test makes the commands
//         from a seed, the fuzzer from its input. Regions come and go, pages are touched in every
//         way, put away, pinned, dropped; limits and knobs change; children look.
// Shapes: a command is kPagerCommandBytes bytes; every byte string is a valid stream.
// Errors: run() -> what differs, in words; empty when nothing does.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/units.h"
#include "pager/pager.h"

namespace uzram {

inline constexpr std::size_t kPagerCommandBytes = 6;

struct PagerCommand {
  std::uint8_t operation = 0;
  std::uint8_t region = 0;
  std::uint16_t page = 0;
  std::uint8_t count = 0;
  std::uint8_t value = 0;
};

inline PagerCommand pager_command_from(const std::uint8_t* bytes) {
  return {bytes[0], bytes[1], static_cast<std::uint16_t>(bytes[2] | bytes[3] << 8), bytes[4],
          bytes[5]};
}

class PagerModel {
 public:
  static constexpr std::size_t kMostRegions = 4;
  static constexpr std::uint64_t kMostRegionPages = 700;
  // Pages that do not pack: so few that the limit always holds everything.
  static constexpr std::uint64_t kMostRandomPages = 150;
  // What packing together costs more, on machines with few processors.
  static constexpr std::uint64_t kClusterContextBytes = std::uint64_t{8} << 20;

  static PagerConfig config_from(std::uint8_t choice, PagerBackend backend) {
    PagerConfig config;
    config.backend = backend;
    config.memory_limit_bytes = kLeastLimitBytes;
    if (choice % 5 >= 3) {
      config.algorithm = "zstd";
      config.cluster_pages = choice % 5 == 3 ? 4 : 8;
      config.memory_limit_bytes += kClusterContextBytes;
    }
    config.address_bytes = std::uint64_t{16} << 20;
    config.compressor_threads = choice % 3;
    config.page_cluster = choice % 5;
    config.has_vma_readahead = choice % 2 == 0;
    config.has_page_checks = choice % 7 != 0;
    config.staging_bytes = choice % 4 == 0 ? 1 : 0;
    const bool has_copies = backend != PagerBackend::Signal;
    if (has_copies && choice % 2 == 1) config.fork_rule = ForkRule::Populate;
    return config;
  }

  PagerModel(Pager& pager, const PagerConfig& config)
      : pager_(pager), fork_rule_(config.fork_rule), limit_bytes_(config.memory_limit_bytes) {}

  [[nodiscard]] std::string run(const PagerCommand& command) {
    if (regions_.empty() || command.operation % 32 == 0) return add_region(command);
    Mirror& region = regions_[command.region % regions_.size()];
    const std::uint64_t page = command.page % region.pages;
    const std::uint64_t count = std::min<std::uint64_t>(1 + command.count, region.pages - page);
    switch (command.operation % 32) {
      case 1:
        return close_region(command.region % regions_.size());
      case 2:
        return drop(region, page, count);
      case 3:
      case 4:
        return done_of(pager_.page_out(region.at(page), count * kPageBytes), "page_out");
      case 5:
        return done_of(pager_.prefetch(region.at(page), count * kPageBytes), "prefetch");
      case 6:
        return pin(region, page, std::min<std::uint64_t>(count, 20), command.value);
      case 7:
        return turn_a_knob(region, command.value);
      case 8:
        return command.value % 8 == 0 ? look_from_a_child() : compare(region, page, count);
      default:
        break;
    }
    if (command.operation % 32 < 16) return compare(region, page, count);
    if (command.operation % 32 < 24) return write_pages(region, page, count, command.value);
    return write_a_bit(region, page, command);
  }

  [[nodiscard]] std::string compare_all() {
    for (Mirror& region : regions_) {
      const std::string difference = compare(region, 0, region.pages);
      if (!difference.empty()) return difference;
    }
    pager_.check_invariants();
    if (pager_.stats().total_bytes() > limit_bytes_ + kLeastLimitBytes / 4)
      return "more than the limit: " + std::to_string(pager_.stats().total_bytes());
    return "";
  }

 private:
  struct Mirror {
    std::byte* start = nullptr;
    std::uint64_t pages = 0;
    std::vector<std::byte> bytes;
    std::vector<bool> is_random;
    [[nodiscard]] std::byte* at(std::uint64_t page) const { return start + page * kPageBytes; }
    [[nodiscard]] std::byte* mirror_at(std::uint64_t page) {
      return bytes.data() + page * kPageBytes;
    }
  };

  static std::string done_of(const Result<void>& done, const char* what) {
    return done ? "" : std::string(what) + " failed: " + std::strerror(done.error().code);
  }

  std::string add_region(const PagerCommand& command) {
    if (regions_.size() == kMostRegions) return compare_all();
    Mirror region;
    region.pages = 1 + command.page % kMostRegionPages;
    const auto made = pager_.make_region(region.pages * kPageBytes - command.count);
    if (!made) return "no region: " + std::string(std::strerror(made.error().code));
    region.start = *made;
    region.bytes.resize(region.pages * kPageBytes);
    region.is_random.resize(region.pages);
    regions_.push_back(std::move(region));
    return "";
  }

  std::string close_region(std::size_t index) {
    std::string problem = done_of(pager_.close_region(regions_[index].start), "close_region");
    for (std::uint64_t page = 0; page < regions_[index].pages; ++page)
      note_random(regions_[index], page, false);
    regions_.erase(regions_.begin() + static_cast<long>(index));
    return problem;
  }

  std::string drop(Mirror& region, std::uint64_t page, std::uint64_t count) {
    std::memset(region.mirror_at(page), 0, count * kPageBytes);
    for (std::uint64_t i = 0; i < count; ++i) note_random(region, page + i, false);
    return done_of(pager_.drop(region.at(page), count * kPageBytes), "drop");
  }

  std::string pin(Mirror& region, std::uint64_t page, std::uint64_t count, std::uint8_t value) {
    const bool for_write = value % 2 == 0;
    const Result<void> pinned = pager_.pin(region.at(page), count * kPageBytes, for_write);
    if (!pinned) return done_of(pinned, "pin");
    // A pinned page stays, whatever is done to it: system calls may use it.
    std::string problem = done_of(pager_.page_out(region.at(0), region.pages * kPageBytes), "out");
    int ends[2];
    if (::pipe(ends) != 0) return "no pipe";
    if (::write(ends[1], region.at(page), kPageBytes) != static_cast<ssize_t>(kPageBytes))
      problem = "a pinned page is EFAULT";
    std::vector<std::byte> seen(kPageBytes);
    if (problem.empty() && ::read(ends[0], seen.data(), kPageBytes) > 0 &&
        std::memcmp(seen.data(), region.mirror_at(page), kPageBytes) != 0)
      problem = "a pinned page has other bytes";
    ::close(ends[0]);
    ::close(ends[1]);
    const std::string unpinned =
        done_of(pager_.unpin(region.at(page), count * kPageBytes), "unpin");
    return problem.empty() ? unpinned : problem;
  }

  std::string turn_a_knob(Mirror& region, std::uint8_t value) {
    const auto hint = static_cast<AccessHint>(value % 4);
    if (const Result<void> done = pager_.advise(region.start, hint); !done) return "advise failed";
    if (!pager_.set_page_cluster(value % 5)) return "set_page_cluster failed";
    // Never below what there is: see kMostRandomPages.
    return done_of(pager_.set_memory_limit(limit_bytes_ + value * 1024U), "set_memory_limit");
  }

  std::string look_from_a_child() {
    const pid_t child = ::fork();
    if (child == 0) {
      bool is_same = true;
      if (fork_rule_ == ForkRule::Populate) {
        for (Mirror& region : regions_)
          is_same =
              is_same && std::memcmp(region.start, region.bytes.data(), region.bytes.size()) == 0;
      }
      ::_exit(is_same ? 0 : 1);
    }
    int status = -1;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return "no child";
    return status == 0 ? "" : "a child has other bytes: " + std::to_string(status);
  }

  std::string compare(Mirror& region, std::uint64_t page, std::uint64_t count) {
    for (std::uint64_t i = page; i < page + count; ++i) {
      if (std::memcmp(region.at(i), region.mirror_at(i), kPageBytes) != 0)
        return "page " + std::to_string(i) + " has other bytes";
    }
    return "";
  }

  void note_random(Mirror& region, std::uint64_t page, bool is_random) {
    if (region.is_random[page] == is_random) return;
    region.is_random[page] = is_random;
    random_pages_ += is_random ? 1 : std::uint64_t(-1);
  }

  std::string write_pages(Mirror& region, std::uint64_t page, std::uint64_t count,
                          std::uint8_t value) {
    Random random(value);
    for (std::uint64_t i = page; i < page + count; ++i) {
      const bool is_random = value % 16 == 1 && random_pages_ < kMostRandomPages;
      note_random(region, i, is_random);
      std::byte* const target = region.at(i);
      for (std::size_t at = 0; at < kPageBytes; at += sizeof(std::uint64_t)) {
        const std::uint64_t word = is_random || at % 512 == 0 ? random.next() : value / 16;
        std::memcpy(target + at, &word, sizeof word);
        std::memcpy(region.mirror_at(i) + at, &word, sizeof word);
      }
    }
    return "";
  }

  static std::string write_a_bit(Mirror& region, std::uint64_t page, const PagerCommand& command) {
    const std::size_t offset = command.count * 16;
    region.at(page)[offset] = std::byte{command.value};
    region.mirror_at(page)[offset] = std::byte{command.value};
    return "";
  }

  Pager& pager_;
  const ForkRule fork_rule_;
  const std::uint64_t limit_bytes_;
  std::vector<Mirror> regions_;
  std::uint64_t random_pages_ = 0;
};

}  // namespace uzram

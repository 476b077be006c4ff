// SPDX-License-Identifier: Apache-2.0
#include "bench/kernel_bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file_descriptor.h"
#include "bench/measure.h"
#include "device/device.h"

namespace uzram::bench {
namespace {

using Order = std::vector<std::uint32_t>;

// One way to a disk, one page at a time.
class PageDisk {
 public:
  virtual ~PageDisk() = default;
  virtual bool write(std::size_t page, PageView data) = 0;
  virtual bool read(std::size_t page, PageBuffer out) = 0;
};

class OurDisk final : public PageDisk {
 public:
  explicit OurDisk(Device& device) : device_(device) {}
  bool write(std::size_t page, PageView data) override {
    return device_.write(page * kPageBytes, data).has_value();
  }
  bool read(std::size_t page, PageBuffer out) override {
    return device_.read(page * kPageBytes, out).has_value();
  }

 private:
  Device& device_;
};

class BlockDisk final : public PageDisk {
 public:
  explicit BlockDisk(int file) : file_(file) {}
  bool write(std::size_t page, PageView data) override {
    return ::pwrite(file_, data.data(), kPageBytes, static_cast<off_t>(page * kPageBytes)) ==
           static_cast<ssize_t>(kPageBytes);
  }
  bool read(std::size_t page, PageBuffer out) override {
    return ::pread(file_, out.data(), kPageBytes, static_cast<off_t>(page * kPageBytes)) ==
           static_cast<ssize_t>(kPageBytes);
  }

 private:
  const int file_;
};

class KernelMeasurement {
 public:
  KernelMeasurement(const Corpus& corpus, const KernelPlan& plan, PageDisk& ours, PageDisk& theirs)
      : corpus_(corpus), plan_(plan), disks_{&ours, &theirs} {}

  Result<nlohmann::json> run() {
    nlohmann::json answer{{"pages", corpus_.page_count()}};
    // The first pass of writing fills both disks and is not counted.
    for (const bool is_write : {true, false}) {
      std::array<std::vector<double>, 2> values;
      for (int round = is_write ? -1 : 0; round < plan_.rounds; ++round) {
        const Order order = shuffled(corpus_.page_count(), static_cast<std::uint64_t>(round) + 9);
        for (std::size_t turn = 0; turn < 2; ++turn) {
          const std::size_t side = (turn + static_cast<std::size_t>(round + 1)) % 2;
          const double value = pass(side, is_write, order);
          if (value < 0) return fail(EIO);
          if (round >= 0) values[side].push_back(value);
        }
      }
      nlohmann::json& part = answer[is_write ? "write" : "read"];
      part = {{"ours", values[0]}, {"theirs", values[1]}};
      add_quantiles(is_write, part);
    }
    return answer;
  }

 private:
  bool request(std::size_t side, bool is_write, std::size_t page) {
    return is_write ? disks_[side]->write(page, corpus_.page(page))
                    : disks_[side]->read(page, PageBuffer(buffer_));
  }

  // Returns: nanoseconds per page; negative when a request failed.
  double pass(std::size_t side, bool is_write, const Order& order) {
    const PinnedThread pinned(plan_.processor);
    const std::uint64_t start = now_nanoseconds();
    for (const std::uint32_t page : order) {
      if (!request(side, is_write, page)) return -1;
    }
    return static_cast<double>(now_nanoseconds() - start) / static_cast<double>(order.size());
  }

  // With a clock reading around each request, which both sides pay alike.
  void add_quantiles(bool is_write, nlohmann::json& part) {
    const PinnedThread pinned(plan_.processor);
    const Order order = shuffled(corpus_.page_count(), 4);
    for (std::size_t side = 0; side < 2; ++side) {
      std::vector<std::uint64_t> times;
      times.reserve(order.size());
      for (const std::uint32_t page : order) {
        const std::uint64_t start = now_nanoseconds();
        if (!request(side, is_write, page)) return;
        times.push_back(now_nanoseconds() - start);
      }
      const std::string name = side == 0 ? "ours" : "theirs";
      part[name + "_p50"] = quantile(times, 0.5);
      part[name + "_p99"] = quantile(times, 0.99);
    }
  }

  const Corpus& corpus_;
  const KernelPlan& plan_;
  const std::array<PageDisk*, 2> disks_;
  alignas(kPageBytes) std::array<std::byte, kPageBytes> buffer_{};
};

}  // namespace

Result<nlohmann::json> measure_kernel(const Corpus& corpus, const KernelPlan& plan) {
  const FileDescriptor file(::open(plan.path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (!file.is_open()) return fail_errno();
  Device device(0);
  if (const auto set = device.set_algorithm(plan.algorithm); !set) return fail(set.error().code);
  if (const auto set = device.set_disksize(corpus.page_count() * kPageBytes); !set)
    return fail(set.error().code);
  OurDisk ours(device);
  BlockDisk theirs(file.get());
  return KernelMeasurement(corpus, plan, ours, theirs).run();
}

}  // namespace uzram::bench

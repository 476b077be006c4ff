// SPDX-License-Identifier: Apache-2.0
#include "app/swap_hazards.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace uzram {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

// A machine made of files: /sys/power, and a cgroup of version 2 that this process lies in.
class SwapHazards : public testing::Test {
 protected:
  SwapHazards() {
    std::filesystem::create_directories(folder_ / "power");
    std::filesystem::create_directories(folder_ / "cgroup/service");
    std::filesystem::create_directories(folder_ / "self");
    write("self/cgroup", "0::/service\n");
    write("self/mountinfo",
          "31 24 0:27 / " + (folder_ / "cgroup").string() + " rw - cgroup2 cgroup2 rw\n");
    write("cgroup/service/cgroup.procs", std::to_string(::getpid()) + "\n");
    write("power/state", "freeze mem\n");
    surroundings_.power_folder = (folder_ / "power").string();
    surroundings_.is_io_flusher = true;
    surroundings_.reserve_bytes = 16 * kMiB;
  }
  ~SwapHazards() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  void limit(std::uint64_t bytes, std::uint64_t used) {
    write("cgroup/service/memory.max", std::to_string(bytes) + "\n");
    write("cgroup/service/memory.current", std::to_string(used) + "\n");
  }
  std::vector<std::string> find() {
    MemoryCgroups cgroups((folder_ / "self").string());
    return find_swap_hazards(surroundings_, cgroups);
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("uzram-hazards-" + std::to_string(::getpid()));
  SwapSurroundings surroundings_;
};

TEST_F(SwapHazards, AreNoneOnAPlainMachine) { EXPECT_THAT(find(), IsEmpty()); }

TEST_F(SwapHazards, NameACgroupWithoutRoomForTheReserve) {
  limit(64 * kMiB, 40 * kMiB);
  EXPECT_THAT(find(), ElementsAre(HasSubstr("cgroup /service has a limit of 64M")));
  limit(1024 * kMiB, 40 * kMiB);
  EXPECT_THAT(find(), IsEmpty());
}

TEST_F(SwapHazards, NameACgroupThatOthersCanFill) {
  limit(1024 * kMiB, 40 * kMiB);
  write("cgroup/service/cgroup.procs", std::to_string(::getpid()) + "\n1\n");
  EXPECT_THAT(find(), ElementsAre(HasSubstr("shares the memory limit")));
}

TEST_F(SwapHazards, NameAMissingIoFlusher) {
  surroundings_.is_io_flusher = false;
  EXPECT_THAT(find(), ElementsAre(HasSubstr("PR_SET_IO_FLUSHER")));
}

TEST_F(SwapHazards, NameAMachineThatCanHibernate) {
  write("power/state", "freeze mem disk\n");
  write("power/disk", "[platform] shutdown reboot\n");
  EXPECT_THAT(find(), ElementsAre(HasSubstr("uzram swap off")));
  write("power/disk", "[disabled]\n");
  EXPECT_THAT(find(), IsEmpty());
}

}  // namespace
}  // namespace uzram

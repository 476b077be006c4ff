// SPDX-License-Identifier: Apache-2.0
// The program itself, as a shell runs it: wrong words without a daemon, and every command against a
// socket served by this test (devices without disks). The daemon with disks: tests/fuse/.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "control/operations.h"
#include "control/socket_server.h"
#include "device/device.h"
#include "device/device_set.h"

namespace uzram {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

class Folder {
 public:
  Folder() {
    std::string pattern = testing::TempDir() + "uzram-program-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

pid_t start_program(std::vector<std::string> words, const std::string& out,
                    const std::string& err) {
  words.insert(words.begin(), UZRAM_PROGRAM);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  constexpr int kCreate = O_WRONLY | O_CREAT | O_TRUNC;
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), kCreate, 0600);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), kCreate, 0600);
  pid_t child = 0;
  EXPECT_EQ(::posix_spawn(&child, UZRAM_PROGRAM, &actions, nullptr, arguments.data(), ::environ),
            0);
  ::posix_spawn_file_actions_destroy(&actions);
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Outcome run(const std::vector<std::string>& words) {
  const Folder folder;
  const pid_t child = start_program(words, folder / "out", folder / "err");
  Outcome outcome;
  outcome.exit_code = wait_for(child);
  outcome.out = content_of(folder / "out");
  outcome.err = content_of(folder / "err");
  return outcome;
}

bool is_one_line(const std::string& text) {
  return text.size() > 1 && text.ends_with('\n') && std::count(text.begin(), text.end(), '\n') == 1;
}

struct WrongWords {
  std::vector<std::string> words;
  std::string hint;  // What the line has to say.
};

class WrongInput : public testing::TestWithParam<WrongWords> {};

TEST_P(WrongInput, GetsOneLineThatSaysWhatWouldBeRight) {
  const Outcome outcome = run(GetParam().words);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(is_one_line(outcome.err)) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith("uzram: "));
  EXPECT_THAT(outcome.err, HasSubstr(GetParam().hint));
}

INSTANTIATE_TEST_SUITE_P(
    Program, WrongInput,
    testing::Values(
        WrongWords{{}, "serve, stop, create, list"},
        WrongWords{{"creat"}, "serve, stop, create, list"},
        WrongWords{{"--nothing"}, "serve, stop, create, list"},
        WrongWords{{"a\nb"}, "serve, stop, create, list"},
        WrongWords{{"create"}, "uzram create --size 1G"},
        WrongWords{{"create", "--size"}, "uzram create --size 1G"},
        WrongWords{{"create", "--size", "12X"}, "4GiB"},
        WrongWords{{"create", "--size", "-1"}, "4GiB"},
        WrongWords{{"create", "--size", "0"}, "4GiB"},
        WrongWords{{"create", "--size", "1GB"}, "4GiB"},
        WrongWords{{"create", "--size", "17E"}, "15E"},
        WrongWords{{"create", "--size", "1G", "--algorithm", "zip"}, "zstd"},
        WrongWords{{"create", "--size", "1G", "--level", "high"}, "--level"},
        WrongWords{{"create", "--size", "1G", "--level", "99999999999"}, "--level"},
        WrongWords{{"create", "--size", "1G", "--mem-limit", "lots"}, "512M"},
        WrongWords{{"create", "--size", "1G", "--bogus"}, "--mem-limit"},
        WrongWords{{"create", "1G"}, "--size"},
        WrongWords{{"create", "--size", "1G", "--set"}, "--set"},
        WrongWords{{"create", "--size", "1G", "--set", "use_dedup"}, "use_dedup=1"},
        WrongWords{{"create", "--size", "1G", "--set", "nothing=1"}, "use_dedup=1"},
        WrongWords{{"policy"}, "uzram policy zram0"},
        WrongWords{{"policy", "zram0", "--explian"}, "--explain"},
        WrongWords{{"map"}, "uzram map zram0"}, WrongWords{{"map", "zram0", "--width", "0"}, "512"},
        WrongWords{{"map", "zram0", "--width", "513"}, "512"},
        WrongWords{{"map", "zram0", "--width", "wide"}, "--width"},
        WrongWords{{"map", "zram0", "zram1"}, "--json"},
        WrongWords{{"list", "--output", "SIZE"}, "DISKSIZE"},
        WrongWords{{"list", "zram0"}, "--noheadings"},
        WrongWords{{"get"}, "uzram get zram0 mm_stat"},
        WrongWords{{"get", "zram0", "nothing"}, "--list"}, WrongWords{{"set"}, "uzram set zram0"},
        WrongWords{{"set", "zram0"}, "uzram set zram0"},
        WrongWords{{"set", "zram0", "mem_limit"}, "uzram set zram0 mem_limit 512M"},
        WrongWords{{"set", "zram0", "mem_limit", "much"}, "512M"},
        WrongWords{{"set", "zram0", "nothing", "1"}, "--list"},
        WrongWords{{"remove"}, "uzram remove zram0"}, WrongWords{{"reset", "a", "b"}, "device"},
        WrongWords{{"swap"}, "on, off"}, WrongWords{{"swap", "maybe"}, "on, off"},
        WrongWords{{"swap", "on"}, "uzram swap on zram0"},
        WrongWords{{"swap", "on", "zram0", "--reserve", "x"}, "512M"},
        WrongWords{{"swap", "on", "zram0", "--priority", "40000"}, "32767"},
        WrongWords{{"stat", "--watch", "soon"}, "uzram stat zram0 --watch 2"},
        WrongWords{{"stat", "zram0", "--watch", "0"}, "86400"},
        WrongWords{{"stat", "--watch", "nan"}, "86400"},
        WrongWords{{"serve", "--threads", "1000"}, "256"},
        WrongWords{{"serve", "--threads", "x"}, "--threads"},
        WrongWords{{"serve", "--io-uring", "maybe"}, "auto, on or off"},
        WrongWords{{"serve", "now"}, "--sys"}, WrongWords{{"cluster"}, "pack, unpack"},
        WrongWords{{"cluster", "pack", "-"}, "uzram cluster pack"},
        WrongWords{{"cluster", "pack", "-", "x", "--algorithm", "zip"}, "zstd:22"},
        WrongWords{{"cluster", "pack", "-", "x", "--threads", "0"}, "--threads"},
        WrongWords{{"f2fs"}, "ls, stat, cat, extract, estimate"},
        WrongWords{{"f2fs", "extract", "image"}, "--to"},
        WrongWords{{"f2fs", "cat", "image"}, "uzram f2fs cat"},
        WrongWords{{"f2fs", "estimate", "x", "--log-size", "9"}, "2 to 8"}));

TEST(Program, ShowsHelpAndVersionOnStandardOutput) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--help"},
                                                {"--version"},
                                                {"create", "--help"},
                                                {"swap", "--help"},
                                                {"swap", "on", "--help"},
                                                {"serve", "-h"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(outcome.out, HasSubstr("uzram"));
  }
}

TEST(Program, SaysHowToStartADaemonWhenNoneAnswers) {
  const Folder folder;
  for (const std::vector<std::string>& words : {std::vector<std::string>{"list"},
                                                {"stat"},
                                                {"get", "zram0", "mm_stat"},
                                                {"remove", "zram0"},
                                                {"create", "--size", "1G"},
                                                {"swap", "off", "zram0"}}) {
    std::vector<std::string> all = words;
    all.insert(all.end(), {"--socket", folder / "control"});
    const Outcome outcome = run(all);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_TRUE(is_one_line(outcome.err)) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("start one with: uzram serve"));
  }
}

TEST(Program, ListsAttributesWithoutADaemon) {
  const Outcome outcome = run({"get", "--list"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("disksize               0644 "));
  EXPECT_THAT(outcome.out, HasSubstr("reset                  0200 "));
  EXPECT_EQ(nlohmann::json::parse(run({"get", "--list", "--json"}).out)[0]["name"], "disksize");
}

class SetOperations : public Operations {
 public:
  [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override {
    return devices_.all();
  }
  InputResult<std::shared_ptr<Device>> create() override { return devices_.find(devices_.add()); }
  InputResult<void> remove(int id) override {
    if (devices_.remove(id)) return {};
    return refuse(ENODEV, "gone");
  }
  InputResult<std::vector<std::string>> swap_on(Device&, const SwapRequest& request) override {
    if (!request.reserve_bytes) return refuse(EINVAL, "swap needs a reserve");
    return std::vector<std::string>{"memory is locked"};
  }

 private:
  DeviceSet devices_;
};

class ProgramWithServer : public testing::Test {
 protected:
  ProgramWithServer() {
    auto server = SocketServer::start(operations_, folder_ / "control");
    EXPECT_TRUE(server);
    if (server) server_ = std::move(*server);
  }
  Outcome uzram(std::vector<std::string> words) {
    words.insert(words.end(), {"--socket", folder_ / "control"});
    return run(words);
  }
  std::string out(const std::vector<std::string>& words) {
    const Outcome outcome = uzram(words);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.out;
  }

  Folder folder_;
  SetOperations operations_;
  std::unique_ptr<SocketServer> server_;
};

TEST_F(ProgramWithServer, MakesShowsChangesAndRemovesADevice) {
  EXPECT_EQ(out({"create", "--size", "4GiB", "--algorithm", "zstd", "--level", "-5", "--mem-limit",
                 "1G"}),
            "zram0\n");
  EXPECT_THAT(out({"list"}), HasSubstr("zram0 zstd            4G   0B    0B    0B"));
  EXPECT_EQ(out({"get", "zram0", "disksize"}), "4294967296\n");
  EXPECT_THAT(out({"get", "zram0"}),
              HasSubstr("comp_algorithm         lzo-rle lzo lz4 lz4hc [zstd]"));
  EXPECT_EQ(out({"set", "zram0", "mem_limit", "2GiB"}), "");
  EXPECT_EQ(out({"list", "-n", "-b", "-o", "NAME,MEM-LIMIT"}), "zram0 2147483648\n");
  EXPECT_EQ(out({"compact", "zram0"}), "");
  EXPECT_EQ(out({"reset", "zram0"}), "");
  EXPECT_EQ(out({"set", "zram0", "algorithm_params", "priority=0", "level=3"}), "");
  EXPECT_EQ(out({"remove", "zram0"}), "");
  EXPECT_EQ(out({"list"}), "");
  EXPECT_EQ(out({"list", "--json"}), "[]\n");
}

TEST_F(ProgramWithServer, MakesSettingsBeforeTheSize) {
  out({"create", "--size", "1M", "--set", "recomp_algorithm=algo=zstd priority=1", "--set",
       "access_tracking=1"});
  EXPECT_THAT(out({"get", "zram0", "recomp_algorithm"}), StartsWith("#1: lzo-rle "));
  EXPECT_EQ(out({"get", "zram0", "access_tracking"}), "1\n");
  EXPECT_EQ(out({"set", "zram0", "idle", "3600"}), "");
  EXPECT_EQ(out({"set", "zram0", "recompress", "type=idle", "cluster=16"}), "");
  const Outcome outcome = uzram({"set", "zram0", "recompress", "type=cold"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("huge_idle"));
  EXPECT_EQ(uzram({"create", "--size", "1M", "--set", "use_dedup=2"}).exit_code, 2);
  EXPECT_THAT(out({"list"}), Not(HasSubstr("zram1")));
}

TEST_F(ProgramWithServer, DrawsAMap) {
  out({"create", "--size", "1M"});
  const std::vector<std::byte> pattern(3 * kPageBytes, std::byte{0x55});
  ASSERT_TRUE(operations_.devices()[0]->write(0, pattern));
  EXPECT_EQ(out({"map", "zram0", "--width", "4"}),
            "zram0 1M, 16K (4 pages) to a letter\n"
            "    0B S...\n   64K ....\n  128K ....\n  192K ....\n  256K ....\n  320K ....\n"
            "  384K ....\n  448K ....\n  512K ....\n  576K ....\n  640K ....\n  704K ....\n"
            "  768K ....\n  832K ....\n  896K ....\n  960K ....\n"
            "  . empty               253 pages  1012K\n"
            "  S same-filled           3 pages    12K\n");
  const auto json = nlohmann::json::parse(out({"map", "zram0", "--json"}));
  EXPECT_EQ(json["kinds"]["same-filled"]["pages"], 3);
  EXPECT_EQ(json["cell_pages"], 1);
  out({"reset", "zram0"});
  EXPECT_EQ(uzram({"map", "zram0"}).exit_code, 2);
}

TEST_F(ProgramWithServer, ShowsAndChangesThePolicy) {
  out({"create", "--size", "1M", "--policy", "on idle_after=5m"});
  EXPECT_THAT(out({"policy", "zram0"}), StartsWith("on idle_after=5m "));
  EXPECT_EQ(out({"policy", "zram0", "off"}), "");
  EXPECT_EQ(out({"policy", "zram0"}), "off\n");
  EXPECT_THAT(out({"policy", "zram0", "on", "cpu_percent=3", "--explain"}),
              HasSubstr("fills with 3 % of one core"));
  const Outcome refused = uzram({"policy", "zram0", "on", "cpu_percent=300"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("cpu_percent"));
  EXPECT_THAT(out({"policy", "zram0"}), HasSubstr(" cpu_percent=3 "));
}

TEST_F(ProgramWithServer, PrintsALongAttributePartByPart) {
  constexpr std::size_t kPages = 20'000;
  out({"create", "--size", "1G"});
  EXPECT_EQ(out({"get", "zram0", "block_state"}), "");
  EXPECT_EQ(out({"get", "zram0", "block_state", "--json"}), "\"\"\n");
  const std::vector<std::byte> pattern(kPages * kPageBytes, std::byte{0x55});
  ASSERT_TRUE(operations_.devices()[0]->write(0, pattern));
  const std::string text = out({"get", "zram0", "block_state"});
  EXPECT_EQ(text.size(), kPages * 40);
  EXPECT_THAT(text, testing::EndsWith(".000000 s.....\n"));
  const auto json = nlohmann::json::parse(out({"get", "zram0", "block_state", "--json"}));
  EXPECT_EQ(json.get<std::string>(), text);
  out({"reset", "zram0"});
  EXPECT_EQ(uzram({"get", "zram0", "block_state"}).exit_code, 2);
}

TEST_F(ProgramWithServer, TellsWrongInputFromWhatCannotBeDone) {
  out({"create", "--size", "1M"});
  Outcome outcome = uzram({"set", "zram0", "disksize", "1M"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("reset"));
  EXPECT_TRUE(is_one_line(outcome.err));
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"set", "zram0", "mm_stat", "1"},
        {"get", "zram0", "reset"},
        {"remove", "zram7"},
        {"set", "zram0", "reset", "99999"},
        {"swap", "on", "zram0"},
        {"create", "--size", "1M", "--algorithm", "zstd", "--level", "999"},
        {"create", "--size", "1M", "--dict", "/nonexistent"}}) {
    outcome = uzram(words);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_TRUE(is_one_line(outcome.err)) << outcome.err;
  }
}

TEST_F(ProgramWithServer, PrintsStatisticsForPeopleAndPrograms) {
  out({"create", "--size", "1M"});
  EXPECT_THAT(out({"stat"}), HasSubstr("zram0 lzo-rle 1M"));
  EXPECT_EQ(nlohmann::json::parse(out({"stat", "zram0", "--json"}))["name"], "zram0");
  EXPECT_EQ(nlohmann::json::parse(out({"list", "--json"}))[0]["stats"]["orig_data_size"], 0);
}

TEST_F(ProgramWithServer, HandsRemarksOfSwapOver) {
  out({"create", "--size", "1M"});
  const Outcome outcome = uzram({"swap", "on", "zram0", "--reserve", "64K"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.err, "note: memory is locked\n");
  EXPECT_EQ(uzram({"swap", "off", "zram0"}).exit_code, 1);
}

TEST_F(ProgramWithServer, WatchesLineByLineUntilItIsInterrupted) {
  out({"create", "--size", "1M"});
  const std::string path = folder_ / "watched";
  const pid_t child = start_program({"stat", "--watch", "0.1", "--socket", folder_ / "control"},
                                    path, folder_ / "err");
  for (int i = 0; i < 100; ++i) {
    const std::string text = content_of(path);
    if (std::count(text.begin(), text.end(), '\n') >= 3) break;
    ::poll(nullptr, 0, 50);
  }
  ASSERT_EQ(::kill(child, SIGINT), 0);
  EXPECT_EQ(wait_for(child), 0);
  const std::string text = content_of(path);
  EXPECT_GE(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_THAT(text, StartsWith("zram0 stored_bytes=0 "));
  EXPECT_THAT(text, Not(HasSubstr("\x1b"))) << "no drawing where there is no terminal";
  EXPECT_EQ(content_of(folder_ / "err"), "");
}

}  // namespace
}  // namespace uzram

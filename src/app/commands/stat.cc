// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/say.h"
#include "app/stat_view.h"
#include "base/printable_text.h"

namespace uzram {

namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

struct StatWords {
  std::string device;
  bool is_json = false;
  bool is_watch = false;
  std::vector<std::string> seconds;  // What followed --watch: nothing or one word.
};

constexpr double kStandardSeconds = 2;
constexpr double kLeastSeconds = 0.1;
constexpr double kMostSeconds = 86400;

std::optional<double> read_seconds(const std::string& text) {
  double seconds = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, seconds, std::chars_format::fixed);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  if (!(seconds >= kLeastSeconds && seconds <= kMostSeconds)) return std::nullopt;
  return seconds;
}

// Always a list, in the order of the daemon's.
std::optional<Json> ask_devices(const CommandLine& line, const StatWords& words, int& exit_code) {
  if (words.device.empty()) return ask_daemon(line, {{"op", "list"}}, exit_code);
  const auto device = ask_daemon(line, {{"op", "stats"}, {"device", words.device}}, exit_code);
  if (!device) return std::nullopt;
  return Json::array({*device});
}

int show_once(const CommandLine& line, const StatWords& words) {
  int exit_code = 0;
  const auto devices = ask_devices(line, words, exit_code);
  if (!devices) return exit_code;
  if (words.is_json) {
    print_json(words.device.empty() ? *devices : devices->front());
    return 0;
  }
  if (devices->empty()) fmt::print(stderr, "no devices; make one with: uzram create --size 1G\n");
  for (const Json& device : *devices) print_text(stat_block(device));
  return 0;
}

// Blocks SIGINT and SIGTERM, and waits for them instead of dying.
class Interrupt {
 public:
  Interrupt() {
    ::sigemptyset(&signals_);
    ::sigaddset(&signals_, SIGINT);
    ::sigaddset(&signals_, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
  }
  // Returns: whether one came before the time was over.
  bool wait_until(Clock::time_point end) {
    while (true) {
      const auto left = std::max(Clock::duration::zero(), end - Clock::now());
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
      const timespec time{seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
      if (::sigtimedwait(&signals_, nullptr, &time) > 0) return true;
      if (errno != EINTR) return false;
    }
  }

 private:
  sigset_t signals_{};
};

// Draws what changed between two looks.
class Watcher {
 public:
  Watcher(bool is_json, bool is_terminal) : is_json_(is_json), is_terminal_(is_terminal) {}

  void show(const Json& devices, Clock::time_point now) {
    std::string text;
    const double seconds = std::chrono::duration<double>(now - last_look_).count();
    for (const Json& device : devices) text += printable_lines(show_device(device, seconds));
    if (is_terminal_ && !is_json_) {
      // Over what was drawn last, and each line cleared behind its text: no flicker, and what
      // stands above stays.
      std::string drawn = line_count_ == 0 ? "" : fmt::format("\x1b[{}A", line_count_);
      for (const char character : text)
        drawn += character == '\n' ? std::string("\x1b[K\n") : std::string(1, character);
      line_count_ = std::count(text.begin(), text.end(), '\n');
      text = drawn + "\x1b[J";
    }
    fmt::print("{}", text);
    std::fflush(stdout);
    last_look_ = now;
  }

 private:
  std::string show_device(const Json& device, double seconds) {
    const auto name = device.at("name").get<std::string>();
    const auto before = before_.find(name);
    const StatRates rates = before == before_.end() || seconds <= 0
                                ? StatRates{}
                                : rates_between(before->second, device, seconds);
    before_[name] = device;
    if (is_json_) return device.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
    return is_terminal_ ? stat_block(device, rates) : stat_line(device, rates) + "\n";
  }

  const bool is_json_;
  const bool is_terminal_;
  std::ptrdiff_t line_count_ = 0;  // Of what was drawn last.
  Clock::time_point last_look_{};
  std::map<std::string, Json> before_;
};

int watch(const CommandLine& line, const StatWords& words, double seconds) {
  Interrupt interrupt;
  Watcher watcher(words.is_json, ::isatty(STDOUT_FILENO) == 1);
  const auto interval =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  auto next = Clock::now();
  while (true) {
    int exit_code = 0;
    const auto devices = ask_devices(line, words, exit_code);
    if (!devices) return exit_code;
    watcher.show(*devices, Clock::now());
    if (std::ferror(stdout) != 0) return kExitFailure;  // Nobody reads on (a closed pipe).
    next += interval;
    if (interrupt.wait_until(next)) return 0;
  }
}

int run_stat(const CommandLine& line, StatWords words) {
  if (!words.is_watch) return show_once(line, words);
  double seconds = kStandardSeconds;
  if (!words.seconds.empty() && !words.seconds.front().empty()) {
    const std::optional<double> given = read_seconds(words.seconds.front());
    // In `--watch zram0` the word behind it is the device.
    const bool is_device =
        !given && words.device.empty() && words.seconds.front().starts_with("zram");
    if (!given && !is_device) {
      return say_usage(
          fmt::format("--watch: {} is not a number of seconds from 0.1 to 86400; for "
                      "example: uzram stat zram0 --watch 2",
                      quote(words.seconds.front())));
    }
    if (is_device) words.device = words.seconds.front();
    if (given) seconds = *given;
  }
  return watch(line, words, seconds);
}

}  // namespace

void add_stat(CLI::App& program, CommandLine& line) {
  CLI::App* command =
      program.add_subcommand("stat", "show ratio, memory saved, total cost and rates");
  const auto words = std::make_shared<StatWords>();
  command->add_option("device", words->device, "zram0, or the path of its disk (default: all)");
  const CLI::Option* watch_option =
      command->add_option("--watch", words->seconds, "again and again, every SECONDS (default 2)")
          ->type_name("[SECONDS]")
          ->expected(0, 1);
  command->add_flag("--json", words->is_json, "as JSON; with --watch one line a device");
  add_socket_option(*command, line);
  command->footer("Example: uzram stat zram0 --watch 2");
  command->callback([&line, words, watch_option] {
    words->is_watch = watch_option->count() > 0;
    line.run = [&line, words] { return run_stat(line, *words); };
  });
}

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "app/commands/commands.h"
#include "app/say.h"
#include "app/strict_text.h"
#include "pager/probe.h"

namespace uzram {

namespace {

struct PagerWords {
  bool is_probe = false;
  bool is_json = false;
};

struct BackendWords {
  PagerBackend backend;
  std::string_view name;
  std::string_view meaning;
};

constexpr std::array kBackendWords = {
    BackendWords{PagerBackend::Move, "move", "userfaultfd; cold pages are moved out (Linux 6.8)"},
    BackendWords{PagerBackend::Protect, "protect",
                 "userfaultfd; cold pages are copied out (Linux 5.11)"},
    BackendWords{PagerBackend::Signal, "signal", "mprotect and SIGSEGV; works everywhere"},
    BackendWords{PagerBackend::Explicit, "explicit",
                 "no faults: memory may be touched while it is pinned"},
    BackendWords{PagerBackend::Strict, "strict",
                 "userfaultfd and threads that serve all faults, the kernel's too (Linux 5.11)"}};

std::string_view name_of_backend(PagerBackend backend) {
  for (const BackendWords& each : kBackendWords)
    if (each.backend == backend) return each.name;
  return "automatic";
}

std::string userfaultfd_text(const PagerProbe& probe) {
  if (probe.userfaultfd_code == 0)
    return probe.is_userfaultfd_device ? "by /dev/userfaultfd" : "by its system call";
  const std::string_view hint =
      probe.userfaultfd_code == EPERM || probe.userfaultfd_code == EACCES
          ? "; a container's filter forbids it: allow the call, or give it /dev/userfaultfd"
          : "; the kernel is built without it, or is older than 5.11";
  return fmt::format("none ({}{})", std::strerror(probe.userfaultfd_code), hint);
}

nlohmann::json probe_json(const PagerProbe& probe) {
  nlohmann::json backends = nlohmann::json::array();
  for (const BackendProbe& each : probe.backends) {
    backends.push_back({{"backend", name_of_backend(each.backend)},
                        {"works", each.code == 0},
                        {"errno", each.code},
                        {"fault_nanoseconds", each.fault_nanoseconds}});
  }
  return {{"automatic", name_of_backend(probe.automatic())},
          {"userfaultfd", userfaultfd_text(probe)},
          {"backends", backends}};
}

void print_probe(const PagerProbe& probe) {
  fmt::print("userfaultfd: {}\n\n", userfaultfd_text(probe));
  fmt::print("{:9} {:5} {:>9}  {}\n", "backend", "works", "fault", "how");
  for (std::size_t i = 0; i < probe.backends.size(); ++i) {
    const BackendProbe& each = probe.backends[i];
    const std::string fault =
        each.code == 0 ? fmt::format("{:.1f} us", static_cast<double>(each.fault_nanoseconds) / 1e3)
                       : "-";
    fmt::print("{:9} {:5} {:>9}  {}\n", name_of_backend(each.backend),
               each.code == 0 ? "yes" : "no", fault, kBackendWords[i].meaning);
  }
  fmt::print("\nA pager takes {} here.\n", name_of_backend(probe.automatic()));
  if (probe.backends.back().code != 0)
    fmt::print("{}\n", strict_refusal_text(probe.backends.back().code));
  fmt::print(
      "With all backends but strict a system call finds no page that is away (EFAULT), so pin its "
      "buffers first.\nA child of fork() has the pages only with ForkRule::Populate (move, "
      "protect, "
      "strict).\n");
}

int run_pager(const PagerWords& words) {
  if (!words.is_probe) return say_usage("pager needs --probe: it has nothing else to do");
  const PagerProbe probe = probe_pager();
  if (words.is_json)
    print_json(probe_json(probe));
  else
    print_probe(probe);
  return 0;
}

}  // namespace

void add_pager(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand(
      "pager", "what swap for one process (uzram/pager.h) can do on this machine");
  const auto words = std::make_shared<PagerWords>();
  command->add_flag("--probe", words->is_probe, "try every backend, and say what works");
  command->add_flag("--json", words->is_json, "the same, as JSON");
  command->footer("Example: uzram pager --probe");
  command->callback([&line, words] { line.run = [words] { return run_pager(*words); }; });
}

}  // namespace uzram

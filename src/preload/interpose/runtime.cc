// SPDX-License-Identifier: Apache-2.0
#include "preload/interpose/runtime.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/check.h"

namespace uzram::exec {

std::atomic<std::uint64_t> paged_start{0};
std::atomic<std::uint64_t> paged_bytes{0};
thread_local int inside_depth __attribute__((tls_model("initial-exec"))) = 0;
bool is_strict = false;

namespace {

enum class Stage : std::uint8_t { Unset, Wanted, Made, None };

// Release: the settings, and the machinery, were made before.
std::atomic<Stage> stage{Stage::Unset};
std::atomic<Machinery*> made{nullptr};
std::atomic<bool> is_in_child{false};
Mutex making_mutex;
ExecSettings* exec_settings = nullptr;

struct CodeRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
};
std::array<CodeRange, 2> libc_code;  // libc, dynamic linker. Set before stage.

std::uint64_t number_of(const void* address) { return reinterpret_cast<std::uint64_t>(address); }

void note_code(CodeRange& range, const void* inside) {
  struct Search {
    std::uint64_t wanted;
    CodeRange found;
  } search{number_of(inside), {}};
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto& sought = *static_cast<Search*>(data);
        for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
          const auto& part = info->dlpi_phdr[i];
          const std::uint64_t start = info->dlpi_addr + part.p_vaddr;
          if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
          if (sought.wanted < start || sought.wanted >= start + part.p_memsz) continue;
          sought.found = {start, start + part.p_memsz};
          return 1;
        }
        return 0;
      },
      &search);
  range = search.found;
}

void say(const std::string& text) {
  const std::string line = "uzram exec: " + text + "\n";
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // Nobody listens.
}

// Everything that other threads change is still while the memory is copied.
void before_fork() UZ_NO_THREAD_SAFETY_ANALYSIS {
  ++inside_depth;
  making_mutex.lock();
  if (Machinery* const all = made.load(std::memory_order_acquire)) {
    all->heap->lock_for_fork();
    all->space->lock_for_fork();
  }
}
void after_fork() UZ_NO_THREAD_SAFETY_ANALYSIS {
  if (Machinery* const all = made.load(std::memory_order_acquire)) {
    all->space->unlock_after_fork();
    all->heap->unlock_after_fork();
  }
  making_mutex.unlock();
  --inside_depth;
}
void after_fork_in_child() {
  if (made.load(std::memory_order_acquire) != nullptr)
    is_in_child.store(true, std::memory_order_relaxed);
  after_fork();
}

PagerConfig pager_config(const ExecSettings& wanted) {
  PagerConfig config;
  config.memory_limit_bytes = wanted.limit_bytes;
  config.algorithm = wanted.algorithm;
  config.cluster_pages = static_cast<unsigned>(wanted.cluster_pages);
  config.backend = wanted.backend;
  // More addresses than that are of no use: what is packed has to fit in the limit, too.
  config.address_bytes = std::uint64_t{256} << 30;
  return config;
}

Result<std::unique_ptr<Machinery>> make(const ExecSettings& wanted) {
  PagerConfig config = pager_config(wanted);
  auto all = std::make_unique<Machinery>();
  config.fork_rule = ForkRule::Populate;
  auto space = PagedSpace::create(config);
  if (!space && space.error().code == EINVAL) {
    config.fork_rule = ForkRule::Refuse;
    space = PagedSpace::create(config);
  }
  if (!space) return tl::unexpected(space.error());
  all->space = std::move(*space);
  auto heap = BlockHeap::create(*all->space);
  if (!heap) return tl::unexpected(heap.error());
  all->heap = std::move(*heap);
  auto mappings = PagedMappings::create(*all->space);
  if (!mappings) return tl::unexpected(mappings.error());
  all->mappings = std::move(*mappings);
  return all;
}

Machinery* make_once() {
  const InsideScope inside;
  const MutexLock lock(making_mutex);
  if (stage.load(std::memory_order_relaxed) != Stage::Wanted)
    return made.load(std::memory_order_acquire);
  note_program_actions();
  auto all = make(*exec_settings);
  // The pager's handlers for fork() are registered by now: ours run around them.
  if (!all || ::pthread_atfork(before_fork, after_fork, after_fork_in_child) != 0) {
    say(std::string("no paged memory: ") + std::strerror(all ? ENOMEM : all.error().code) +
        "; the program runs without");
    stage.store(Stage::None, std::memory_order_release);
    return nullptr;
  }
  Machinery* const final = all->release();  // Until the process ends.
  if (!is_strict)
    take_fault_signal(final->space->pager().backend() == PagerBackend::Signal ? SIGSEGV : SIGBUS);
  paged_start.store(number_of(final->space->base()), std::memory_order_relaxed);
  made.store(final, std::memory_order_release);
  paged_bytes.store(final->space->bytes(), std::memory_order_release);
  stage.store(Stage::Made, std::memory_order_release);
  start_statistics();
  return final;
}

__attribute__((constructor)) void read_settings() {
  const InsideScope inside;
  const char* const text = ::getenv(kExecVariable);
  if (text == nullptr) return;
  const auto read = read_exec_settings(text);
  if (!read) {
    say(std::string(kExecVariable) + " is of another version; the program runs without a pager");
    return;
  }
  exec_settings = new ExecSettings(*read);
  is_strict = read->backend == PagerBackend::Strict;
  if (!is_strict) {
    open_fault_signals();
    give_fault_stack();
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  const auto* const breakpoint = reinterpret_cast<const void*>(::_r_debug.r_brk);
  note_code(libc_code[0], reinterpret_cast<const void*>(find_next("getppid")));
  note_code(libc_code[1], breakpoint);
  stage.store(Stage::Wanted, std::memory_order_release);
}

__attribute__((destructor)) void at_end() { say_report(); }

}  // namespace

Machinery* machinery() { return made.load(std::memory_order_acquire); }

Machinery* machinery_for_new_memory() {
  const Stage now = stage.load(std::memory_order_acquire);
  if (now == Stage::Made) return is_child() ? nullptr : machinery();
  if (now != Stage::Wanted || is_inside()) return nullptr;
  return make_once();
}

const ExecSettings* settings() {
  return stage.load(std::memory_order_acquire) == Stage::Unset ? nullptr : exec_settings;
}

bool is_child() { return is_in_child.load(std::memory_order_relaxed); }

bool is_libc_code(const void* address) {
  const std::uint64_t place = number_of(address);
  for (const CodeRange& each : libc_code)
    if (place >= each.start && place < each.end) return true;
  return false;
}

void* find_next(const char* name) {
  void* const found = ::dlsym(RTLD_NEXT, name);
  if (found == nullptr) give_up("libc has no function", name);
  return found;
}

void give_up(const char* text, const char* name) {
  const InsideScope inside;
  // No allocation: this may be one.
  for (const char* const part : {"uzram exec: ", text, " ", name, "\n"})
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  std::abort();
}

}  // namespace uzram::exec

// SPDX-License-Identifier: Apache-2.0
// One program with more memory than it is given, kept by a pager or by the kernel's swap: the same
// accesses in the same order, each of them timed. Its numbers as JSON on standard output.
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/corpus.h"
#include "bench/measure.h"
#include "pager/pager.h"

namespace uzram::bench {
namespace {

enum class Pattern { Uniform, Zipf, Sequential };

struct PagerPlan {
  std::string corpus_path;
  std::uint64_t limit_bytes = 0;  // 0: the kernel's swap; the caller's cgroup sets the limit.
  std::string cgroup;             // Entered when the corpus is loaded: it belongs to neither side.
  std::uint64_t working_set_bytes = std::uint64_t{256} << 20;
  Pattern pattern = Pattern::Uniform;
  unsigned threads = 1;
  std::uint64_t accesses = 0;
  std::string algorithm = "lz4";
  unsigned cluster_pages = 0;
  std::uint64_t staging_bytes = 0;
  PagerBackend backend = PagerBackend::Automatic;
  std::uint64_t seed = 1;
};

// An access that takes longer than this has had a fault.
constexpr std::uint64_t kFaultNanoseconds = 1500;
constexpr double kZipfExponent = 0.99;

// Ranks by Zipf's law through the inverse of its integral; hot pages are scattered.
class ZipfPages {
 public:
  explicit ZipfPages(std::uint64_t pages) : pages_(pages), places_(shuffled(pages, 7)) {
    cumulative_.reserve(pages);
    double sum = 0;
    for (std::uint64_t rank = 1; rank <= pages; ++rank)
      cumulative_.push_back(sum += std::pow(static_cast<double>(rank), -kZipfExponent));
  }
  [[nodiscard]] std::uint64_t next(Random& random) const {
    const double at = static_cast<double>(random.next() >> 11) * 0x1p-53 * cumulative_.back();
    const auto found = std::lower_bound(cumulative_.begin(), cumulative_.end(), at);
    return places_[static_cast<std::size_t>(found - cumulative_.begin()) % pages_];
  }

 private:
  std::uint64_t pages_;
  std::vector<double> cumulative_;
  std::vector<std::uint32_t> places_;
};

// What a thread will touch, made before the clock runs: the page, and in the lowest bit whether it
// is written.
std::vector<std::uint32_t> accesses_of(const PagerPlan& plan, unsigned thread,
                                       std::uint64_t count) {
  const std::uint64_t pages = plan.working_set_bytes / kPageBytes;
  Random random(plan.seed * 1000 + thread);
  std::vector<std::uint32_t> accesses;
  accesses.reserve(count);
  const ZipfPages zipf(plan.pattern == Pattern::Zipf ? pages : 1);
  const std::uint64_t share = pages / plan.threads;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t page = 0;
    switch (plan.pattern) {
      case Pattern::Uniform:
        page = random.below(pages);
        break;
      case Pattern::Zipf:
        page = zipf.next(random);
        break;
      case Pattern::Sequential:
        page = thread * share + i % share;
        break;
    }
    accesses.push_back(static_cast<std::uint32_t>(page << 1 | random.below(2)));
  }
  return accesses;
}

// A word of the page, another one each time.
std::uint64_t touch(std::byte* start, std::uint32_t access, std::uint64_t i) {
  auto* const word = reinterpret_cast<volatile std::uint64_t*>(start + (access >> 1) * kPageBytes +
                                                               i * 40503 % (kPageBytes / 8) * 8);
  const std::uint64_t value = *word;
  if ((access & 1U) != 0) *word = value + 1;
  return value;
}

struct ThreadResult {
  std::vector<std::uint32_t> fault_nanoseconds;
  std::uint64_t sum = 0;
};

void run_thread(std::byte* start, const std::vector<std::uint32_t>& accesses,
                ThreadResult& result) {
  std::uint64_t before = now_nanoseconds();
  for (std::uint64_t i = 0; i < accesses.size(); ++i) {
    result.sum += touch(start, accesses[i], i);
    const std::uint64_t after = now_nanoseconds();
    if (after - before >= kFaultNanoseconds)
      result.fault_nanoseconds.push_back(static_cast<std::uint32_t>(after - before));
    before = after;
  }
}

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Everything that measuring needs, made before the limit counts.
struct Trace {
  std::vector<std::vector<std::uint32_t>> accesses;  // Of each thread.
  std::vector<ThreadResult> results;
};

Trace make_trace(const PagerPlan& plan, std::uint64_t count) {
  Trace trace;
  trace.results.resize(plan.threads);
  for (unsigned thread = 0; thread < plan.threads; ++thread) {
    trace.accesses.push_back(accesses_of(plan, thread, count));
    // Touched now.
    trace.results[thread].fault_nanoseconds.assign(count, 1);
    trace.results[thread].fault_nanoseconds.clear();
  }
  return trace;
}

// Faults that had to unpack a page, or, of the kernel, to swap it in.
std::uint64_t major_faults(const Pager* pager) {
  if (pager != nullptr) return pager->stats().major_faults;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_majflt);
}

nlohmann::json run_trace(Trace& trace, std::byte* start, const Pager* pager) {
  const std::uint64_t major_before = major_faults(pager);
  const double processor_before = processor_seconds();
  const std::uint64_t before = now_nanoseconds();
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < trace.accesses.size(); ++thread) {
    threads.emplace_back([&trace, thread, start] {
      run_thread(start, trace.accesses[thread], trace.results[thread]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = static_cast<double>(now_nanoseconds() - before) * 1e-9;
  const double processor = processor_seconds() - processor_before;
  std::vector<std::uint32_t> faults;
  std::uint64_t total = 0;
  for (std::size_t thread = 0; thread < trace.accesses.size(); ++thread) {
    const auto& each = trace.results[thread].fault_nanoseconds;
    faults.insert(faults.end(), each.begin(), each.end());
    total += trace.accesses[thread].size();
  }
  nlohmann::json answer = {
      {"accesses_per_second", static_cast<double>(total) / seconds},
      {"processor_seconds", processor},
      {"seconds", seconds},
      {"major_faults_per_access",
       static_cast<double>(major_faults(pager) - major_before) / static_cast<double>(total)},
      {"faults", faults.size()}};
  if (faults.empty()) return answer;
  answer["fault_p50"] = quantile(faults, 0.5);
  answer["fault_p99"] = quantile(faults, 0.99);
  answer["fault_p999"] = quantile(faults, 0.999);
  return answer;
}

void fill(std::byte* start, std::uint64_t bytes, const Corpus& corpus) {
  for (std::uint64_t page = 0; page < bytes / kPageBytes; ++page)
    std::memcpy(start + page * kPageBytes, corpus.page(page % corpus.page_count()).data(),
                kPageBytes);
}

nlohmann::json account_of(const PagerStats& stats) {
  return {{"total_bytes", stats.total_bytes()},
          {"resident_bytes", stats.resident_bytes},
          {"staged_bytes", stats.staged_bytes},
          {"packed_bytes", stats.packed_bytes},
          {"table_bytes", stats.table_bytes},
          {"faults", stats.faults},
          {"major_faults", stats.major_faults},
          {"staging_hits", stats.staging_hits},
          {"write_upgrades", stats.write_upgrades},
          {"readahead_pages", stats.readahead_pages},
          {"evicted_pages", stats.evicted_pages},
          {"clean_drops", stats.clean_drops},
          {"packed_pages", stats.packed_pages},
          {"assisted_pages", stats.assisted_pages},
          {"clustered_pages", stats.clustered_pages},
          {"repacked_pages", stats.repacked_pages},
          {"refaults", stats.refaults},
          {"stall_nanoseconds", stats.stall_nanoseconds}};
}

int enter_and_measure(const PagerPlan& plan) {
  const auto corpus = Corpus::load(plan.corpus_path, 0, SameFilled::LeaveOut);
  if (!corpus) return std::cerr << "no corpus\n", 1;
  PagerPlan warm_plan = plan;
  ++warm_plan.seed;
  Trace warm = make_trace(warm_plan, plan.accesses / 4);
  Trace trace = make_trace(plan, plan.accesses);
  if (!plan.cgroup.empty()) {
    std::ofstream processes(plan.cgroup + "/cgroup.procs");
    if (!(processes << ::getpid() << std::flush)) return std::cerr << "no cgroup\n", 1;
  }
  std::unique_ptr<Pager> pager;
  std::byte* start = nullptr;
  if (plan.limit_bytes != 0) {
    PagerConfig config;
    config.memory_limit_bytes = plan.limit_bytes;
    config.algorithm = plan.algorithm;
    config.cluster_pages = plan.cluster_pages;
    config.staging_bytes = plan.staging_bytes;
    config.backend = plan.backend;
    auto made = Pager::create(config);
    if (!made) return std::cerr << std::strerror(made.error().code) << "\n", 1;
    pager = std::move(*made);
    start = pager->make_region(plan.working_set_bytes).value();
  } else {
    void* const place = ::mmap(nullptr, plan.working_set_bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) return std::cerr << "no memory\n", 1;
    ::madvise(place, plan.working_set_bytes, MADV_NOHUGEPAGE);
    start = static_cast<std::byte*>(place);
  }
  fill(start, plan.working_set_bytes, *corpus);
  run_trace(warm, start, pager.get());
  nlohmann::json answer = run_trace(trace, start, pager.get());
  if (pager) answer["account"] = account_of(pager->stats());
  std::cout << answer.dump() << std::endl;
  if (plan.limit_bytes != 0) return 0;
  // The caller looks at what the kernel holds while it holds it.
  std::string line;
  std::getline(std::cin, line);
  return 0;
}

}  // namespace
}  // namespace uzram::bench

int main(int argc, char** argv) {
  using uzram::bench::Pattern;
  uzram::bench::PagerPlan plan;
  CLI::App app("memory under a limit, kept by a pager or by the kernel");
  app.add_option("--corpus", plan.corpus_path)->required();
  app.add_option("--limit", plan.limit_bytes, "bytes of the pager; 0: no pager");
  app.add_option("--cgroup", plan.cgroup, "folder of a memory cgroup");
  app.add_option("--working-set", plan.working_set_bytes);
  const std::map<std::string, Pattern> patterns{
      {"uniform", Pattern::Uniform}, {"zipf", Pattern::Zipf}, {"sequential", Pattern::Sequential}};
  app.add_option("--pattern", plan.pattern)->transform(CLI::CheckedTransformer(patterns));
  const std::map<std::string, uzram::PagerBackend> backends{
      {"automatic", uzram::PagerBackend::Automatic},
      {"move", uzram::PagerBackend::Move},
      {"protect", uzram::PagerBackend::Protect},
      {"signal", uzram::PagerBackend::Signal},
      {"strict", uzram::PagerBackend::Strict}};
  app.add_option("--backend", plan.backend)->transform(CLI::CheckedTransformer(backends));
  app.add_option("--threads", plan.threads);
  app.add_option("--accesses", plan.accesses, "of each thread")->required();
  app.add_option("--algorithm", plan.algorithm);
  app.add_option("--staging", plan.staging_bytes, "bytes; 0: as the pager likes");
  app.add_option("--cluster-pages", plan.cluster_pages, "0: each page by itself");
  app.add_option("--seed", plan.seed);
  CLI11_PARSE(app, argc, argv);
  return uzram::bench::enter_and_measure(plan);
}

// SPDX-License-Identifier: Apache-2.0
// The measuring program behind bench/run: one measurement per call, its numbers as JSON on standard
// output. It judges nothing; targets and ratios are bench/run's.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "bench/cluster_bench.h"
#include "bench/dedup_bench.h"
#include "bench/demotion_bench.h"
#include "bench/io_client.h"
#include "bench/kernel_bench.h"
#include "bench/library_bench.h"
#include "bench/mapping_bench.h"
#include "bench/memory_bench.h"
#include "bench/policy_bench.h"
#include "bench/writeback_bench.h"
#include "bench/zram_model.h"

namespace uzram::bench {
namespace {

struct Options {
  std::string corpus_path;
  std::size_t most_pages = 0;
  bool keeps_same_filled = false;
  std::string algorithm = "lz4";
  LibraryPlan library;
  KernelPlan kernel;
  ClientPlan client;
  DemotionPlan demotion;
  std::vector<std::string> stages;
  WritebackPlan writeback;
  DedupPlan dedup;
  PolicyBenchPlan policy;
  ClusterPlan cluster;
};

void add_common(CLI::App& command, Options& options) {
  command.add_option("--corpus", options.corpus_path, "corpus.bin of bench/make_corpus")
      ->required();
  command.add_option("--pages", options.most_pages, "at most so many pages; 0 for all");
  command.add_flag("--same-filled", options.keeps_same_filled, "keep same-filled pages");
}

void add_library(CLI::App& app, Options& options) {
  CLI::App* command = app.add_subcommand("library", "device against bare library calls");
  add_common(*command, options);
  command->add_option("--algorithm", options.library.algorithm)->required();
  command->add_option("--rounds", options.library.rounds);
  command->add_option("--processor", options.library.processor);
  command->add_flag("!--no-checks", options.library.has_page_checks, "without page checks");
}

void add_kernel(CLI::App& app, Options& options) {
  CLI::App* command = app.add_subcommand("kernel", "device against a block device, per page");
  add_common(*command, options);
  command->add_option("--algorithm", options.kernel.algorithm)->required();
  command->add_option("--path", options.kernel.path, "block device; is overwritten")->required();
  command->add_option("--rounds", options.kernel.rounds);
  command->add_option("--processor", options.kernel.processor);
}

void add_memory(CLI::App& app, Options& options, const char* name, const char* summary) {
  CLI::App* command = app.add_subcommand(name, summary);
  add_common(*command, options);
  command->add_option("--algorithm", options.algorithm)->required();
}

void add_client(CLI::App& app, Options& options) {
  const std::map<std::string, ClientJob> jobs{{"fill", ClientJob::Fill},
                                              {"verify", ClientJob::Verify},
                                              {"read", ClientJob::Read},
                                              {"write", ClientJob::Write}};
  CLI::App* command = app.add_subcommand("client", "requests to a disk that another serves");
  add_common(*command, options);
  command->add_option("--target", options.client.target, "block device, file or nbd URI")
      ->required();
  command->add_option("--job", options.client.job, "fill, verify, read or write")
      ->required()
      ->transform(CLI::CheckedTransformer(jobs));
  command->add_option("--depth", options.client.depth)->check(CLI::Range(1, 1024));
  command->add_option("--block-bytes", options.client.block_bytes)
      ->check(CLI::Range(4096, 32 << 20));
  command->add_flag("--sequential", options.client.is_sequential);
  command->add_option("--seconds", options.client.seconds);
  command->add_option("--seed", options.client.seed);
}

void add_demotion(CLI::App& app, Options& options, const char* name, const char* summary) {
  CLI::App* command = app.add_subcommand(name, summary);
  add_common(*command, options);
  command->add_option("--algorithm", options.demotion.algorithm, "of the write");
  command->add_option("--stages", options.stages, "PAGES:LEVEL, as 4:1")
      ->required()
      ->check([](const std::string& text) {
        return Stage::parse(text) ? std::string() : "'" + text + "' is not PAGES:LEVEL, as 4:1";
      });
  command->add_option("--rounds", options.demotion.rounds)->check(CLI::Range(1, 1000));
  command->add_option("--processor", options.demotion.processor);
}

void add_writeback(CLI::App& app, Options& options) {
  const std::map<std::string, WritebackContent> contents{
      {"incompressible", WritebackContent::Incompressible}, {"corpus", WritebackContent::Corpus}};
  CLI::App* command = app.add_subcommand("writeback", "pages to a backing store");
  add_common(*command, options);
  command->add_option("--path", options.writeback.path, "file; is overwritten")->required();
  command->add_option("--content", options.writeback.content, "incompressible or corpus")
      ->transform(CLI::CheckedTransformer(contents));
  command->add_option("--mebibytes", options.writeback.mebibytes)->check(CLI::Range(1, 1 << 20));
  command->add_flag("!--no-encryption", options.writeback.encrypts);
}

void add_dedup(CLI::App& app, Options& options) {
  CLI::App* command = app.add_subcommand("dedup", "what deduplication finds and costs");
  add_common(*command, options);
  command->add_option("--rounds", options.dedup.rounds);
  command->add_option("--processor", options.dedup.processor);
}

void add_policy(CLI::App& app, Options& options) {
  CLI::App* command = app.add_subcommand("policy", "reads beside work in the background");
  add_common(*command, options);
  command->add_option("--rounds", options.policy.rounds);
  command->add_option("--processor", options.policy.processor);
  command->add_option("--settings", options.policy.settings, "the policy's; none: no pauses");
  command->add_option("--seconds", options.policy.seconds, "of each measurement");
  command->add_option("--round-pages", options.policy.round_pages, "without pauses");
}

void add_cluster(CLI::App& app, Options& options, const char* name, const char* description) {
  CLI::App* command = app.add_subcommand(name, description);
  add_common(*command, options);
  command->add_option_function<std::string>(
      "--algorithm",
      [&options](const std::string& text) {
        if (!read_cluster_algorithm(text, options.cluster.options))
          throw CLI::ValidationError("'" + text + "' is no algorithm, as zstd:3");
      },
      "as compress_algorithm");
  command->add_option("--log-size", options.cluster.options.log_pages)
      ->check(CLI::Range(kLeastClusterLog, kMostClusterLog));
  command->add_option("--folder", options.cluster.folder, "for the cluster file");
  command->add_option("--rounds", options.cluster.rounds)->check(CLI::Range(1, 1000));
  command->add_option("--processor", options.cluster.processor);
}

Result<nlohmann::json> measure_after_write(const CLI::App& app, const Corpus& corpus,
                                           Options& options) {
  for (const std::string& text : options.stages) {
    options.demotion.stages.push_back(Stage::parse(text).value_or(Stage{}));
  }
  if (app.got_subcommand("zram-model")) return measure_zram_model(corpus, options.algorithm);
  if (app.got_subcommand("demotion")) return measure_demotion(corpus, options.demotion);
  if (app.got_subcommand("cold-reads")) return measure_cold_reads(corpus, options.demotion);
  if (app.got_subcommand("writeback")) return measure_writeback(corpus, options.writeback);
  if (app.got_subcommand("dedup")) return measure_dedup(corpus, options.dedup);
  return measure_reads_beside_policy(corpus, options.policy);
}

Result<nlohmann::json> measure(const CLI::App& app, Options& options) {
  const auto corpus =
      Corpus::load(options.corpus_path, options.most_pages,
                   options.keeps_same_filled ? SameFilled::Keep : SameFilled::LeaveOut);
  if (!corpus) return fail(corpus.error().code);
  if (app.got_subcommand("library")) return measure_library(*corpus, options.library);
  if (app.got_subcommand("kernel")) return measure_kernel(*corpus, options.kernel);
  if (app.got_subcommand("memory")) return measure_memory(*corpus, options.algorithm);
  if (app.got_subcommand("overhead")) return measure_overhead(*corpus, options.algorithm);
  if (app.got_subcommand("cluster")) return measure_clusters(*corpus, options.cluster);
  if (app.got_subcommand("mapping")) return measure_mapping(*corpus, options.cluster);
  if (app.got_subcommand("client")) return run_client(*corpus, options.client);
  return measure_after_write(app, *corpus, options);
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("uzram_bench: one measurement, as JSON; bench/run calls it");
  app.require_subcommand(1);
  add_library(app, options);
  add_kernel(app, options);
  add_memory(app, options, "memory", "all memory of a device that holds the corpus");
  add_memory(app, options, "overhead", "the pool over its packed bytes, as it ages");
  add_client(app, options);
  add_memory(app, options, "zram-model", "what the kernel's zram would need for the corpus");
  add_demotion(app, options, "demotion", "CPU and memory of packing cold pages together");
  add_demotion(app, options, "cold-reads", "reads of pages that were packed together");
  add_writeback(app, options);
  add_dedup(app, options);
  add_policy(app, options);
  add_cluster(app, options, "cluster", "cluster files against the codec alone");
  add_cluster(app, options, "mapping", "a mapped cluster file against reads of it");
  CLI11_PARSE(app, argc, argv);
  const auto answer = measure(app, options);
  if (!answer) {
    std::fprintf(stderr, "uzram_bench: %s\n", std::strerror(answer.error().code));
    return 1;
  }
  std::cout << answer->dump() << '\n';
  return 0;
}

}  // namespace
}  // namespace uzram::bench

int main(int argc, char** argv) {
  try {
    return uzram::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "uzram_bench: %s\n", error.what());
    return 1;
  }
}

// SPDX-License-Identifier: Apache-2.0
#include "app/estimate_words.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/f2fs_view.h"
#include "control/size_text.h"

namespace uzram {

void add_estimate_options(CLI::App& command, EstimateWords& words) {
  command
      .add_option("--algorithm", words.algorithms,
                  "lzo, lzo-rle, lz4, lz4:9, zstd, zstd:3; any number of times")
      ->type_name("NAME")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      .add_option("--log-size", words.log_sizes,
                  "clusters of 4 KiB times 2 to the power of this, 2 to 8; any number of times")
      ->type_name("N")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_flag("--bytes", words.in_bytes, "sizes in bytes");
}

InputResult<void> choose_algorithm(const std::string& text, ClusterOptions& options) {
  if (read_cluster_algorithm(text, options)) return {};
  return refuse(EINVAL, fmt::format("--algorithm: {} is none of lzo, lzo-rle, lz4, lz4:3 to "
                                    "lz4:16, zstd, zstd:1 to zstd:22",
                                    quote(text)));
}

InputResult<std::vector<ClusterEstimate>> make_estimates(const EstimateWords& words) {
  std::vector<std::string> algorithms = words.algorithms;
  if (algorithms.empty()) algorithms = {"lzo", "lzo-rle", "lz4", "zstd"};
  std::vector<unsigned> logs = words.log_sizes;
  if (logs.empty()) logs = {2, 4, 6};
  std::vector<ClusterEstimate> estimates;
  for (const std::string& algorithm : algorithms) {
    for (const unsigned log : logs) {
      ClusterOptions options{.log_pages = log};
      if (auto chosen = choose_algorithm(algorithm, options); !chosen)
        return tl::unexpected<InputError>(chosen.error());
      auto made = ClusterEstimate::make(options);
      if (!made && made.error().code == EINVAL)
        return refuse(EINVAL, fmt::format("--log-size: {} is not from 2 to 8", log));
      if (!made) return refuse(made.error().code, "no memory for so many estimates");
      estimates.push_back(*std::move(made));
    }
  }
  return estimates;
}

void print_estimates(const std::string& name, const std::vector<ClusterEstimate>& estimates,
                     bool in_bytes) {
  const std::uint64_t raw_bytes = estimates.front().counts().raw_blocks * kPageBytes;
  fmt::print("{}, {}\n", name, in_bytes ? std::to_string(raw_bytes) : short_size(raw_bytes));
  fmt::print("{}", estimate_heading());
  for (const ClusterEstimate& estimate : estimates)
    fmt::print("{}", estimate_line(estimate.options(), estimate.counts(), in_bytes));
}

}  // namespace uzram

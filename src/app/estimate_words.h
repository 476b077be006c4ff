// SPDX-License-Identifier: Apache-2.0
// app/estimate_words.h: the options with which commands choose kinds of clusters, and their table.
//
// What:   --algorithm, --log-size and --bytes; estimates for what they name; the table of results.
// Errors: InputError says which words there are.
// Proof:  tests/f2fs, program_test.cc.
#pragma once

#include <string>
#include <vector>

#include "cluster/cluster_estimate.h"
#include "control/input_error.h"

namespace CLI {
class App;
}

namespace uzram {

struct EstimateWords {
  std::vector<std::string> algorithms;
  std::vector<unsigned> log_sizes;
  bool in_bytes = false;
};

// `words` must outlive the parser.
void add_estimate_options(CLI::App& command, EstimateWords& words);

// One for each pair of algorithm and size; a choice from fastest to smallest where none is named.
[[nodiscard]] InputResult<std::vector<ClusterEstimate>> make_estimates(const EstimateWords& words);

// Sets algorithm and level. Errors: EINVAL, with the words there are.
[[nodiscard]] InputResult<void> choose_algorithm(const std::string& text, ClusterOptions& options);

// The table behind a first line "NAME, SIZE".
void print_estimates(const std::string& name, const std::vector<ClusterEstimate>& estimates,
                     bool in_bytes);

}  // namespace uzram

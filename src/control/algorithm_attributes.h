// SPDX-License-Identifier: Apache-2.0
// control/algorithm_attributes.h: comp_algorithm, recomp_algorithm and algorithm_params, the
// attributes that choose codecs.
//
// What:    their texts in both directions. Not here: which codecs there are and what levels they
//          take (codec/).
// Errors:  store_comp_algorithm -> E2BIG 128 bytes or more, EINVAL unknown, EBUSY after disksize.
//          store_recomp_algorithm -> the same, and EINVAL a key without a value, no algo, a
//          priority that is no number or not 1 to 3; ERANGE a number beyond an int.
//          store_algorithm_params -> EINVAL a key without a value, a number that is none, a
//          priority outside 0 to 3, an algorithm that is not configured, a dictionary that cannot
//          be read; ERANGE a number beyond an int; EBUSY after disksize. A dictionary that cannot
//          be read leaves the priority's parameters empty, since every write first resets them; the
//          other errors change nothing.
// Threads: any. Reading a dictionary blocks on its file system.
// Proof:   attribute_table_test.cc, attribute_error_test.cc, attribute_fuzz.cc.
#pragma once

#include <string>
#include <string_view>

#include "control/input_error.h"

namespace uzram {

class Device;

[[nodiscard]] InputResult<std::string> show_comp_algorithm(const Device& device);
[[nodiscard]] InputResult<void> store_comp_algorithm(Device& device, std::string_view text);
// One line for each priority that has an algorithm; empty when none has.
[[nodiscard]] InputResult<std::string> show_recomp_algorithm(const Device& device);
[[nodiscard]] InputResult<void> store_recomp_algorithm(Device& device, std::string_view text);
[[nodiscard]] InputResult<void> store_algorithm_params(Device& device, std::string_view text);

// "lzo-rle, lzo, lz4 ...": for messages and help.
[[nodiscard]] std::string algorithm_names();
// "lz4, #1 zstd": what this device has, likewise.
[[nodiscard]] std::string configured_algorithms(const Device& device);

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
// control/policy_attribute.h: policy and policy_explain, our own attributes: what a device does by
// itself, and why.
//
// What:    their texts. Not here: the settings (policy/policy_settings.h), docs/policy.md.
// Shapes:  policy is one line, every setting in it; what is stored is such a line or a part of it.
// Errors:  store_policy -> EINVAL in the words of the settings; EAGAIN no thread can be made.
// Threads: any. Storing waits while the device gets its disksize or is reset.
// Proof:   policy_attribute_test.cc, attribute_fuzz.cc.
#pragma once

#include <string>
#include <string_view>

#include "control/input_error.h"

namespace uzram {

class Device;

[[nodiscard]] InputResult<std::string> show_policy(const Device& device);
[[nodiscard]] InputResult<void> store_policy(Device& device, std::string_view text);
[[nodiscard]] InputResult<std::string> show_policy_explain(const Device& device);

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include "control/policy_attribute.h"

#include <fmt/format.h>

#include "device/device.h"

namespace uzram {

InputResult<std::string> show_policy(const Device& device) { return device.policy() + "\n"; }

InputResult<void> store_policy(Device& device, std::string_view text) {
  const auto outcome = device.set_policy(text);
  if (outcome) return {};
  return refuse(outcome.error().code, fmt::format("policy: {}", outcome.error().text));
}

InputResult<std::string> show_policy_explain(const Device& device) {
  return device.explain_policy();
}

}  // namespace uzram

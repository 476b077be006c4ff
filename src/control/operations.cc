// SPDX-License-Identifier: Apache-2.0
#include "control/operations.h"

namespace uzram {

namespace {

tl::unexpected<InputError> not_offered(const char* what) {
  return refuse(EOPNOTSUPP, std::string("this server does not ") + what +
                                "; a daemon started with 'uzram serve' does");
}

}  // namespace

InputResult<std::shared_ptr<Device>> Operations::create() { return not_offered("add devices"); }

InputResult<void> Operations::attach(Device&) { return not_offered("attach disks"); }

InputResult<void> Operations::remove(int) { return not_offered("remove devices"); }

InputResult<std::vector<std::string>> Operations::swap_on(Device&, const SwapRequest&) {
  return not_offered("switch swap on");
}

InputResult<void> Operations::swap_off(Device&) { return not_offered("switch swap off"); }

InputResult<void> Operations::stop(bool) { return not_offered("end at a request"); }

}  // namespace uzram

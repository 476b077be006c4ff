// SPDX-License-Identifier: Apache-2.0
#include "policy/stage.h"

namespace uzram {

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::Idle:
      return "idle";
    case Stage::Recompress:
      return "recompress";
    case Stage::SmallCluster:
      return "cluster";
    case Stage::LargeCluster:
      return "large";
    case Stage::DeepCluster:
      return "deep";
    case Stage::WriteBack:
      break;
  }
  return "writeback";
}

}  // namespace uzram

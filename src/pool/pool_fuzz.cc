// SPDX-License-Identifier: Apache-2.0
// Any string of commands leaves a pool that holds to its laws and to the map beside it.
#include <cstddef>
#include <cstdint>

#include "pool/pool_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using uzram::PoolModel;
  PoolModel model;
  for (; size >= PoolModel::kCommandBytes; size -= PoolModel::kCommandBytes) {
    model.run(PoolModel::decode(data));
    data += PoolModel::kCommandBytes;
  }
  model.check_all();
  return 0;
}

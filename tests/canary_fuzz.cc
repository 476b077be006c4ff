// SPDX-License-Identifier: Apache-2.0
// A fuzzer that must fail: it has a planted bug behind four bytes. If a short run does not find it,
// then instrumentation or sanitizers do not work and the other fuzzers' silence means nothing.
#include <cstddef>
#include <cstdint>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> bytes(data, data + size);
  if (size >= 4 && bytes[0] == 'z' && bytes[1] == 'r' && bytes[2] == 'a' && bytes[3] == 'm') {
    const volatile std::uint8_t* const past = bytes.data();
    return past[size] == 0 ? 0 : -1;  // Reads one byte behind the end.
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Any requests, one after the other, to a small disk: lengths, opcodes and offsets of any value.
//
// Shapes: a request is an opcode byte, a node byte, a count of argument bytes, those bytes, and for
//         a WRITE as many payload bytes as its size says, or one less.
// Laws:   no reply is longer than its buffer, errors are errno values, READ is never longer than
//         it was asked to be, and the device's counters equal its table.
#include <cstring>
#include <vector>

#include "base/check.h"
#include "device/device.h"
#include "frontend/fuse/disk_requests.h"

namespace uzram {
namespace {

constexpr std::uint64_t kDiskBytes = 1 << 20;
constexpr int kHighestError = 511;  // What the kernel takes in a reply.

class Input {
 public:
  explicit Input(ConstBytes bytes) : bytes_(bytes) {}
  [[nodiscard]] bool is_empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    const ConstBytes one = take(1);
    return one.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(one[0]);
  }
  ConstBytes take(std::size_t count) {
    const ConstBytes taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  ConstBytes bytes_;
};

void run_one(DiskRequests& requests, Input& input, const std::vector<std::byte>& data,
             std::vector<std::byte>& out) {
  DiskRequests::Request request{};
  request.header.opcode = input.byte();
  request.header.nodeid = input.byte() < 240 ? FUSE_ROOT_ID : 2;
  const std::uint8_t shape = input.byte();
  // Copied, so that reading past the arguments is seen.
  const ConstBytes given = input.take(shape & 127);
  const std::vector<std::byte> op(given.begin(), given.end());
  request.op = op;
  std::uint32_t asked_bytes = 0;
  if (op.size() >= sizeof(fuse_read_in)) {
    std::memcpy(&asked_bytes, op.data() + offsetof(fuse_read_in, size), sizeof(asked_bytes));
  }
  if (request.header.opcode == FUSE_WRITE) {
    const std::size_t payload_bytes = std::min<std::size_t>(asked_bytes, data.size());
    request.payload = ConstBytes(data).first(shape < 128 || payload_bytes == 0 ? payload_bytes
                                                                               : payload_bytes - 1);
  }
  const DiskRequests::Reply reply = requests.handle(request, out);
  UZ_CHECK(reply.error >= 0 && reply.error <= kHighestError);
  UZ_CHECK(reply.bytes <= out.size());
  UZ_CHECK(reply.error == 0 || reply.bytes == 0);
  UZ_CHECK(request.header.opcode != FUSE_READ || reply.bytes <= asked_bytes);
}

}  // namespace
}  // namespace uzram

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  using namespace uzram;
  static const std::vector<std::byte> data(kMostDataBytes, std::byte{0xa5});
  static std::vector<std::byte> out(kMostDataBytes);
  Device device(0);
  UZ_CHECK(device.set_algorithm("lz4"));
  UZ_CHECK(device.set_disksize(kDiskBytes));
  DiskRequests requests(device, true);
  Input input(ConstBytes(reinterpret_cast<const std::byte*>(bytes), count));
  while (!input.is_empty()) run_one(requests, input, data, out);
  device.check_invariants();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "app/disk_content.h"

#include <blkid/blkid.h>

#include <memory>

namespace uzram {

namespace {

struct ProbeCloser {
  void operator()(blkid_probe probe) const { ::blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<struct blkid_struct_probe, ProbeCloser>;

constexpr int kNothing = 1;
constexpr int kSeveral = -2;

std::string probed_value(const Probe& probe, const char* name) {
  const char* value = nullptr;
  if (::blkid_probe_lookup_value(probe.get(), name, &value, nullptr) != 0) return {};
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

Result<FoundContent> probe_disk(int disk) {
  const Probe probe(::blkid_new_probe());
  if (probe == nullptr) return fail(ENOMEM);
  if (::blkid_probe_set_device(probe.get(), disk, 0, 0) != 0) return fail(EIO);
  ::blkid_probe_enable_superblocks(probe.get(), 1);
  // A superblock whose checksum is wrong was still somebody's data.
  ::blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_BADCSUM);
  ::blkid_probe_enable_partitions(probe.get(), 1);
  const int outcome = ::blkid_do_safeprobe(probe.get());
  if (outcome == kNothing) return FoundContent{DiskContent::Nothing, "nothing"};
  if (outcome == kSeveral) return FoundContent{DiskContent::Other, "several signatures at once"};
  if (outcome != 0) return fail(EIO);
  const std::string type = probed_value(probe, "TYPE");
  const std::string table = probed_value(probe, "PTTYPE");
  if (!table.empty()) return FoundContent{DiskContent::Other, "a partition table (" + table + ")"};
  if (type == "swap") return FoundContent{DiskContent::Swap, type};
  return FoundContent{DiskContent::Other, type.empty() ? "something without a name" : type};
}

}  // namespace uzram

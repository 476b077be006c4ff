// SPDX-License-Identifier: Apache-2.0
// bench/io_client.h: one client for every disk that another process serves: corpus pages at a
// given number of requests in flight.
//
// What:    the same loop over io_uring with O_DIRECT (block devices and files) or libnbd (NBD
//          servers), so that both sides of a ratio meet the same client. Written data are pages of
//          the corpus, never a generator's.
// Shapes:  a request has block_bytes, whole pages; offsets are multiples of it within the corpus's
//          size.
// Threads: one.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/corpus.h"

namespace uzram::bench {

// A disk that takes requests and tells later which are done.
class AsyncDisk {
 public:
  virtual ~AsyncDisk() = default;
  virtual Result<void> read(unsigned slot, std::uint64_t offset, MutableBytes out) = 0;
  virtual Result<void> write(unsigned slot, std::uint64_t offset, ConstBytes data) = 0;
  // Waits for at least one request and appends the slots of all that are done.
  virtual Result<void> wait(std::vector<unsigned>& done) = 0;
};

// `target`: an nbd URI, or the path of a block device or file. Errors: those of opening it;
// EOPNOTSUPP no such transport.
Result<std::unique_ptr<AsyncDisk>> open_disk(const std::string& target, unsigned depth);
Result<std::unique_ptr<AsyncDisk>> open_block_disk(const std::string& path, unsigned depth);
Result<std::unique_ptr<AsyncDisk>> open_nbd_disk(const std::string& uri, unsigned depth);

enum class ClientJob {
  Fill,    // The corpus, once, in order: page n at page n.
  Verify,  // Reads it all and compares.
  Read,
  Write,  // Any page of the corpus to any place.
};

struct ClientPlan {
  std::string target;
  ClientJob job = ClientJob::Read;
  unsigned depth = 1;
  std::size_t block_bytes = kPageBytes;
  bool is_sequential = false;
  double seconds = 2;
  std::uint64_t seed = 1;
};

// Errors: of the disk; EBADMSG when Verify finds other bytes.
Result<nlohmann::json> run_client(const Corpus& corpus, const ClientPlan& plan);

}  // namespace uzram::bench

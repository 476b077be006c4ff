// SPDX-License-Identifier: Apache-2.0
// backing/nbd_store.h: an NBD server as a backing store, through libnbd.
//
// What:    one connection, driven by a thread of the store; all requests are in flight on it
//          together. A connection that breaks, or has a request that ran out of time, is closed;
//          the next request connects again, at most once a second. A write whose answer was lost
//          may still happen: BackingLease::may_still_happen says so.
// Errors:  make -> EROFS for a read-only export, EINVAL for one of less than a block or with other
//          block sizes, otherwise what connecting said (ETIMEDOUT after the time limit).
//          Requests -> what the server said; EIO when there is no connection.
// Threads: as BackingStore.
// Proof:   nbd_store_test.cc.
#pragma once

#include <memory>
#include <string>

#include "backing/backing_store.h"

namespace uzram {

Result<std::unique_ptr<BackingStore>> make_nbd_store(const std::string& uri,
                                                     const BackingOptions& options);

}  // namespace uzram

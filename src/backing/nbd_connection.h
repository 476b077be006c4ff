// SPDX-License-Identifier: Apache-2.0
// backing/nbd_connection.h: one connection to an NBD server, without waiting longer than told.
//
// What:    connects, and moves requests on. Not here: who asks, and what to do when it breaks
//          (nbd_store.h).
// Errors:  connect -> as nbd_store.h says of make; ECANCELED when `wake` became readable.
// Threads: one at a time.
#pragma once

#include <libnbd.h>

#include <memory>
#include <string>

#include "backing/request_board.h"

namespace uzram {

class NbdConnection {
 public:
  using Clock = std::chrono::steady_clock;
  class Listener {
   public:
    virtual ~Listener() = default;
    // A request has come back; `is_lost`: the connection broke before the answer.
    virtual void completed(std::size_t index, int error, bool is_lost) = 0;
  };
  // Who is told of a request.
  struct Ticket {
    Listener* listener = nullptr;
    std::size_t index = 0;
  };

  // Gives up at `until`, or when `wake` (a descriptor, or -1) becomes readable.
  static Result<std::unique_ptr<NbdConnection>> connect(const std::string& uri,
                                                        Clock::time_point until, int wake);

  [[nodiscard]] std::uint64_t block_count() const { return block_count_; }
  // Sends a request; buffer and ticket belong to the connection until the listener hears of it or
  // the connection is gone. Returns: 0, or an errno value: then the listener does not hear of it.
  int send(const RequestBoard::Job& job, Ticket& ticket);
  // Waits until the server has something to say, `wake` is readable or `until` is there; does what
  // can be done. Returns: false when the connection is broken.
  bool move_on(Clock::time_point until, int wake);

 private:
  struct Close {
    void operator()(nbd_handle* handle) const { nbd_close(handle); }
  };
  using Handle = std::unique_ptr<nbd_handle, Close>;

  explicit NbdConnection(Handle handle) : handle_(std::move(handle)) {}
  // Returns: 0 or an errno value.
  int check_export();
  static int on_completion(void* ticket, int* error);

  Handle handle_;
  std::uint64_t block_count_ = 0;
  bool can_trim_ = false;
};

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include "backing/nbd_store.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <new>
#include <optional>
#include <system_error>
#include <thread>

#include "backing/nbd_connection.h"
#include "base/check.h"
#include "base/file_descriptor.h"

namespace uzram {
namespace {

constexpr std::chrono::seconds kBetweenConnects{1};
// The thread that waits for a request sees first that it is late.
constexpr std::chrono::milliseconds kGrace{100};
constexpr std::chrono::seconds kIdle{3600};

class Bell {
 public:
  // Errors: std::system_error.
  Bell() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!descriptor_.is_open()) throw std::system_error(errno, std::generic_category());
  }
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  void ring() const { ::eventfd_write(descriptor_.get(), 1); }
  void silence() const {
    eventfd_t count = 0;
    ::eventfd_read(descriptor_.get(), &count);
  }

 private:
  const FileDescriptor descriptor_;
};

class NbdStore final : public BackingStore, private NbdConnection::Listener {
 public:
  // Errors: std::bad_alloc, std::system_error.
  NbdStore(std::string uri, std::unique_ptr<NbdConnection> connection,
           const BackingOptions& options)
      : BackingStore(connection->block_count(), options),
        uri_(std::move(uri)),
        board_(requests().size()),
        connection_(std::move(connection)),
        sent_(requests().size()),
        tickets_(requests().size()) {
    for (std::size_t index = 0; index < tickets_.size(); ++index) tickets_[index] = {this, index};
    driver_ = std::thread([this] { drive(); });
  }
  ~NbdStore() override {
    end_.ring();
    work_.ring();
    driver_.join();
    say_farewell();
  }

  [[nodiscard]] const char* kind() const override { return "nbd"; }

 private:
  void submit(BackingRequest& request) override {
    board_.post(request);
    work_.ring();
  }
  bool poll(BackingRequest& request, Clock::time_point until) override {
    return board_.wait(request, until);
  }

  // --- the driver's thread
  void drive();
  void wait_for_work();
  [[nodiscard]] bool is_ending() const;
  void send_queued();
  [[nodiscard]] bool try_connect(Clock::time_point until);
  [[nodiscard]] Clock::time_point nearest_deadline() const;
  void drop_connection();
  void completed(std::size_t index, int error, bool is_lost) override;

  // constant after construction
  const std::string uri_;
  const Bell work_;
  const Bell end_;

  RequestBoard board_;  // Synchronizes itself.

  // belongs to the driver's thread
  std::unique_ptr<NbdConnection> connection_;
  std::vector<std::optional<RequestBoard::Job>> sent_;  // By request.
  std::vector<NbdConnection::Ticket> tickets_;
  Clock::time_point next_connect_;

  std::thread driver_;  // Last: it uses everything above.
};

void NbdStore::drive() {
  while (!is_ending()) {
    work_.silence();
    send_queued();
    wait_for_work();
    if (Clock::now() >= nearest_deadline()) drop_connection();
  }
  drop_connection();
  while (const std::optional<RequestBoard::Job> job = board_.take_any())
    board_.complete(job->index, EIO, false);
}

bool NbdStore::is_ending() const {
  pollfd file = {end_.descriptor(), POLLIN, 0};
  return ::poll(&file, 1, 0) > 0;
}

void NbdStore::wait_for_work() {
  if (connection_ != nullptr) {
    if (!connection_->move_on(nearest_deadline(), work_.descriptor())) drop_connection();
    return;
  }
  pollfd file = {work_.descriptor(), POLLIN, 0};
  ::poll(&file, 1, -1);
}

NbdStore::Clock::time_point NbdStore::nearest_deadline() const {
  Clock::time_point nearest = Clock::now() + kIdle;
  for (const auto& job : sent_) {
    if (job) nearest = std::min(nearest, job->deadline + kGrace);
  }
  return nearest;
}

void NbdStore::send_queued() {
  while (const std::optional<RequestBoard::Job> job = board_.take_any()) {
    if (connection_ == nullptr && !try_connect(job->deadline)) {
      board_.complete(job->index, EIO, false);
      continue;
    }
    sent_[job->index] = job;
    const int error = connection_->send(*job, tickets_[job->index]);
    if (error != 0) completed(job->index, error, false);
  }
}

bool NbdStore::try_connect(Clock::time_point until) {
  const auto now = Clock::now();
  if (now < next_connect_) return false;
  auto connected = NbdConnection::connect(uri_, until, end_.descriptor());
  // A server that came back with less is another one.
  if (!connected || (*connected)->block_count() < block_count()) {
    next_connect_ = Clock::now() + kBetweenConnects;
    return false;
  }
  connection_ = std::move(*connected);
  return true;
}

void NbdStore::drop_connection() {
  // First of all, so that it lets go of the buffers.
  connection_.reset();
  for (std::size_t index = 0; index < sent_.size(); ++index) {
    if (sent_[index]) completed(index, EIO, true);
  }
}

void NbdStore::completed(std::size_t index, int error, bool is_lost) {
  if (!sent_[index]) return;
  const bool changes = sent_[index]->kind != BackingRequest::Kind::Read;
  sent_[index].reset();
  const bool is_broken = error == ENOTCONN || error == ESHUTDOWN || error == EPIPE;
  board_.complete(index, is_broken ? EIO : error, is_lost && changes);
}

}  // namespace

Result<std::unique_ptr<BackingStore>> make_nbd_store(const std::string& uri,
                                                     const BackingOptions& options) {
  auto connection =
      NbdConnection::connect(uri, std::chrono::steady_clock::now() + options.time_limit, -1);
  if (!connection) return fail(connection.error().code);
  try {
    return std::make_unique<NbdStore>(uri, std::move(*connection), options);
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM);
  } catch (const std::system_error& error) {
    return fail(error.code().value());
  }
}

}  // namespace uzram

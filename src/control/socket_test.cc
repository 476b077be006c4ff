// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "control/line_channel.h"
#include "control/operations.h"
#include "control/socket_address.h"
#include "control/socket_client.h"
#include "control/socket_server.h"
#include "device/device.h"

namespace uzram {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;
using testing::HasSubstr;

// One device; remove() waits until it is let go, so that a test can keep a request in flight.
class SlowOperations : public Operations {
 public:
  [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override { return {device_}; }
  InputResult<void> remove(int) override {
    entered.set_value();
    let_go.get_future().wait();
    return {};
  }
  std::promise<void> entered;
  std::promise<void> let_go;

 private:
  const std::shared_ptr<Device> device_ = std::make_shared<Device>(0);
};

class SocketTest : public testing::Test {
 protected:
  SocketTest() {
    std::string pattern = testing::TempDir() + "uzram-socket-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ + "/control";
  }
  ~SocketTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<SocketServer> start(SocketLimits limits = {}) {
    auto server = SocketServer::start(operations_, path_, limits);
    EXPECT_TRUE(server) << server.error().text;
    return server ? std::move(*server) : nullptr;
  }
  LineChannel connect() {
    Result<FileDescriptor> socket = connect_socket(path_);
    EXPECT_TRUE(socket);
    return LineChannel(std::move(*socket), std::size_t{1} << 20);
  }
  int start_error() {
    const auto server = SocketServer::start(operations_, path_);
    return server ? 0 : server.error().code;
  }

  std::string folder_;
  std::string path_;
  SlowOperations operations_;
};

TEST_F(SocketTest, AnswersRequestsOneAfterTheOther) {
  const auto server = start();
  LineChannel channel = connect();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(channel.send(R"({"op": "list"})", 1s));
    const auto line = channel.receive(5s);
    ASSERT_TRUE(line);
    EXPECT_EQ(Json::parse(*line)["result"][0]["name"], "zram0");
  }
  const auto answer = call_server(path_, {{"op", "list"}});
  ASSERT_TRUE(answer);
  EXPECT_EQ((*answer)["ok"], true);
}

TEST_F(SocketTest, AnswersTwoRequestsThatArriveInOnePieceAndOneInMany) {
  const auto server = start();
  LineChannel channel = connect();
  ASSERT_TRUE(channel.send("{\"op\": \"list\"}\n{\"op\": \"attributes\"}", 1s));
  EXPECT_TRUE(channel.receive(5s));
  EXPECT_TRUE(channel.receive(5s));
  Result<FileDescriptor> socket = connect_socket(path_);
  ASSERT_TRUE(socket);
  for (const char character : std::string("{\"op\": \"list\"}\n")) {
    ASSERT_EQ(::send(socket->get(), &character, 1, 0), 1);
  }
  EXPECT_TRUE(LineChannel(std::move(*socket), 1U << 20).receive(5s));
}

TEST_F(SocketTest, FileIsForItsOwnerOnlyAndGoesWithTheServer) {
  auto server = start();
  struct stat status {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, static_cast<mode_t>(S_IFSOCK | 0600));
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SocketTest, OfALiveServerIsLeftAlone) {
  const auto server = start();
  EXPECT_EQ(start_error(), EADDRINUSE);
  EXPECT_TRUE(call_server(path_, {{"op", "list"}})) << "the first one still answers";
}

TEST_F(SocketTest, OfADeadServerIsReplaced) {
  const pid_t child = ::fork();
  if (child == 0) {
    SocketAddress address = *socket_address(path_);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const bool is_bound = ::bind(socket, address.get(), address.bytes) == 0;
    ::_exit(is_bound && ::listen(socket, 1) == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(std::filesystem::exists(path_));
  const auto server = start();
  EXPECT_TRUE(call_server(path_, {{"op", "list"}}));
}

TEST_F(SocketTest, NeverTakesThePlaceOfAnotherFile) {
  std::filesystem::create_directory(path_);
  EXPECT_EQ(start_error(), EEXIST);
  EXPECT_TRUE(std::filesystem::is_directory(path_));
}

TEST_F(SocketTest, PathMustBeShortAndItsFolderMustExist) {
  path_ = folder_ + "/" + std::string(200, 'x');
  EXPECT_EQ(start_error(), EINVAL);
  path_ = folder_ + "/no/control";
  EXPECT_EQ(start_error(), ENOENT);
}

TEST_F(SocketTest, RequestThatIsTooLongIsRefused) {
  const auto server = start();
  LineChannel channel = connect();
  static_cast<void>(channel.send(std::string(70'000, ' '), 5s));
  const auto line = channel.receive(5s);
  ASSERT_TRUE(line);
  EXPECT_EQ(Json::parse(*line)["error"]["name"], "EMSGSIZE");
  EXPECT_FALSE(channel.receive(5s)) << "and the connection ends";
}

TEST_F(SocketTest, ClientThatStopsInTheMiddleOfALineIsDropped) {
  const auto server = start({.patience = 50ms});
  Result<FileDescriptor> socket = connect_socket(path_);
  ASSERT_TRUE(socket);
  ASSERT_EQ(::send(socket->get(), "{", 1, 0), 1);
  EXPECT_EQ(LineChannel(std::move(*socket), 100).receive(10s), Result<std::string>(fail(EPIPE)));
}

TEST_F(SocketTest, OneClientTooManyIsToldSoAndTheNextIsServedAgain) {
  const auto server = start({.most_clients = 2});
  {
    LineChannel first = connect();
    LineChannel second = connect();
    for (LineChannel* channel : {&first, &second}) {
      ASSERT_TRUE(channel->send(R"({"op": "list"})", 1s));
      ASSERT_TRUE(channel->receive(5s));
    }
    const auto answer = call_server(path_, {{"op", "list"}});
    ASSERT_TRUE(answer) << answer.error().text;
    EXPECT_EQ((*answer)["error"]["name"], "EAGAIN");
  }
  for (int i = 0; i < 100; ++i) {
    const auto answer = call_server(path_, {{"op", "list"}});
    if (answer && (*answer)["ok"]) return;
    std::this_thread::sleep_for(20ms);
  }
  FAIL() << "the places of clients that left were not given back";
}

TEST_F(SocketTest, StopWaitsForARequestInFlight) {
  auto server = start();
  auto answer = std::async(std::launch::async, [this] {
    return call_server(path_, {{"op", "remove"}, {"device", "zram0"}});
  });
  operations_.entered.get_future().wait();
  EXPECT_TRUE(call_server(path_, {{"op", "list"}})) << "others are served meanwhile";
  auto stopped = std::async(std::launch::async, [&server] { server.reset(); });
  EXPECT_EQ(stopped.wait_for(50ms), std::future_status::timeout);
  operations_.let_go.set_value();
  stopped.wait();
  ASSERT_TRUE(answer.get());
}

TEST_F(SocketTest, OfAnotherUserIsOutOfReach) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  const auto server = start();
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  constexpr uid_t kNobody = 65534;
  // Even with a descriptor that root has opened up: the peer's identity decides, not the file's
  // mode.
  for (const mode_t mode : {0600, 0666}) {
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(9);
      Result<FileDescriptor> socket = connect_socket(path_);
      if (!socket) ::_exit(socket.error().code == EACCES ? 1 : 8);
      LineChannel channel(std::move(*socket), 1U << 20);
      static_cast<void>(channel.send(R"({"op": "list"})", 1s));
      const auto line = channel.receive(5s);
      ::_exit(line && line->find("EPERM") != std::string::npos ? 2 : 7);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), mode == 0600 ? 1 : 2);
  }
}

TEST_F(SocketTest, OfAnotherUserIsNotAsked) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    const SocketAddress address = *socket_address(path_);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const bool is_ready = ::setresuid(kNobody, kNobody, kNobody) == 0 &&
                          ::bind(listener, address.get(), address.bytes) == 0 &&
                          ::listen(listener, 1) == 0 && ::write(ready[1], "r", 1) == 1;
    const int client = is_ready ? ::accept(listener, nullptr, nullptr) : -1;
    char byte = 0;
    ::_exit(client >= 0 && ::read(client, &byte, 1) == 0 ? 0 : 1);  // Closed without a word.
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const auto answer = call_server(path_, {{"op", "list"}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, EPERM);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "nothing was sent";
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(SocketTest, AnswerThatBeginsHasToEnd) {
  const auto server = start();
  Result<FileDescriptor> socket = connect_socket(path_);
  ASSERT_TRUE(socket);
  LineChannel channel(std::move(*socket), 1U << 20);
  EXPECT_EQ(channel.receive(50ms, 10s), Result<std::string>(fail(ETIMEDOUT)));
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const FileDescriptor sender(ends[0]);
  LineChannel slow(FileDescriptor(ends[1]), 1U << 20);
  ASSERT_EQ(::send(sender.get(), "{", 1, 0), 1);
  EXPECT_EQ(slow.receive(std::nullopt, 50ms), Result<std::string>(fail(ETIMEDOUT)));
}

TEST_F(SocketTest, ClientSaysHowToStartAServer) {
  const auto answer = call_server(path_, {{"op", "list"}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ENOENT);
  EXPECT_THAT(answer.error().text, HasSubstr("uzram serve"));
}

TEST_F(SocketTest, ClientTellsAStrangerFromAServer) {
  SocketAddress address = *socket_address(path_);
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(::bind(listener.get(), address.get(), address.bytes), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  for (const char* line : {"hello\n", "{}\n", "{\"ok\": 1}\n", "{\"ok\": false}\n", "[]\n",
                           "{\"ok\": false, \"error\": {\"code\": \"x\", \"text\": 3}}\n", ""}) {
    std::thread stranger([&] {
      const FileDescriptor client(::accept(listener.get(), nullptr, nullptr));
      ::send(client.get(), line, std::strlen(line), MSG_NOSIGNAL);
    });
    EXPECT_FALSE(call_server(path_, {{"op", "list"}})) << line;
    stranger.join();
  }
}

}  // namespace
}  // namespace uzram

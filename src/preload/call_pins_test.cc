// SPDX-License-Identifier: Apache-2.0
#include "preload/call_pins.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <string>

#include "base/file_descriptor.h"
#include "preload/preload_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kRoom = std::uint64_t{4} << 20;

class CallPinsTest : public testing::Test {
 protected:
  void SetUp() override {
    place = space->take(kRoom / PagedSpace::kGranuleBytes);
    std::memset(place, 'a', kRoom);
    ASSERT_EQ(0, ::pipe(pipe_ends.data()));
  }
  void TearDown() override {
    for (const int each : pipe_ends) ::close(each);
  }
  void put_away() { ASSERT_TRUE(space->pager().page_out(place, kRoom)); }
  static long word(const void* pointer) { return reinterpret_cast<long>(pointer); }
  [[nodiscard]] bool is_held(const std::byte* page) const {
    return !space->pager().drop(const_cast<std::byte*>(page), kPageBytes);
  }

  const std::unique_ptr<PagedSpace> space = make_space();
  std::byte* place = nullptr;
  std::array<int, 2> pipe_ends{};
};

// Why all this is here. Signal has memory that the kernel cannot read either.
TEST_F(CallPinsTest, WithoutThemTheKernelSeesNoPage) {
  put_away();
  EXPECT_EQ(-1, ::write(pipe_ends[1], place, 100));
  EXPECT_EQ(EFAULT, errno);
}

TEST_F(CallPinsTest, HoldTheBufferOfAWrite) {
  put_away();
  CallPins pins(*space);
  ASSERT_TRUE(pins.hold_arguments(*find_call("write"), {pipe_ends[1], word(place + 4000), 1000}));
  EXPECT_EQ(1000, ::write(pipe_ends[1], place + 4000, 1000));
  EXPECT_TRUE(is_held(place));
  EXPECT_TRUE(is_held(place + kPageBytes));
  pins.let_go();
  EXPECT_FALSE(is_held(place));
}

TEST_F(CallPinsTest, HoldWhatAReadWrites) {
  ASSERT_EQ(5, ::write(pipe_ends[1], "hello", 5));
  put_away();
  EXPECT_EQ('a', static_cast<char>(place[0]));  // Clean: read-only to the kernel.
  CallPins pins(*space);
  ASSERT_TRUE(pins.hold_arguments(*find_call("read"), {pipe_ends[0], word(place), 5}));
  EXPECT_EQ(5, ::read(pipe_ends[0], place, 5));
  EXPECT_EQ(0, std::memcmp(place, "helloa", 6));
}

TEST_F(CallPinsTest, HoldVectorsMessagesAndWhatTheyPointTo) {
  auto* const parts = reinterpret_cast<iovec*>(place);
  for (unsigned i = 0; i < 40; ++i) parts[i] = {place + (i + 1) * 8 * kPageBytes, 10};
  auto* const message = reinterpret_cast<msghdr*>(place + 2000);
  *message = {};
  message->msg_iov = parts;
  message->msg_iovlen = 40;
  put_away();
  std::array<int, 2> ends{};
  ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()));
  {
    CallPins pins(*space);
    ASSERT_TRUE(pins.hold_arguments(*find_call("writev"), {pipe_ends[1], word(parts), 40}));
    EXPECT_EQ(400, ::writev(pipe_ends[1], parts, 40));
  }
  put_away();
  CallPins pins(*space);
  ASSERT_TRUE(pins.hold_arguments(*find_call("sendmsg"), {ends[0], word(message), 0}));
  EXPECT_EQ(400, ::sendmsg(ends[0], message, 0));
  for (const int each : ends) ::close(each);
}

TEST_F(CallPinsTest, HoldStringsAndListsOfThem) {
  std::strcpy(reinterpret_cast<char*>(place + kPageBytes - 4), "/dev/null");
  auto** const list = reinterpret_cast<char**>(place + 10 * kPageBytes);
  for (unsigned i = 0; i < 30; ++i) {
    list[i] = reinterpret_cast<char*>(place + (20 + 2 * i) * kPageBytes);
    std::strcpy(list[i], "word");
  }
  list[30] = nullptr;
  put_away();
  CallPins pins(*space);
  const auto* const path = reinterpret_cast<const char*>(place + kPageBytes - 4);
  ASSERT_TRUE(pins.hold_arguments(*find_call("open"), {word(path), O_RDONLY}));
  const FileDescriptor file(::open(path, O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(file.is_open());
  ASSERT_TRUE(pins.hold_strings(list));
  for (unsigned i = 0; i < 30; ++i) EXPECT_TRUE(is_held(place + (20 + 2 * i) * kPageBytes)) << i;
}

TEST_F(CallPinsTest, SayWhenThereIsNoRoomAndHoldNothingThen) {
  std::byte* const large = space->take(256);
  CallPins pins(*space);
  ASSERT_TRUE(pins.hold(place, kPageBytes, true));
  const Result<void> held = pins.hold(large, 256 * PagedSpace::kGranuleBytes, true);
  ASSERT_FALSE(held);
  EXPECT_EQ(ENOMEM, held.error().code);
  EXPECT_FALSE(is_held(place));
}

TEST_F(CallPinsTest, PassOverWhatIsNotPaged) {
  std::string text(100, 'x');
  CallPins pins(*space);
  const CallRow& row = *find_call("write");
  EXPECT_FALSE(CallPins::may_concern(*space, row, {1, word(text.data()), 100}));
  EXPECT_TRUE(CallPins::may_concern(*space, row, {1, word(place), 100}));
  EXPECT_TRUE(pins.hold_arguments(row, {1, word(text.data()), 100}));
  EXPECT_TRUE(pins.hold_arguments(row, {1, 0, 100}));
  EXPECT_TRUE(pins.hold_arguments(*find_call("accept"), {1, word(place), 0}));
}

// The upper half of a register that an int came in says nothing.
TEST_F(CallPinsTest, LookAtTheLowerHalfOfNarrowCounts) {
  CallPins pins(*space);
  constexpr long kRubbish = long{0x12345} << 32;
  ASSERT_TRUE(pins.hold_arguments(*find_call("connect"), {1, word(place), kRubbish | 16}));
  EXPECT_TRUE(is_held(place));
  EXPECT_FALSE(is_held(place + kPageBytes));
}

}  // namespace
}  // namespace uzram

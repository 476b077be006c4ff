// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "device/request_gate.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

TEST(RequestGateThread, IsClosedAtFirst) {
  RequestGate gate;
  EXPECT_FALSE(RequestGate::Ticket(gate));
}

TEST(RequestGateThread, LetsManyInWhileItIsOpen) {
  RequestGate gate;
  gate.open();
  const RequestGate::Ticket first(gate);
  const RequestGate::Ticket second(gate);
  EXPECT_TRUE(first && second);
}

TEST(RequestGateThread, LetsNobodyInOnceItIsClosed) {
  RequestGate gate;
  gate.open();
  gate.close();
  EXPECT_FALSE(RequestGate::Ticket(gate));
  gate.open();
  EXPECT_TRUE(RequestGate::Ticket(gate));
}

TEST(RequestGateThread, WaitsForThoseInside) {
  RequestGate gate;
  gate.open();
  std::atomic<bool> is_inside{false};
  std::atomic<bool> may_leave{false};
  std::atomic<bool> is_closed{false};
  std::thread request([&] {
    const RequestGate::Ticket ticket(gate);
    ASSERT_TRUE(ticket);
    is_inside = true;
    while (!may_leave) std::this_thread::yield();
    EXPECT_FALSE(is_closed) << "closed although a request was inside";
  });
  while (!is_inside) std::this_thread::yield();
  std::thread closer([&] {
    gate.close();
    is_closed = true;
  });
  // Who comes now is turned away while the closing thread still waits.
  while (RequestGate::Ticket(gate)) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(is_closed);
  may_leave = true;
  closer.join();
  request.join();
  EXPECT_TRUE(is_closed);
}

// What is behind the gate goes away and comes back while requests run in and out.
TEST(RequestGateThread, ProtectsWhatIsBehindIt) {
  RequestGate gate;
  std::unique_ptr<std::vector<int>> behind;
  std::atomic<bool> is_over{false};
  std::atomic<std::uint64_t> served{0};
  std::vector<std::thread> requests;
  for (int i = 0; i < 4; ++i) {
    requests.emplace_back([&] {
      while (!is_over) {
        const RequestGate::Ticket ticket(gate);
        if (!ticket) continue;
        ASSERT_NE(behind, nullptr);
        ASSERT_EQ(behind->at(10), 42);
        served.fetch_add(1);
      }
    });
  }
  for (int round = 0; round < 200; ++round) {
    behind = std::make_unique<std::vector<int>>(100, 42);
    const std::uint64_t before = served.load();
    gate.open();
    while (served.load() == before) std::this_thread::yield();
    gate.close();
    behind.reset();
  }
  is_over = true;
  for (std::thread& request : requests) request.join();
}

}  // namespace
}  // namespace uzram

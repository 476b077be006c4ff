// SPDX-License-Identifier: Apache-2.0
#include "control/request.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/attribute_table.h"
#include "control/operations.h"
#include "device/device_set.h"

namespace uzram {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

class SetOperations : public Operations {
 public:
  [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override {
    return devices_.all();
  }
  InputResult<std::shared_ptr<Device>> create() override { return devices_.find(devices_.add()); }
  InputResult<void> remove(int id) override {
    if (devices_.remove(id)) return {};
    return refuse(EBUSY, "in use");
  }
  InputResult<std::vector<std::string>> swap_on(Device&, const SwapRequest& request) override {
    swap_request_ = request;
    return std::vector<std::string>{"memory is locked"};
  }
  DeviceSet devices_;
  SwapRequest swap_request_;
};

class RequestTest : public testing::Test {
 protected:
  Json ask(const std::string& line) {
    const std::string answer = answer_request(operations_, line);
    EXPECT_EQ(answer.find('\n'), std::string::npos);
    return Json::parse(answer);
  }
  Json result(const Json& request) {
    const Json answer = ask(request.dump());
    EXPECT_TRUE(answer["ok"].get<bool>()) << answer.dump();
    return answer["result"];
  }
  std::string error(const std::string& line) {
    const Json answer = ask(line);
    EXPECT_FALSE(answer["ok"].get<bool>()) << answer.dump();
    words_ = answer["error"]["text"];
    EXPECT_FALSE(words_.empty());
    return answer["error"]["name"];
  }
  std::string error(const Json& request) { return error(request.dump()); }

  SetOperations operations_;
  std::string words_;
};

TEST_F(RequestTest, CreateMakesADeviceWithAllItsSettings) {
  const Json device = result({{"op", "create"},
                              {"size", 1U << 30},
                              {"algorithm", "zstd"},
                              {"level", 5},
                              {"mem_limit", 1U << 20}});
  EXPECT_EQ(device["name"], "zram0");
  EXPECT_EQ(device["algorithm"], "zstd");
  EXPECT_EQ(device["disksize"], 1U << 30);
  EXPECT_EQ(device["stats"]["mem_limit"], 1U << 20);
  EXPECT_EQ(device["stats"]["orig_data_size"], 0);
  EXPECT_EQ(device["initialised"], true);
}

TEST_F(RequestTest, CreateThatFailsLeavesNoDevice) {
  EXPECT_EQ(error(Json{{"op", "create"}, {"size", 1U << 20}, {"algorithm", "zip"}}), "EINVAL");
  EXPECT_THAT(words_, HasSubstr("zstd"));
  EXPECT_EQ(error(Json{{"op", "create"}, {"size", 0}}), "EINVAL");
  EXPECT_EQ(
      error(Json{{"op", "create"}, {"size", 1U << 20}, {"algorithm", "zstd"}, {"level", 999}}),
      "EINVAL");
  EXPECT_EQ(error(Json{{"op", "create"}, {"size", 1U << 20}, {"dict", "/nonexistent"}}), "EINVAL");
  EXPECT_TRUE(operations_.devices().empty());
}

TEST_F(RequestTest, CreateRefusesMembersOfTheWrongKind) {
  for (const char* member :
       {"\"size\": \"1G\"", "\"size\": -1", "\"size\": 1.5", "\"size\": []",
        "\"size\": 4096, \"level\": 3000000000", "\"size\": 4096, \"level\": \"3\"",
        "\"size\": 4096, \"level\": -9223372036854775808", "\"size\": 4096, \"algorithm\": 3",
        "\"size\": 4096, \"dict\": \"\"", "\"size\": 4096, \"dict\": \"a\\\" level=3\"",
        "\"size\": 4096, \"x\": 1", "\"algorithm\": \"lz4\""}) {
    EXPECT_EQ(error(std::string("{\"op\": \"create\", ") + member + "}"), "EINVAL") << member;
  }
  EXPECT_TRUE(operations_.devices().empty());
}

TEST_F(RequestTest, GetAndSetGoThroughTheAttributeTable) {
  result({{"op", "create"}, {"size", 1U << 20}});
  EXPECT_EQ(result({{"op", "get"}, {"device", "zram0"}, {"attribute", "disksize"}}), "1048576\n");
  EXPECT_EQ(
      result({{"op", "set"}, {"device", "zram0"}, {"attribute", "mem_limit"}, {"value", "1M"}}),
      nullptr);
  EXPECT_EQ(
      error(Json{{"op", "set"}, {"device", "zram0"}, {"attribute", "disksize"}, {"value", "1M"}}),
      "EBUSY");
  EXPECT_EQ(error(Json{{"op", "get"}, {"device", "zram0"}, {"attribute", "reset"}}), "EACCES");
  EXPECT_EQ(error(Json{{"op", "get"}, {"device", "zram0"}, {"attribute", "nothing"}}), "ENOENT");
  const Json all = result({{"op", "get"}, {"device", "zram0"}});
  EXPECT_EQ(all["disksize"], "1048576");
  EXPECT_FALSE(all.contains("reset"));
}

TEST_F(RequestTest, CreateMakesSettingsBeforeTheSizeInTheirOrder) {
  const Json settings =
      Json::parse(R"([["use_dedup", "1"], ["recomp_algorithm", "algo=zstd priority=2"],
                      ["algorithm_params", "priority=2 level=5"]])");
  const Json device = result({{"op", "create"}, {"size", 1U << 20}, {"set", settings}});
  EXPECT_EQ(device["disksize"], 1U << 20);
  EXPECT_EQ(result({{"op", "get"}, {"device", "zram0"}, {"attribute", "use_dedup"}}), "1\n");
  EXPECT_EQ(result({{"op", "get"}, {"device", "zram0"}, {"attribute", "recomp_algorithm"}}),
            "#2: lzo-rle lzo lz4 lz4hc [zstd] deflate 842 \n");
}

TEST_F(RequestTest, CreateRefusesSettingsThatAreNone) {
  for (const char* set : {"1", "\"use_dedup\"", "{}", "[1]", "[\"use_dedup\", \"1\"]", "[[]]",
                          "[[\"use_dedup\"]]", "[[\"use_dedup\", 1]]", "[[1, \"1\"]]",
                          "[[\"use_dedup\", \"1\", \"x\"]]", "[[\"use_dedup\", \"maybe\"]]"}) {
    EXPECT_EQ(error(fmt::format(R"({{"op": "create", "size": 4096, "set": {}}})", set)), "EINVAL")
        << set;
  }
  EXPECT_EQ(error(std::string(R"({"op": "create", "size": 4096, "set": [["nothing", "1"]]})")),
            "ENOENT");
  EXPECT_EQ(error(std::string(R"({"op": "create", "size": 4096, "set": [["disksize", "1M"]]})")),
            "EBUSY");
  EXPECT_TRUE(operations_.devices().empty());
}

TEST_F(RequestTest, GetGivesALongAttributeInParts) {
  constexpr std::size_t kPages = 20'000;
  result({{"op", "create"}, {"size", kPages * kPageBytes}});
  const std::vector<std::byte> pattern(kPages * kPageBytes, std::byte{0x55});
  ASSERT_TRUE(operations_.devices()[0]->write(0, pattern));
  Json request{{"op", "get"}, {"device", "zram0"}, {"attribute", "block_state"}};
  std::string text;
  int part_count = 0;
  for (Json next = 0; !next.is_null(); ++part_count) {
    request["first"] = next;
    const Json part = result(request);
    text += part["text"].get<std::string>();
    next = part["next"];
  }
  EXPECT_EQ(part_count, 2);
  EXPECT_EQ(text.size(), kPages * 40);
  EXPECT_THAT(text, testing::ContainsRegex("\n       19999 [ 0-9]*\\.000000 s\\.\\.\\.\\.\\.\n$"));
  const Json all = result({{"op", "get"}, {"device", "zram0"}});
  EXPECT_FALSE(all.contains("block_state"));
  EXPECT_FALSE(all.contains("classes")) << "it is long";
}

TEST_F(RequestTest, GetTakesFirstForLongAttributesOnly) {
  result({{"op", "create"}, {"size", 1U << 20}});
  EXPECT_EQ(error(Json{{"op", "get"}, {"device", "zram0"}, {"attribute", "mm_stat"}, {"first", 0}}),
            "EINVAL");
  EXPECT_EQ(error(Json{{"op", "get"}, {"device", "zram0"}, {"first", 0}}), "EINVAL");
  EXPECT_EQ(
      error(Json{{"op", "get"}, {"device", "zram0"}, {"attribute", "block_state"}, {"first", -1}}),
      "EINVAL");
  result({{"op", "reset"}, {"device", "zram0"}});
  EXPECT_EQ(error(Json{{"op", "get"}, {"device", "zram0"}, {"attribute", "block_state"}}),
            "EINVAL");
}

TEST_F(RequestTest, MapCountsPages) {
  result({{"op", "create"}, {"size", 1U << 20}});
  const std::vector<std::byte> pattern(kPageBytes, std::byte{0x55});
  ASSERT_TRUE(operations_.devices()[0]->write(0, pattern));
  const Json map = result({{"op", "map"}, {"device", "zram0"}, {"cells", 2}});
  EXPECT_EQ(map["device"], "zram0");
  EXPECT_EQ(map["cell_pages"], 128);
  EXPECT_EQ(map["kinds"]["same-filled"]["pages"], 1);
  EXPECT_EQ(result({{"op", "map"}, {"device", "zram0"}})["cell_pages"], 1);
  EXPECT_EQ(error(Json{{"op", "map"}, {"device", "zram0"}, {"cells", 0}}), "EINVAL");
  EXPECT_EQ(error(Json{{"op", "map"}, {"device", "zram0"}, {"cells", "all"}}), "EINVAL");
  result({{"op", "reset"}, {"device", "zram0"}});
  EXPECT_EQ(error(Json{{"op", "map"}, {"device", "zram0"}}), "EINVAL");
}

TEST_F(RequestTest, ADeviceLivesFromCreateToRemove) {
  EXPECT_EQ(result({{"op", "list"}}), Json::array());
  result({{"op", "create"}, {"size", 1U << 20}});
  EXPECT_EQ(result({{"op", "list"}}).size(), 1U);
  EXPECT_EQ(result({{"op", "stats"}, {"device", "zram0"}})["name"], "zram0");
  result({{"op", "compact"}, {"device", "zram0"}});
  result({{"op", "reset"}, {"device", "zram0"}});
  EXPECT_EQ(error(Json{{"op", "compact"}, {"device", "zram0"}}), "EINVAL");
  result({{"op", "remove"}, {"device", "zram0"}});
  EXPECT_EQ(error(Json{{"op", "remove"}, {"device", "zram0"}}), "ENODEV");
  EXPECT_EQ(error(Json{{"op", "stats"}, {"device", ""}}), "ENODEV");
}

TEST_F(RequestTest, SwapRequestsAreHandedOver) {
  result({{"op", "create"}, {"size", 1U << 20}});
  EXPECT_EQ(result({{"op", "swap_on"}, {"device", "zram0"}, {"reserve", 4096}, {"priority", 100}}),
            Json::array({"memory is locked"}));
  EXPECT_EQ(operations_.swap_request_.reserve_bytes, 4096U);
  EXPECT_EQ(operations_.swap_request_.priority, 100);
  EXPECT_EQ(error(Json{{"op", "swap_off"}, {"device", "zram0"}}), "EOPNOTSUPP");
}

TEST_F(RequestTest, AttributesListsTheTable) {
  const Json list = result({{"op", "attributes"}});
  ASSERT_EQ(list.size(), device_attributes().size());
  EXPECT_EQ(list[0]["name"], "disksize");
  EXPECT_EQ(list[0]["mode"], "0644");
}

TEST_F(RequestTest, WhatIsNoRequestIsRefusedInWords) {
  for (const char* line : {"", "x", "{", "[]", "3", "null", "\"list\"", "{\"op\": 3}x"}) {
    EXPECT_EQ(error(std::string(line)), "EBADMSG") << line;
  }
  for (const char* line : {"{}", "{\"op\": 3}", "{\"op\": null}", "{\"op\": \"nothing\"}",
                           "{\"op\": \"list\", \"device\": \"zram0\"}", "{\"op\": \"stats\"}",
                           "{\"op\": \"stats\", \"device\": 0}"}) {
    EXPECT_EQ(error(std::string(line)), "EINVAL") << line;
  }
  EXPECT_EQ(error(std::string("{\"op\": \"\xff\xfe\"}")), "EBADMSG");
  EXPECT_EQ(error(std::string(30'000, '[')), "EBADMSG");
}

TEST_F(RequestTest, DepthCostsNoStack) {
  const auto nested = [](const char* open, const char* close, std::size_t depth) {
    std::string text;
    for (std::size_t i = 0; i < depth; ++i) text += open;
    for (std::size_t i = 0; i < depth; ++i) text += close;
    return text;
  };
  const std::string brackets = nested("[", "]", 9000);
  const std::string objects = nested("{\"a\":", "}", 9000);
  for (const std::string& deep : {brackets, objects}) {
    EXPECT_EQ(error(deep), "EBADMSG");
    EXPECT_EQ(error(R"({"op": "create", "size": 4096, "set": )" + deep + "}"), "EBADMSG");
    EXPECT_EQ(error(R"({"op": "list", "device": )" + deep + "}"), "EBADMSG");
  }
  EXPECT_EQ(error(std::string(R"({"op": "create", "size": 4096, "set": {"a": "b"}})")), "EINVAL");
}

class BareOperations : public Operations {
 public:
  [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override { return {device_}; }
  const std::shared_ptr<Device> device_ = std::make_shared<Device>(0);
};

TEST(BareServer, SaysWhatItDoesNotOffer) {
  BareOperations operations;
  for (const char* line :
       {R"({"op": "create", "size": 4096})", R"({"op": "remove", "device": "zram0"})",
        R"({"op": "swap_on", "device": "zram0"})"}) {
    const Json answer = Json::parse(answer_request(operations, line));
    EXPECT_EQ(answer["error"]["name"], "EOPNOTSUPP") << line;
    EXPECT_THAT(answer["error"]["text"].get<std::string>(), HasSubstr("uzram serve"));
  }
}

}  // namespace
}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
// Any bytes as lines of the control socket: every answer is one line of JSON in the documented
// shape.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "control/operations.h"
#include "control/request.h"
#include "device/device_set.h"

namespace uzram {
namespace {

class FuzzOperations : public Operations {
 public:
  [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override {
    return devices_.all();
  }
  InputResult<std::shared_ptr<Device>> create() override {
    if (devices_.all().size() >= 4) return refuse(ENOMEM, "enough");
    return devices_.find(devices_.add());
  }
  InputResult<void> remove(int id) override {
    if (devices_.remove(id)) return {};
    return refuse(ENODEV, "no such device");
  }

 private:
  DeviceSet devices_;
};

// Reserving memory, reading files, and writing to them, at the input's choice would test this
// machine at best. An escape could spell these words in another way.
bool is_harmless(std::string_view line) {
  for (const std::string_view word : {"reserve", "dict", "backing", "\\u"}) {
    if (line.find(word) != std::string_view::npos) return false;
  }
  return true;
}

void check_answer(const std::string& text) {
  UZ_CHECK(text.find('\n') == std::string::npos);
  const nlohmann::json answer = nlohmann::json::parse(text, nullptr, false);
  UZ_CHECK(answer.is_object());
  const bool is_ok = answer.at("ok").get<bool>();
  UZ_CHECK(is_ok == answer.contains("result"));
  UZ_CHECK(is_ok != answer.contains("error"));
  UZ_CHECK(is_ok || answer.at("error").at("code").get<int>() > 0);
}

}  // namespace
}  // namespace uzram

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  uzram::FuzzOperations operations;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (int lines = 0; lines < 32; ++lines) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (uzram::is_harmless(line)) uzram::check_answer(uzram::answer_request(operations, line));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return 0;
}

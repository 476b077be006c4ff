// SPDX-License-Identifier: Apache-2.0
// Any bytes as a sequence of attribute writes, with data in between; after each the laws hold.
//
// Shapes: commands of one byte (an attribute's row, or one of the data commands); for an attribute
//         one byte of length and that many bytes of text. Whatever is written to backing_dev, it
//         becomes a file of our own.
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "control/attribute_table.h"
#include "device/device.h"

namespace uzram {
namespace {

constexpr std::uint64_t kMostDiskBytes = 1ULL << 40;

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : text_(reinterpret_cast<const char*>(data), size) {}
  [[nodiscard]] bool is_empty() const { return text_.empty(); }
  std::uint8_t byte() { return static_cast<std::uint8_t>(take(1)[0]); }
  std::string_view take(std::size_t most) {
    const std::string_view taken = text_.substr(0, most);
    text_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view text_;
};

// What pages are written back to; its content goes, so the input must not name it.
class BackingFile {
 public:
  BackingFile() {
    const int descriptor = ::mkstemp(path_.data());
    UZ_CHECK(descriptor >= 0);
    UZ_CHECK(::ftruncate(descriptor, off_t{1} << 20) == 0);
    ::close(descriptor);
  }
  BackingFile(const BackingFile&) = delete;
  BackingFile& operator=(const BackingFile&) = delete;
  ~BackingFile() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = std::filesystem::temp_directory_path() / "uzram-attribute-fuzz-XXXXXX";
};

void touch_data(Device& device, std::uint8_t seed) {
  if (!device.is_initialised()) return;
  std::vector<std::byte> page(kPageBytes);
  for (std::size_t i = 0; i < page.size(); ++i) {
    page[i] = static_cast<std::byte>((i * seed) >> (seed % 7));
  }
  const std::uint64_t offset = seed % (device.disksize() / kPageBytes) * kPageBytes;
  if (!device.write(offset, page)) return;  // A limit may forbid it.
  std::vector<std::byte> out(kPageBytes);
  UZ_CHECK(device.read(offset, out).has_value());
  UZ_CHECK(out == page);
}

void store_text(Device& device, const Attribute& attribute, std::string_view text) {
  const std::string before = device.is_initialised() ? *show_attribute(device, "disksize") : "";
  // A dictionary's path would let the input choose what this process reads.
  if (text.find("dict") != std::string_view::npos) return;
  static const BackingFile backing;
  const bool is_backing = attribute.name == "backing_dev";
  const InputResult<void> outcome = attribute.store(device, is_backing ? backing.path() : text);
  if (outcome) {
    if (device.disksize() > kMostDiskBytes) UZ_CHECK(device.reset().has_value());
    return;
  }
  UZ_CHECK(outcome.error().code > 0);
  UZ_CHECK(outcome.error().text.find('\n') == std::string::npos);
  UZ_CHECK(before.empty() || before == *show_attribute(device, "disksize"));
}

void show_text(const Device& device, const Attribute& attribute) {
  if (attribute.show != nullptr) {
    const std::string text = *attribute.show(device);
    UZ_CHECK(text.empty() || text.ends_with('\n'));
  }
  if (attribute.list == nullptr) return;
  constexpr std::size_t kMostLines = 100;
  const InputResult<TextPart> part = attribute.list(device, {0}, kMostLines);
  UZ_CHECK(part.has_value() == device.is_initialised());
  if (part) UZ_CHECK(part->text.size() % attribute.line_bytes == 0);
}

void run(Input input) {
  Device device(0);
  const auto attributes = device_attributes();
  for (int commands = 0; !input.is_empty() && commands < 64; ++commands) {
    const std::uint8_t command = input.byte();
    const std::size_t row = command % (attributes.size() + 2);
    if (row >= attributes.size()) {
      touch_data(device, command);
      continue;
    }
    const Attribute& attribute = attributes[row];
    const std::size_t text_bytes = input.is_empty() ? 0 : input.byte();
    const std::string_view text = input.take(text_bytes);
    if (attribute.store != nullptr && attribute.name != "mem_reserve") {
      store_text(device, attribute, text);
    }
    show_text(device, attribute);
    device.check_invariants();
  }
}

}  // namespace
}  // namespace uzram

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  uzram::run(uzram::Input(data, size));
  return 0;
}

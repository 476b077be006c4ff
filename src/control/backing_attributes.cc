// SPDX-License-Identifier: Apache-2.0
#include "control/backing_attributes.h"

#include <fmt/format.h>

#include <limits>

#include "control/kernel_text.h"
#include "control/path_words.h"
#include "device/device.h"

namespace uzram {

namespace {

constexpr std::string_view kWritebackExample =
    "write type=idle, type=huge, type=huge_idle or type=incompressible, page_index=7 or "
    "page_indexes=0-99";

std::string without_newline(std::string_view text) {
  std::string word(until_nul(text));
  if (!word.empty() && word.back() == '\n') word.pop_back();
  return word;
}

// --- writeback ---------------------------------------------------------------------------------

std::optional<PageType> type_named(std::string_view name) {
  if (name == "idle") return PageType::Idle;
  if (name == "huge") return PageType::Huge;
  if (name == "huge_idle") return PageType::HugeIdle;
  if (name == "incompressible") return PageType::Incompressible;
  return std::nullopt;
}

InputResult<std::uint64_t> read_page_index(std::string_view value) {
  const Result<std::uint64_t> number = parse_unsigned_any_base(value);
  if (number) return *number;
  return refuse(number.error().code, fmt::format("writeback: {} is not a page's number; {}",
                                                 quote(value), kWritebackExample));
}

InputResult<PageRange> read_page_range(const KeyValue& word) {
  std::string_view low = word.value;
  std::string_view high = word.value;
  if (word.key == "page_indexes") {
    const std::size_t dash = word.value.find('-');
    if (dash == std::string_view::npos) {
      return refuse(EINVAL,
                    fmt::format("writeback: page_indexes={} has no '-'; write a first and a "
                                "last page, like page_indexes=0-99",
                                quote(word.value)));
    }
    low = word.value.substr(0, dash);
    high = word.value.substr(dash + 1);
  }
  const InputResult<std::uint64_t> first = read_page_index(low);
  if (!first) return tl::unexpected<InputError>(first.error());
  const InputResult<std::uint64_t> last = read_page_index(high);
  if (!last) return tl::unexpected<InputError>(last.error());
  return PageRange{{*first}, {*last}};
}

InputResult<void> finish(const Device& device, const Result<WritebackOutcome>& outcome) {
  if (outcome) return {};
  const int code = outcome.error().code;
  switch (code) {
    case EINVAL:
      return refuse(code, "writeback: the device has no disksize yet; write disksize first");
    case ENODEV:
      return refuse(code,
                    "writeback: there is no backing store; write backing_dev before disksize");
    case ERANGE:
      return refuse(code, fmt::format("writeback: the pages of this device are 0 to {}, first one "
                                      "first",
                                      device.disksize() / kPageBytes - 1));
    case ENOSPC:
      return refuse(code,
                    "writeback: the backing store is full; what did not fit is in memory still");
    default:
      break;
  }
  if (code == EIO && device.is_writeback_limit_enabled() && device.writeback_limit() == 0) {
    return refuse(code,
                  "writeback: the limit is used up; write more blocks to writeback_limit, or 0 "
                  "to writeback_limit_enable");
  }
  return refuse(code, fmt::format("writeback: the backing store failed ({}); what could not be "
                                  "written is in memory still",
                                  errno_name(code)));
}

}  // namespace

InputResult<void> store_writeback(Device& device, std::string_view text) {
  if (!device.is_initialised()) return finish(device, fail(EINVAL));
  if (device.backing().empty()) return finish(device, fail(ENODEV));
  std::optional<PageRange> last_range;
  bool is_empty = true;
  for (const KeyValue& word : split_key_values(text)) {
    is_empty = false;
    const bool is_range = word.key == "page_index" || word.key == "page_indexes";
    if (is_range) {
      const InputResult<PageRange> range = read_page_range(word);
      if (!range) return tl::unexpected<InputError>(range.error());
      last_range = *range;
      WritebackRequest request;
      request.ranges = {*range};
      InputResult<void> done = finish(device, device.write_back(request));
      if (!done) return done;
      continue;
    }
    // The old way: a bare word. Both end the list, as in the kernel.
    const std::string_view name = word.key == "type" ? word.value : word.key;
    const std::optional<PageType> type = type_named(name);
    if (!type || (word.key != "type" && !word.value.empty())) {
      return refuse(EINVAL, fmt::format("writeback: {} is not known; {}", quote(word.key),
                                        kWritebackExample));
    }
    WritebackRequest request;
    request.pages.type = *type;
    if (last_range) request.ranges = {*last_range};
    return finish(device, device.write_back(request));
  }
  if (!is_empty) return {};
  return refuse(EINVAL, fmt::format("writeback: nothing is said; {}", kWritebackExample));
}

// --- the store ---------------------------------------------------------------------------------

// The claim of a block device does not say who has it.
std::string in_use_text(const std::string& where) {
  const std::string user = find_backing_user(where);
  return fmt::format("backing_dev: {} is {}; name a store that nothing else uses", quote(where),
                     user.empty() ? "mounted or in use by another program" : user);
}

InputResult<std::string> show_backing_dev(const Device& device) {
  const std::string where = device.backing();
  return (where.empty() ? "none" : where) + "\n";
}

InputResult<void> store_backing_dev(Device& device, std::string_view text) {
  const std::string where = without_newline(text);
  if (!is_backing_server(where)) {
    InputResult<void> absolute = check_absolute("backing_dev", where);
    if (!absolute) return absolute;
  }
  const Result<void> opened = device.set_backing(where);
  if (opened) return {};
  const int code = opened.error().code;
  switch (code) {
    case EBUSY:
      return refuse(code, device.is_initialised()
                              ? "backing_dev: the device has its disksize already; reset it first"
                              : in_use_text(where));
    case ENOTBLK:
      return refuse(code, fmt::format("backing_dev: {} is neither a block device nor a file; name "
                                      "one, or an NBD server like nbd+unix:///?socket=PATH",
                                      quote(where)));
    case EINVAL:
      return refuse(code, fmt::format("backing_dev: {} holds less than a page of {} bytes",
                                      quote(where), kPageBytes));
    default:
      return refuse(code, fmt::format("backing_dev: {} cannot be opened ({})", quote(where),
                                      errno_name(code)));
  }
}

// --- limits ------------------------------------------------------------------------------------

InputResult<std::string> show_writeback_limit(const Device& device) {
  return fmt::format("{}\n", device.writeback_limit());
}

InputResult<void> store_writeback_limit(Device& device, std::string_view text) {
  const Result<std::uint64_t> blocks = parse_unsigned_any_base(text);
  if (!blocks) {
    return refuse(EINVAL,
                  fmt::format("writeback_limit: {} is not a number; write how many blocks of "
                              "4096 bytes may be written",
                              quote(text)));
  }
  device.set_writeback_limit(*blocks);
  return {};
}

InputResult<std::string> show_writeback_limit_enable(const Device& device) {
  return device.is_writeback_limit_enabled() ? "1\n" : "0\n";
}

InputResult<void> store_writeback_limit_enable(Device& device, std::string_view text) {
  const Result<std::uint64_t> value = parse_unsigned_any_base(text);
  if (!value) {
    return refuse(EINVAL, fmt::format("writeback_limit_enable: {} is not a number; write 1 or 0",
                                      quote(text)));
  }
  device.set_writeback_limit_enabled(*value != 0);
  return {};
}

InputResult<std::string> show_writeback_batch_size(const Device& device) {
  return fmt::format("{}\n", device.writeback_batch_size());
}

InputResult<void> store_writeback_batch_size(Device& device, std::string_view text) {
  const Result<std::uint64_t> value = parse_unsigned_any_base(text);
  if (!value || *value == 0 || *value > std::numeric_limits<std::uint32_t>::max()) {
    return refuse(EINVAL, fmt::format("writeback_batch_size: {} is not a number above 0; write how "
                                      "many requests may be in flight",
                                      quote(text)));
  }
  device.set_writeback_batch_size(static_cast<std::uint32_t>(*value));
  return {};
}

}  // namespace uzram

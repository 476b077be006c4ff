// SPDX-License-Identifier: Apache-2.0
#include "control/attribute_table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <limits>

#include "control/algorithm_attributes.h"
#include "control/background_attributes.h"
#include "control/backing_attributes.h"
#include "control/block_state.h"
#include "control/classes_text.h"
#include "control/kernel_text.h"
#include "control/memory_attributes.h"
#include "control/policy_attribute.h"
#include "control/stat_text.h"
#include "device/device.h"
#include "device/device_set.h"

namespace uzram {

namespace {

// --- life --------------------------------------------------------------------------------------

InputResult<std::string> show_disksize(const Device& device) {
  return fmt::format("{}\n", device.disksize());
}

InputResult<void> store_disksize(Device& device, std::string_view text) {
  const std::uint64_t bytes = parse_memory_size(text).bytes;
  if (bytes == 0) {
    return refuse(EINVAL,
                  fmt::format("disksize: {} is not a size above 0; {}", quote(text), kSizeExample));
  }
  if (bytes > std::numeric_limits<std::uint64_t>::max() - (kPageBytes - 1)) {
    return refuse(ENOMEM, fmt::format("disksize: {} is more than any machine has", quote(text)));
  }
  const Result<void> outcome = device.set_disksize(bytes);
  if (outcome) return {};
  switch (outcome.error().code) {
    case EBUSY:
      return refuse(EBUSY, "disksize: it is set already; write 1 to reset first");
    case ENOMEM:
      return refuse(ENOMEM,
                    fmt::format("disksize: no memory for a table of {} bytes of disk", bytes));
    case EINVAL:
      return refuse(EINVAL,
                    fmt::format("disksize: {} does not take what algorithm_params says (level, "
                                "dict or deflate.winbits)",
                                device.algorithm().name));
    default:
      return refuse(outcome.error().code,
                    fmt::format("disksize: the disk could not be attached ({})",
                                errno_name(outcome.error().code)));
  }
}

InputResult<void> store_disksize_grow(Device& device, std::string_view text) {
  const std::uint64_t bytes = parse_memory_size(text).bytes;
  if (!device.is_initialised()) {
    return refuse(EINVAL, "disksize_grow: the device has no disksize yet; write disksize first");
  }
  if (bytes < device.disksize()) {
    return refuse(EINVAL, fmt::format("disksize_grow: {} is not a size of {} or more, as the disk "
                                      "is now; a disk only grows",
                                      quote(text), device.disksize()));
  }
  const Result<void> outcome = device.grow(bytes);
  if (outcome) return {};
  switch (outcome.error().code) {
    case EFBIG:
      return refuse(EFBIG, fmt::format("disksize_grow: {} is more than this disk can grow to, four "
                                       "times its first size",
                                       quote(text)));
    case EOPNOTSUPP:
      return refuse(EOPNOTSUPP,
                    "disksize_grow: clients of an NBD server are told the size once, so it stays");
    default:
      return refuse(outcome.error().code,
                    fmt::format("disksize_grow: the disk could not follow ({}); its size is as "
                                "before",
                                errno_name(outcome.error().code)));
  }
}

InputResult<std::string> show_initstate(const Device& device) {
  return device.is_initialised() ? "1\n" : "0\n";
}

InputResult<void> store_reset(Device& device, std::string_view text) {
  const Result<std::uint64_t> value =
      parse_unsigned(text, std::numeric_limits<std::uint16_t>::max());
  if (!value || *value == 0) {
    return refuse(value ? EINVAL : value.error().code,
                  fmt::format("reset: {} is not a number from 1 to 65535; write 1", quote(text)));
  }
  const Result<void> outcome = device.reset();
  if (outcome) return {};
  if (outcome.error().code == EBUSY) {
    return refuse(EBUSY, "reset: the disk is in use; unmount it or switch its swap off first");
  }
  return refuse(outcome.error().code, fmt::format("reset: the disk could not be detached ({})",
                                                  errno_name(outcome.error().code)));
}

// --- switches that only a device without disksize takes ----------------------------------------

template <bool (Device::*is_on)() const>
InputResult<std::string> show_switch(const Device& device) {
  return (device.*is_on)() ? "1\n" : "0\n";
}

InputResult<void> store_switch(std::string_view name, std::string_view text, Result<bool> is_on,
                               Device& device, Result<void> (Device::*set)(bool)) {
  if (!is_on) {
    return refuse(EINVAL,
                  fmt::format("{}: {} is neither on nor off; write 1 or 0", name, quote(text)));
  }
  if ((device.*set)(*is_on)) return {};
  return refuse(EBUSY,
                fmt::format("{}: the device has its disksize already; reset it first", name));
}

InputResult<void> store_page_checks(Device& device, std::string_view text) {
  return store_switch("page_checks", text, parse_bool(text), device, &Device::set_page_checks);
}

InputResult<void> store_access_tracking(Device& device, std::string_view text) {
  return store_switch("access_tracking", text, parse_bool(text), device,
                      &Device::set_access_tracking);
}

// The kernels that have it take a number here, and no other than 0 and 1.
InputResult<void> store_use_dedup(Device& device, std::string_view text) {
  const Result<int> number = parse_int(text);
  const bool is_switch = number && (*number == 0 || *number == 1);
  const Result<bool> is_on = is_switch ? Result<bool>(*number == 1) : fail(EINVAL);
  return store_switch("use_dedup", text, is_on, device, &Device::set_dedup);
}

InputResult<void> store_compressed_writeback(Device& device, std::string_view text) {
  return store_switch("compressed_writeback", text, parse_bool(text), device,
                      &Device::set_compressed_writeback);
}

InputResult<void> store_backing_encryption(Device& device, std::string_view text) {
  return store_switch("backing_encryption", text, parse_bool(text), device,
                      &Device::set_backing_encryption);
}

// --- statistics --------------------------------------------------------------------------------

template <std::string (*format)(const DeviceStats&)>
InputResult<std::string> show_stats(const Device& device) {
  return format(device.stats());
}

InputResult<std::string> show_mm_stat(const Device& device) {
  return format_mm_stat(device.stats(), device.uses_dedup());
}

// Every processor has its own streams, so the number is theirs and a write changes nothing.
InputResult<std::string> show_max_comp_streams(const Device&) {
  return fmt::format("{}\n", ::sysconf(_SC_NPROCESSORS_ONLN));
}

InputResult<void> store_max_comp_streams(Device&, std::string_view) { return {}; }

// --- the class ---------------------------------------------------------------------------------

InputResult<std::string> show_hot_add(DeviceSet& devices) {
  return fmt::format("{}\n", devices.add());
}

InputResult<void> store_hot_remove(DeviceSet& devices, std::string_view text) {
  const Result<int> id = parse_int(text);
  if (!id || *id < 0) {
    return refuse(
        id ? EINVAL : id.error().code,
        fmt::format("hot_remove: {} is not a device's number; write 0 for zram0", quote(text)));
  }
  const Result<void> outcome = devices.remove(*id);
  if (outcome) return {};
  switch (outcome.error().code) {
    case ENODEV:
      return refuse(ENODEV, fmt::format("hot_remove: there is no zram{}", *id));
    case EBUSY:
      return refuse(EBUSY,
                    fmt::format("hot_remove: zram{} is in use; unmount it or switch its swap off "
                                "first",
                                *id));
    default:
      return refuse(outcome.error().code,
                    fmt::format("hot_remove: zram{} could not be detached ({})", *id,
                                errno_name(outcome.error().code)));
  }
}

// --- the tables --------------------------------------------------------------------------------

constexpr unsigned kReadOnly = 0444;
constexpr unsigned kWriteOnly = 0200;
constexpr unsigned kReadWrite = 0644;
constexpr unsigned kRootOnly = 0400;

constexpr std::array kDeviceAttributes{
    Attribute{"disksize", kReadWrite,
              "size of the disk in bytes; writing it brings the device to life", show_disksize,
              store_disksize, true},
    Attribute{"disksize_grow", kWriteOnly,
              "a larger size for a disk that is in use (not in the kernel)", nullptr,
              store_disksize_grow, true},
    Attribute{"initstate", kReadOnly, "1 when the device has its disksize, otherwise 0",
              show_initstate, nullptr},
    Attribute{"reset", kWriteOnly, "any number above 0 drops all pages and all settings", nullptr,
              store_reset},
    Attribute{"mem_limit", kWriteOnly, "most pool memory that the device may use; 0 for no limit",
              nullptr, store_mem_limit, true},
    Attribute{"mem_used_max", kWriteOnly, "0 starts the maximum of used memory at what is used now",
              nullptr, store_mem_used_max},
    Attribute{"comp_algorithm", kReadWrite, "the compression algorithm, the chosen one in brackets",
              show_comp_algorithm, store_comp_algorithm},
    Attribute{"algorithm_params", kWriteOnly,
              "priority=N algo=NAME level=N dict=PATH deflate.winbits=N, before disksize", nullptr,
              store_algorithm_params},
    Attribute{"recomp_algorithm", kReadWrite,
              "algo=NAME priority=1..3 for recompress, before disksize; a line for each priority",
              show_recomp_algorithm, store_recomp_algorithm},
    Attribute{
        "backing_dev", kReadWrite,
        "where cold pages are written back to, before disksize: a block device, a file, or an "
        "NBD server",
        show_backing_dev, store_backing_dev},
    Attribute{
        "writeback", kWriteOnly,
        "type=idle|huge|huge_idle|incompressible, page_index=N or page_indexes=N-N writes such "
        "pages to the backing store",
        nullptr, store_writeback},
    Attribute{"writeback_limit", kReadWrite, "how many blocks of 4 KiB may still be written back",
              show_writeback_limit, store_writeback_limit},
    Attribute{"writeback_limit_enable", kReadWrite, "1 when writeback_limit counts",
              show_writeback_limit_enable, store_writeback_limit_enable},
    Attribute{"writeback_batch_size", kReadWrite, "most requests of a writeback that are in flight",
              show_writeback_batch_size, store_writeback_batch_size},
    Attribute{"compressed_writeback", kReadWrite,
              "1 when pages stay packed on the backing store, before disksize",
              show_switch<&Device::has_compressed_writeback>, store_compressed_writeback},
    Attribute{"backing_encryption", kReadWrite,
              "1 when the backing store is encrypted, before disksize (not in the kernel)",
              show_switch<&Device::encrypts_backing>, store_backing_encryption},
    Attribute{"bd_stat", kReadOnly, "bd_count bd_reads bd_writes, in blocks of 4 KiB",
              show_stats<format_bd_stat>, nullptr},
    Attribute{"use_dedup", kReadWrite,
              "1 when pages with the same content share it, before disksize (vendor kernels)",
              show_switch<&Device::uses_dedup>, store_use_dedup},
    Attribute{"dedup_enable", kReadWrite, "the same as use_dedup, as other vendor kernels name it",
              show_switch<&Device::uses_dedup>, store_use_dedup},
    Attribute{"compact", kWriteOnly, "anything packs the pool and gives free memory back", nullptr,
              store_compact},
    Attribute{"idle", kWriteOnly, "all, or seconds without access: marks these pages idle", nullptr,
              store_idle},
    Attribute{"recompress", kWriteOnly,
              "type=idle|huge|huge_idle threshold=BYTES max_pages=N algo=NAME priority=N; or "
              "cluster=N level=N",
              nullptr, store_recompress},
    Attribute{"policy", kReadWrite,
              "off, on, or on and settings: what the device does by itself (not in the kernel)",
              show_policy, store_policy},
    Attribute{"policy_explain", kReadOnly,
              "what the policy would do next, and why (not in the kernel)", show_policy_explain,
              nullptr},
    Attribute{"mm_stat", kReadOnly,
              "orig_data_size compr_data_size mem_used_total mem_limit mem_used_max same_pages "
              "pages_compacted huge_pages huge_pages_since dup_data_size meta_data_size",
              show_mm_stat, nullptr},
    Attribute{"io_stat", kReadOnly, "failed_reads failed_writes invalid_io notify_free",
              show_stats<format_io_stat>, nullptr},
    Attribute{"debug_stat", kReadOnly, "version, then waits of writers and missed frees",
              show_stats<format_debug_stat>, nullptr},
    Attribute{"max_comp_streams", kReadWrite,
              "processors that compress at once; writing changes nothing", show_max_comp_streams,
              store_max_comp_streams},
    Attribute{"stat", kReadOnly, "requests, sectors and times, in the block layer's columns",
              show_stats<format_block_stat>, nullptr},
    Attribute{"total_stat", kReadOnly,
              "what the device costs, part by part and in all (not in the kernel)",
              show_stats<format_total_stat>, nullptr},
    Attribute{"mem_reserve", kReadWrite,
              "pool memory touched ahead of need, for swap; 0 gives it back (not in the kernel)",
              show_mem_reserve, store_mem_reserve, true},
    Attribute{"page_checks", kReadWrite,
              "1 when packed pages carry a check, before disksize (not in the kernel)",
              show_switch<&Device::has_page_checks>, store_page_checks},
    Attribute{"access_tracking", kReadWrite,
              "0 when the time of each page's last access is not kept, before disksize (not in "
              "the kernel)",
              show_switch<&Device::tracks_access>, store_access_tracking},
    Attribute{"block_state", kRootOnly,
              "a line for each stored page: number, last access, flags s w h i r n", nullptr,
              nullptr, false, list_block_state, kBlockStateLineBytes, "zram"},
    Attribute{"classes", kReadOnly, "how full the pool's size classes are, as zsmalloc shows it",
              show_classes, nullptr, false, nullptr, 0, "zsmalloc"},
};

constexpr std::array kClassAttributes{
    ClassAttribute{"hot_add", 0400, "reading it adds a device and answers its number", show_hot_add,
                   nullptr},
    ClassAttribute{"hot_remove", kWriteOnly, "a device's number removes that device", nullptr,
                   store_hot_remove},
};

template <typename Table>
constexpr bool has_unique_names(const Table& table) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    for (std::size_t j = i + 1; j < table.size(); ++j) {
      if (table[i].name == table[j].name) return false;
    }
  }
  return true;
}
static_assert(has_unique_names(kDeviceAttributes));
static_assert(has_unique_names(kClassAttributes));

template <typename Table>
auto find_row(const Table& table, std::string_view name) -> decltype(table.data()) {
  for (const auto& row : table) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

tl::unexpected<InputError> refuse_unknown(std::string_view name) {
  std::string names;
  for (const Attribute& attribute : kDeviceAttributes) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", attribute.name);
  }
  return refuse(ENOENT, fmt::format("{} is not an attribute; there are {}", quote(name), names));
}

}  // namespace

std::span<const Attribute> device_attributes() { return kDeviceAttributes; }
std::span<const ClassAttribute> class_attributes() { return kClassAttributes; }

const Attribute* find_attribute(std::string_view name) { return find_row(kDeviceAttributes, name); }

const ClassAttribute* find_class_attribute(std::string_view name) {
  return find_row(kClassAttributes, name);
}

InputResult<std::string> show_attribute(const Device& device, std::string_view name) {
  const Attribute* attribute = find_attribute(name);
  if (attribute == nullptr) return refuse_unknown(name);
  if (attribute->list != nullptr) {
    return refuse(EFBIG, fmt::format("{} is long; read it in parts, from a page on", name));
  }
  if (attribute->show == nullptr) {
    return refuse(EACCES, fmt::format("{} can only be set, not read", name));
  }
  return attribute->show(device);
}

InputResult<void> store_attribute(Device& device, std::string_view name, std::string_view text) {
  const Attribute* attribute = find_attribute(name);
  if (attribute == nullptr) return refuse_unknown(name);
  if (attribute->store == nullptr) {
    return refuse(EACCES, fmt::format("{} can only be read, not set", name));
  }
  return attribute->store(device, text);
}

}  // namespace uzram

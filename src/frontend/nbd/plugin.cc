// SPDX-License-Identifier: Apache-2.0
// nbdkit's callbacks over one device. Sockets, TLS, the protocol and its threads are nbdkit's; what
// is stored is the device's. Every connection sees the same device, so a write that one has been
// told of is seen by all (multi-conn), and no request waits for another (parallel).
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/printable_text.h"
#include "control/algorithm_attributes.h"
#include "frontend/nbd/plugin_settings.h"
#include "frontend/nbd/served_device.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

namespace uzram {
namespace {

// From load to unload. Settings are complete before the first thread starts, the device before the
// first client comes.
struct Plugin {
  PluginSettings settings;
  ServedDevice served;
};
constinit Plugin* plugin_state = nullptr;

Device& device() { return plugin_state->served.device(); }

// --- life: one line for whatever is wrong, while it can still be seen --------------------------

int report(const InputResult<void>& outcome) {
  if (outcome) return 0;
  nbdkit_error("%s", printable(outcome.error().text).c_str());
  return -1;
}

void load() { plugin_state = new Plugin; }

void unload() {
  delete plugin_state;
  plugin_state = nullptr;
}

// The server changes to / before it serves, so paths are made absolute here.
InputResult<std::string> absolute_path(const char* path) {
  char* absolute = nbdkit_absolute_path(path);
  if (absolute == nullptr) return refuse(EINVAL, fmt::format("{}: not a path", quote(path)));
  std::string result(absolute);
  std::free(absolute);
  return result;
}

int config(const char* key, const char* value) {
  const std::string_view name(key);
  const bool is_path = (name == "dict" || name == "control") && *value != '\0';
  if (!is_path) return report(take_key(plugin_state->settings, name, value));
  const InputResult<std::string> path = absolute_path(value);
  if (!path) return report(tl::unexpected<InputError>(path.error()));
  return report(take_key(plugin_state->settings, name, *path));
}

int config_complete() {
  if (plugin_state->settings.disk_bytes) return 0;
  nbdkit_error("size is missing: say how large the disk is, like nbdkit uzram size=1G");
  return -1;
}

int get_ready() { return report(plugin_state->served.prepare(plugin_state->settings)); }

int after_fork() { return report(plugin_state->served.start(plugin_state->settings)); }

void cleanup() { plugin_state->served.stop(); }

// Extra lines of `nbdkit uzram --dump-plugin`, for scripts that ask what this build can do.
void dump_plugin() { fmt::print("uzram_algorithms={}\n", algorithm_names()); }

// --- what a client is told --------------------------------------------------------------------

void* open_connection(int /*readonly*/) { return NBDKIT_HANDLE_NOT_NEEDED; }

std::int64_t get_size(void*) { return static_cast<std::int64_t>(device().disksize()); }

int yes(void*) { return 1; }

int can_fua(void*) { return NBDKIT_FUA_NATIVE; }

int can_cache(void*) { return NBDKIT_CACHE_NATIVE; }

// Any byte range is served; anything but whole pages costs a read and a write of the pages at its
// ends.
int block_size(void*, std::uint32_t* minimum, std::uint32_t* preferred, std::uint32_t* maximum) {
  constexpr std::uint32_t kMostRequestBytes = 32U << 20;
  *minimum = 1;
  *preferred = static_cast<std::uint32_t>(kPageBytes);
  *maximum = kMostRequestBytes;
  return 0;
}

// --- requests ----------------------------------------------------------------------------------

const char* words_for(int code) {
  switch (code) {
    case ENOSPC:
      return "mem_limit does not allow more packed bytes; raise it or trim";
    case ENOMEM:
      return "no memory for more packed bytes";
    case EIO:
      return "a page's check failed, or the backing store did; what it held cannot be read";
    default:
      return std::strerror(code);
  }
}

int finish(const char* request, std::uint64_t offset, const Result<void>& outcome) {
  if (outcome) return 0;
  const int code = outcome.error().code;
  nbdkit_error("%s at byte %llu: %s", request, static_cast<unsigned long long>(offset),
               words_for(code));
  nbdkit_set_error(code);
  return -1;
}

int read_bytes(void*, void* buffer, std::uint32_t count, std::uint64_t offset, std::uint32_t) {
  return finish("read", offset,
                device().read(offset, MutableBytes(static_cast<std::byte*>(buffer), count)));
}

// FUA asks for nothing here and below: an acknowledged write is already where it lives.
int write_bytes(void*, const void* buffer, std::uint32_t count, std::uint64_t offset,
                std::uint32_t) {
  return finish("write", offset,
                device().write(offset, ConstBytes(static_cast<const std::byte*>(buffer), count)));
}

int flush(void*, std::uint32_t) { return finish("flush", 0, device().flush()); }

int trim(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t) {
  return finish("trim", offset, device().discard(offset, count));
}

// Zeros are never stored, so each zeroing is fast, and whether the client allows a hole makes no
// difference.
int zero(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t) {
  return finish("zero", offset, device().write_zeroes(offset, count));
}

// All that there is to read is in memory already.
int cache(void*, std::uint32_t, std::uint64_t, std::uint32_t) { return 0; }

int extents(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
            nbdkit_extents* list) {
  // A client must not make the server collect without end; it asks again from where the answer
  // stops.
  constexpr int kMostExtents = 64 * 1024;
  const std::uint64_t end = offset + count;
  for (int i = 0; i < kMostExtents && offset < end; ++i) {
    const Result<Extent> extent = device().extent_at(offset, end - offset);
    if (!extent) return finish("block status", offset, tl::unexpected<Error>(extent.error()));
    std::uint32_t type = 0;
    if (!extent->is_allocated) type |= NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
    if (extent->is_zero) type |= NBDKIT_EXTENT_ZERO;
    const std::uint64_t bytes = std::min(extent->bytes, end - offset);
    if (nbdkit_add_extent(list, offset, bytes, type) == -1) return -1;
    offset += bytes;
    if ((flags & NBDKIT_FLAG_REQ_ONE) != 0) break;
  }
  return 0;
}

constexpr nbdkit_plugin describe_plugin() {
  nbdkit_plugin plugin{};
  plugin.name = "uzram";
  plugin.longname = "uzram compressed RAM disk";
  plugin.version = UZRAM_VERSION;
  plugin.description = "A disk that lives compressed in memory, page by page, as zram's do.";
  plugin.magic_config_key = "size";
  plugin.load = load;
  plugin.unload = unload;
  plugin.config = config;
  plugin.config_complete = config_complete;
  plugin.dump_plugin = dump_plugin;
  plugin.get_ready = get_ready;
  plugin.after_fork = after_fork;
  plugin.cleanup = cleanup;
  plugin.open = open_connection;
  plugin.get_size = get_size;
  plugin.block_size = block_size;
  plugin.can_write = yes;
  plugin.can_flush = yes;
  plugin.can_trim = yes;
  plugin.can_zero = yes;
  plugin.can_fast_zero = yes;
  plugin.can_extents = yes;
  plugin.can_multi_conn = yes;
  plugin.can_fua = can_fua;
  plugin.can_cache = can_cache;
  plugin.pread = read_bytes;
  plugin.pwrite = write_bytes;
  plugin.flush = flush;
  plugin.trim = trim;
  plugin.zero = zero;
  plugin.cache = cache;
  plugin.extents = extents;
  return plugin;
}

constinit nbdkit_plugin plugin = describe_plugin();

}  // namespace
}  // namespace uzram

extern "C" NBDKIT_DLL_PUBLIC struct nbdkit_plugin* plugin_init() {
  uzram::plugin._struct_size = sizeof(uzram::plugin);
  uzram::plugin._api_version = NBDKIT_API_VERSION;
  uzram::plugin._thread_model = THREAD_MODEL;
  uzram::plugin.config_help = uzram::plugin_keys_help();
  return &uzram::plugin;
}

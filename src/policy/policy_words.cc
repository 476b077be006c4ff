// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>

#include "base/units.h"
#include "policy/age_ladder.h"
#include "policy/policy_settings.h"

namespace uzram {

namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr DurationRange kThresholds{kShortestThreshold, kLongestThreshold};
constexpr DurationRange kRounds{seconds(1), hours(1)};
constexpr DurationRange kWaits{seconds(0), hours(24)};
// A round has to have room for the widest cluster.
constexpr NumberRange kPages{32, std::uint64_t{1} << 24};
constexpr NumberRange kPercent{1, 100};
// Its fourfold, the hardest pressure, can still be reached.
constexpr NumberRange kPsi{1, 25};
constexpr NumberRange kShareOfLimit{1, 99};
constexpr NumberRange kRequests{1, std::uint64_t{1} << 32};
constexpr NumberRange kDayBytes{kPageBytes, std::uint64_t{1} << 50};

template <typename To, typename From>
SettingResult<void> put(To& to, const SettingResult<From>& value) {
  if (!value) return tl::unexpected<SettingError>(value.error());
  to = static_cast<To>(*value);
  return {};
}

// `none` is the word for an absent value.
template <typename T, typename From>
SettingResult<void> put_optional(std::optional<T>& to, std::string_view name, std::string_view text,
                                 std::string_view none, const SettingResult<From>& value) {
  if (text == none) {
    to.reset();
    return {};
  }
  if (!value) {
    return refuse_setting(fmt::format("{}, or {}={}", value.error().text, name, none));
  }
  to = static_cast<T>(*value);
  return {};
}

SettingResult<void> put_threshold(std::optional<seconds>& to, std::string_view name,
                                  std::string_view text) {
  return put_optional(to, name, text, "off", read_duration(name, text, kThresholds));
}

SettingResult<void> put_cluster_pages(int& to, std::string_view name, std::string_view text) {
  for (const int pages : {2, 4, 8, 16, 32}) {
    if (text == fmt::format("{}", pages)) {
      to = pages;
      return {};
    }
  }
  return refuse_setting(fmt::format("{}={} is not the size of a cluster; write 2, 4, 8, 16 or 32",
                                    name, quote_word(text)));
}

SettingResult<void> put_level(int& to, std::string_view name, std::string_view text) {
  return put(to, read_number(name, text, {1, 19}));
}

std::string show_threshold(const std::optional<seconds>& after) {
  return after ? duration_text(*after) : "off";
}

template <typename T>
std::string show_number(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "off";
}

SettingResult<void> take_type(PolicySettings& s, std::string_view v) {
  if (v != "idle" && v != "huge_idle") {
    return refuse_setting(fmt::format(
        "writeback_type={} is neither; write writeback_type=idle or writeback_type=huge_idle",
        quote_word(v)));
  }
  s.writeback_type = v == "idle" ? WritebackType::Idle : WritebackType::HugeIdle;
  return {};
}

SettingResult<void> take_day_bytes(PolicySettings& s, std::string_view v) {
  return put_optional(s.bytes_per_day, "bytes_per_day", v, "unlimited",
                      read_bytes("bytes_per_day", v, kDayBytes));
}

using Text = std::string_view;

constexpr std::array<PolicyWord, 24> kWords{
    PolicyWord{"idle_after", "DURATION", "a page that nobody touched for so long is idle",
               [](PolicySettings& s, Text v) {
                 return put(s.idle_after, read_duration("idle_after", v, kThresholds));
               },
               [](const PolicySettings& s) { return duration_text(s.idle_after); }},
    PolicyWord{"recompress_after", "DURATION|off", "single pages to a recompression algorithm",
               [](PolicySettings& s, Text v) {
                 return put_threshold(s.recompress_after, "recompress_after", v);
               },
               [](const PolicySettings& s) { return show_threshold(s.recompress_after); }},
    PolicyWord{"recompress_priority", "1-3", "which one, as in recomp_algorithm",
               [](PolicySettings& s, Text v) {
                 return put(s.recompress_priority, read_number("recompress_priority", v, {1, 3}));
               },
               [](const PolicySettings& s) { return fmt::format("{}", s.recompress_priority); }},
    PolicyWord{
        "cluster_after", "DURATION|off", "neighbours into small clusters",
        [](PolicySettings& s, Text v) { return put_threshold(s.small.after, "cluster_after", v); },
        [](const PolicySettings& s) { return show_threshold(s.small.after); }},
    PolicyWord{"cluster_pages", "2|4|8|16|32", "pages in a small cluster",
               [](PolicySettings& s, Text v) {
                 return put_cluster_pages(s.small.pages, "cluster_pages", v);
               },
               [](const PolicySettings& s) { return fmt::format("{}", s.small.pages); }},
    PolicyWord{
        "cluster_level", "1-19", "its zstd level",
        [](PolicySettings& s, Text v) { return put_level(s.small.level, "cluster_level", v); },
        [](const PolicySettings& s) { return fmt::format("{}", s.small.level); }},
    PolicyWord{
        "large_after", "DURATION|off", "neighbours into large clusters",
        [](PolicySettings& s, Text v) { return put_threshold(s.large.after, "large_after", v); },
        [](const PolicySettings& s) { return show_threshold(s.large.after); }},
    PolicyWord{"large_pages", "2|4|8|16|32", "pages in a large cluster",
               [](PolicySettings& s, Text v) {
                 return put_cluster_pages(s.large.pages, "large_pages", v);
               },
               [](const PolicySettings& s) { return fmt::format("{}", s.large.pages); }},
    PolicyWord{"large_level", "1-19", "its zstd level",
               [](PolicySettings& s, Text v) { return put_level(s.large.level, "large_level", v); },
               [](const PolicySettings& s) { return fmt::format("{}", s.large.level); }},
    PolicyWord{
        "deep_after", "DURATION|off", "neighbours into deep clusters, with idle CPU only",
        [](PolicySettings& s, Text v) { return put_threshold(s.deep.after, "deep_after", v); },
        [](const PolicySettings& s) { return show_threshold(s.deep.after); }},
    PolicyWord{
        "deep_pages", "2|4|8|16|32", "pages in a deep cluster",
        [](PolicySettings& s, Text v) { return put_cluster_pages(s.deep.pages, "deep_pages", v); },
        [](const PolicySettings& s) { return fmt::format("{}", s.deep.pages); }},
    PolicyWord{"deep_level", "1-19", "its zstd level",
               [](PolicySettings& s, Text v) { return put_level(s.deep.level, "deep_level", v); },
               [](const PolicySettings& s) { return fmt::format("{}", s.deep.level); }},
    PolicyWord{"writeback_after", "DURATION|off", "pages to the backing store, where there is one",
               [](PolicySettings& s, Text v) {
                 return put_threshold(s.writeback_after, "writeback_after", v);
               },
               [](const PolicySettings& s) { return show_threshold(s.writeback_after); }},
    PolicyWord{"writeback_type", "idle|huge_idle", "all idle pages, or those that do not compress",
               take_type,
               [](const PolicySettings& s) -> std::string {
                 return s.writeback_type == WritebackType::Idle ? "idle" : "huge_idle";
               }},
    PolicyWord{"writeback_pages", "NUMBER", "most pages that a round writes back",
               [](PolicySettings& s, Text v) {
                 return put(s.writeback_pages, read_number("writeback_pages", v, kPages));
               },
               [](const PolicySettings& s) { return fmt::format("{}", s.writeback_pages); }},
    PolicyWord{"bytes_per_day", "SIZE|unlimited", "most bytes written back in any 24 hours",
               take_day_bytes,
               [](const PolicySettings& s) {
                 return s.bytes_per_day ? bytes_text(*s.bytes_per_day) : "unlimited";
               }},
    PolicyWord{
        "round", "DURATION", "from one round of work to the next",
        [](PolicySettings& s, Text v) { return put(s.round, read_duration("round", v, kRounds)); },
        [](const PolicySettings& s) { return duration_text(s.round); }},
    PolicyWord{"max_pages", "NUMBER", "most pages that a round recompresses and clusters",
               [](PolicySettings& s, Text v) {
                 return put(s.max_pages, read_number("max_pages", v, kPages));
               },
               [](const PolicySettings& s) { return fmt::format("{}", s.max_pages); }},
    PolicyWord{"cpu_percent", "1-100", "share of one core for everything that the policy does",
               [](PolicySettings& s, Text v) {
                 return put(s.cpu_percent, read_number("cpu_percent", v, kPercent));
               },
               [](const PolicySettings& s) { return fmt::format("{}", s.cpu_percent); }},
    PolicyWord{"burst", "NUMBER|off", "more foreground requests a second make it back off",
               [](PolicySettings& s, Text v) {
                 return put_optional(s.burst, "burst", v, "off",
                                     read_number("burst", v, kRequests));
               },
               [](const PolicySettings& s) { return show_number(s.burst); }},
    PolicyWord{"backoff", "DURATION", "how long after a burst",
               [](PolicySettings& s, Text v) {
                 return put(s.backoff, read_duration("backoff", v, kWaits));
               },
               [](const PolicySettings& s) { return duration_text(s.backoff); }},
    PolicyWord{
        "quiet", "DURATION", "so long without a request, and deep clusters may be made",
        [](PolicySettings& s, Text v) { return put(s.quiet, read_duration("quiet", v, kWaits)); },
        [](const PolicySettings& s) { return duration_text(s.quiet); }},
    PolicyWord{"psi_percent", "1-25|off", "time that processes wait for memory: pressure begins",
               [](PolicySettings& s, Text v) {
                 return put_optional(s.psi_percent, "psi_percent", v, "off",
                                     read_number("psi_percent", v, kPsi));
               },
               [](const PolicySettings& s) { return show_number(s.psi_percent); }},
    PolicyWord{"limit_percent", "1-99|off", "share of mem_limit in use: pressure begins",
               [](PolicySettings& s, Text v) {
                 return put_optional(s.limit_percent, "limit_percent", v, "off",
                                     read_number("limit_percent", v, kShareOfLimit));
               },
               [](const PolicySettings& s) { return show_number(s.limit_percent); }},
};

constexpr bool has_unique_keys() {
  for (std::size_t i = 0; i < kWords.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (kWords[i].key == kWords[j].key) return false;
    }
  }
  return true;
}
static_assert(has_unique_keys());

}  // namespace

std::span<const PolicyWord> policy_words() { return kWords; }

}  // namespace uzram

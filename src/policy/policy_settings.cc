// SPDX-License-Identifier: Apache-2.0
#include "policy/policy_settings.h"

#include <fmt/format.h>

#include <array>

namespace uzram {

namespace {

using std::chrono::seconds;

constexpr std::string_view kBlanks = " \t\n\r";

// Cuts the first word off `line`; empty when there is none.
std::string_view next_word(std::string_view& line) {
  const std::size_t start = line.find_first_not_of(kBlanks);
  if (start == std::string_view::npos) return line = {};
  line.remove_prefix(start);
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

std::string key_list() {
  std::string keys;
  for (const PolicyWord& word : policy_words()) {
    keys += keys.empty() ? "" : ", ";
    keys += word.key;
  }
  return keys;
}

SettingResult<void> take_word(PolicySettings& settings, std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string_view key = text.substr(0, equals);
  for (const PolicyWord& word : policy_words()) {
    if (word.key != key) continue;
    if (equals == std::string_view::npos) {
      return refuse_setting(
          fmt::format("{} has no value; write {}={}", key, key, word.show(PolicySettings{})));
    }
    return word.take(settings, text.substr(equals + 1));
  }
  return refuse_setting(
      fmt::format("{} is not a setting of the policy; they are {}", quote_word(key), key_list()));
}

SettingResult<void> check_thresholds(const PolicySettings& s) {
  struct Threshold {
    std::string_view key;
    std::optional<seconds> after;
    std::string_view earlier_key;
    std::optional<seconds> earlier;
  };
  const std::array<Threshold, 7> kOrder{
      Threshold{"recompress_after", s.recompress_after, "idle_after", s.idle_after},
      Threshold{"cluster_after", s.small.after, "idle_after", s.idle_after},
      Threshold{"large_after", s.large.after, "idle_after", s.idle_after},
      Threshold{"large_after", s.large.after, "cluster_after", s.small.after},
      Threshold{"deep_after", s.deep.after, "idle_after", s.idle_after},
      Threshold{"deep_after", s.deep.after,
                s.large.after ? std::string_view("large_after") : "cluster_after",
                s.large.after ? s.large.after : s.small.after},
      Threshold{"writeback_after", s.writeback_after, "idle_after", s.idle_after}};
  for (const Threshold& each : kOrder) {
    if (!each.after || !each.earlier || *each.after >= *each.earlier) continue;
    return refuse_setting(fmt::format("{}={} comes before {}={}; make it {} or more", each.key,
                                      duration_text(*each.after), each.earlier_key,
                                      duration_text(*each.earlier), duration_text(*each.earlier)));
  }
  return {};
}

// Each later kind of cluster is wider, which is also how a page is known to have come so far.
SettingResult<void> check_clusters(const PolicySettings& s) {
  struct Kind {
    std::string_view key;
    const ClusterSettings& cluster;
  };
  const std::array<Kind, 3> kKinds{Kind{"cluster_pages", s.small}, Kind{"large_pages", s.large},
                                   Kind{"deep_pages", s.deep}};
  const Kind* smaller = nullptr;
  for (const Kind& kind : std::span(kKinds)) {
    if (!kind.cluster.after) continue;
    if (smaller != nullptr && kind.cluster.pages <= smaller->cluster.pages) {
      return refuse_setting(fmt::format("{}={} is not more than {}={}; each later cluster is wider",
                                        kind.key, kind.cluster.pages, smaller->key,
                                        smaller->cluster.pages));
    }
    smaller = &kind;
  }
  return {};
}

}  // namespace

SettingResult<PolicySettings> parse_policy(std::string_view line) {
  const std::string_view first = next_word(line);
  if (first != "on" && first != "off") {
    return refuse_setting(
        fmt::format("{} is neither on nor off; write off, or on, or on and settings like "
                    "idle_after=10m",
                    quote_word(first)));
  }
  PolicySettings settings;
  settings.is_on = first == "on";
  for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
    if (!settings.is_on) {
      return refuse_setting(fmt::format("off takes no settings such as {}; write off alone, or on",
                                        quote_word(word)));
    }
    if (SettingResult<void> taken = take_word(settings, word); !taken) {
      return tl::unexpected<SettingError>(taken.error());
    }
  }
  if (SettingResult<void> checked = check_thresholds(settings); !checked) {
    return tl::unexpected<SettingError>(checked.error());
  }
  if (SettingResult<void> checked = check_clusters(settings); !checked) {
    return tl::unexpected<SettingError>(checked.error());
  }
  return settings;
}

std::string policy_text(const PolicySettings& settings) {
  if (!settings.is_on) return "off";
  std::string text = "on";
  for (const PolicyWord& word : policy_words()) {
    text += fmt::format(" {}={}", word.key, word.show(settings));
  }
  return text;
}

}  // namespace uzram

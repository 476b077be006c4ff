// SPDX-License-Identifier: Apache-2.0
#include "control/background_attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "control/algorithm_attributes.h"
#include "control/kernel_text.h"
#include "device/device.h"

namespace uzram {

namespace {

constexpr std::string_view kRecompressExample =
    "write words like type=idle priority=1 threshold=3000 max_pages=1000, or type=idle cluster=16";
constexpr std::string_view kClusterAlgorithm = "zstd";
constexpr std::size_t kLeastClusterPages = 2;

tl::unexpected<InputError> refuse_without_disksize(std::string_view attribute) {
  return refuse(EINVAL,
                fmt::format("{}: the device has no disksize yet; write disksize first", attribute));
}

// --- the words of recompress -------------------------------------------------------------------

struct RecompressWords {
  PageType type = PageType::All;
  std::optional<std::uint64_t> threshold_bytes = std::nullopt;
  std::optional<std::uint64_t> most_pages = std::nullopt;
  std::optional<std::uint64_t> priority = std::nullopt;
  std::optional<std::uint64_t> cluster_pages = std::nullopt;
  std::optional<int> level = std::nullopt;
  std::string_view algorithm = {};
};

InputResult<PageType> read_type(std::string_view value) {
  if (value == "idle") return PageType::Idle;
  if (value == "huge") return PageType::Huge;
  if (value == "huge_idle") return PageType::HugeIdle;
  return refuse(EINVAL, fmt::format("recompress: type={} is not idle, huge or huge_idle; without "
                                    "type it is about every page",
                                    quote(value)));
}

tl::unexpected<InputError> refuse_number(const KeyValue& word, Error error) {
  return refuse(error.code,
                fmt::format("recompress: {}={} is {}; {}", word.key, quote(word.value),
                            error.code == ERANGE ? "too large a number" : "not a number",
                            kRecompressExample));
}

// A key that is unknown is passed over, as in the kernel.
InputResult<void> take_word(const KeyValue& word, RecompressWords& words) {
  if (word.value.empty()) {
    return refuse(EINVAL, fmt::format("recompress: {} has no value; {}", quote(word.key),
                                      kRecompressExample));
  }
  if (word.key == "algo") words.algorithm = word.value;
  if (word.key == "type") {
    const InputResult<PageType> type = read_type(word.value);
    if (!type) return tl::unexpected<InputError>(type.error());
    words.type = *type;
  }
  if (word.key == "level") {
    const Result<int> level = parse_int(word.value);
    if (!level) return refuse_number(word, level.error());
    words.level = *level;
  }
  struct Number {
    std::string_view key;
    std::uint64_t highest;
    std::optional<std::uint64_t> RecompressWords::*value;
  };
  constexpr std::uint64_t kHighest32 = std::numeric_limits<std::uint32_t>::max();
  constexpr std::uint64_t kHighest64 = std::numeric_limits<std::uint64_t>::max();
  for (const Number& number : {Number{"threshold", kHighest32, &RecompressWords::threshold_bytes},
                               Number{"priority", kHighest32, &RecompressWords::priority},
                               Number{"cluster", kHighest32, &RecompressWords::cluster_pages},
                               Number{"max_pages", kHighest64, &RecompressWords::most_pages}}) {
    if (word.key != number.key) continue;
    const Result<std::uint64_t> value = parse_unsigned(word.value, number.highest);
    if (!value) return refuse_number(word, value.error());
    words.*number.value = *value;
  }
  return {};
}

// --- which algorithm is meant ------------------------------------------------------------------

InputResult<const CodecInfo*> algorithm_at(const Device& device, std::uint64_t priority) {
  if (priority < 1 || priority >= kAlgorithmCount) {
    return refuse(EINVAL, fmt::format("recompress: priority={} is not 1, 2 or 3", priority));
  }
  const CodecInfo* codec = device.algorithm_at(static_cast<int>(priority));
  if (codec != nullptr) return codec;
  return refuse(EINVAL, fmt::format("recompress: there is no algorithm at priority {}; write "
                                    "recomp_algorithm before disksize",
                                    priority));
}

// What is named has to be configured, and algo and priority have to agree. With neither of them it
// is priority 1.
InputResult<int> settle_priority(const Device& device, const RecompressWords& words) {
  if (words.priority || words.algorithm.empty()) {
    const std::uint64_t priority = words.priority.value_or(1);
    const InputResult<const CodecInfo*> codec = algorithm_at(device, priority);
    if (!codec) return tl::unexpected<InputError>(codec.error());
    if (words.algorithm.empty() || words.algorithm == (*codec)->name) {
      return static_cast<int>(priority);
    }
    return refuse(EINVAL,
                  fmt::format("recompress: algo={} is not what stands at priority {}, which is {}",
                              quote(words.algorithm), priority, (*codec)->name));
  }
  for (int priority = 1; priority < kAlgorithmCount; ++priority) {
    const CodecInfo* codec = device.algorithm_at(priority);
    if (codec != nullptr && codec->name == words.algorithm) return priority;
  }
  return refuse(EINVAL, fmt::format("recompress: algo={} is not configured for recompression; this "
                                    "device has {}",
                                    quote(words.algorithm), configured_algorithms(device)));
}

// --- the requests ------------------------------------------------------------------------------

InputResult<RecompressRequest> recompress_request(const Device& device,
                                                  const RecompressWords& words) {
  if (words.level) {
    return refuse(EINVAL,
                  "recompress: level goes with cluster; that of a recompression algorithm is set "
                  "by algorithm_params before disksize");
  }
  if (words.threshold_bytes.value_or(0) >= kPageBytes) {
    return refuse(EINVAL, fmt::format("recompress: threshold={} leaves no page; write less than {}",
                                      *words.threshold_bytes, kPageBytes));
  }
  const InputResult<int> priority = settle_priority(device, words);
  if (!priority) return tl::unexpected<InputError>(priority.error());
  RecompressRequest request;
  request.pages.type = words.type;
  request.priority = *priority;
  request.threshold_bytes = words.threshold_bytes.value_or(0);
  request.most_pages = words.most_pages;
  return request;
}

// Clusters are packed with zstd, whatever stands at the device's priorities.
InputResult<void> check_cluster_algorithm(const Device& device, const RecompressWords& words) {
  std::string_view algorithm = words.algorithm;
  if (words.priority) {
    const InputResult<int> priority = settle_priority(device, words);
    if (!priority) return tl::unexpected<InputError>(priority.error());
    algorithm = device.algorithm_at(*priority)->name;
  }
  if (algorithm.empty() || algorithm == kClusterAlgorithm) return {};
  return refuse(EINVAL, fmt::format("recompress: clusters are packed with {}, not with {}",
                                    kClusterAlgorithm, quote(algorithm)));
}

InputResult<ClusterRequest> cluster_request(const Device& device, const RecompressWords& words) {
  if (*words.cluster_pages < kLeastClusterPages || *words.cluster_pages > kMostClusterPages) {
    return refuse(EINVAL, fmt::format("recompress: cluster={} is not a number of pages from {} to "
                                      "{}",
                                      *words.cluster_pages, kLeastClusterPages, kMostClusterPages));
  }
  if (words.threshold_bytes) {
    return refuse(EINVAL, "recompress: threshold does not go with cluster; leave one of them out");
  }
  const InputResult<void> checked = check_cluster_algorithm(device, words);
  if (!checked) return tl::unexpected<InputError>(checked.error());
  ClusterRequest request;
  request.pages.type = words.type;
  request.cluster_pages = *words.cluster_pages;
  request.most_pages = words.most_pages;
  if (!words.level) return request;
  const LevelRange& levels = find_codec(kClusterAlgorithm)->level;
  if (*words.level < levels.lowest || *words.level > levels.highest || *words.level == 0) {
    return refuse(EINVAL,
                  fmt::format("recompress: level={} is not a level of {}; write {} to {}, "
                              "but not 0",
                              *words.level, kClusterAlgorithm, levels.lowest, levels.highest));
  }
  request.level = *words.level;
  return request;
}

InputResult<void> finish(const Result<BackgroundOutcome>& outcome) {
  if (outcome) return {};
  const int code = outcome.error().code;
  if (code == EINVAL) return refuse_without_disksize("recompress");
  return refuse(code, fmt::format("recompress: {} ({}); pages that were done by then stay so",
                                  code == ENOMEM ? "no memory" : "stopped", errno_name(code)));
}

}  // namespace

InputResult<void> store_idle(Device& device, std::string_view text) {
  std::optional<std::chrono::seconds> age;
  if (!is_word(text, "all")) {
    const Result<std::uint64_t> seconds = parse_unsigned_any_base(text);
    if (!seconds) {
      return refuse(EINVAL,
                    fmt::format("idle: {} is neither \"all\" nor a number of seconds; write "
                                "all, or 3600 for what no one has used for an hour",
                                quote(text)));
    }
    using Count = std::chrono::seconds::rep;
    constexpr auto kHighest = static_cast<std::uint64_t>(std::numeric_limits<Count>::max());
    age = std::chrono::seconds(static_cast<Count>(std::min(*seconds, kHighest)));
  }
  if (age && !device.tracks_access()) {
    return refuse(EINVAL,
                  "idle: ages are not known here; write 1 to access_tracking before disksize, or "
                  "write all");
  }
  if (device.mark_idle(age)) return {};
  return refuse_without_disksize("idle");
}

InputResult<void> store_recompress(Device& device, std::string_view text) {
  RecompressWords words;
  for (const KeyValue& word : split_key_values(text)) {
    InputResult<void> taken = take_word(word, words);
    if (!taken) return taken;
  }
  if (!device.is_initialised()) return refuse_without_disksize("recompress");
  if (words.cluster_pages) {
    const InputResult<ClusterRequest> request = cluster_request(device, words);
    if (!request) return tl::unexpected<InputError>(request.error());
    return finish(device.make_clusters(*request));
  }
  const InputResult<RecompressRequest> request = recompress_request(device, words);
  if (!request) return tl::unexpected<InputError>(request.error());
  return finish(device.recompress(*request));
}

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include "control/algorithm_attributes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <limits>
#include <memory>
#include <new>

#include "base/file_descriptor.h"
#include "control/kernel_text.h"
#include "control/path_words.h"
#include "device/device.h"

namespace uzram {

namespace {

constexpr std::size_t kNameBytesEnd = 128;  // The kernel's CRYPTO_MAX_ALG_NAME.
constexpr std::string_view kParamsExample =
    "write words like priority=0 algo=zstd level=3 dict=/path deflate.winbits=12";
constexpr std::string_view kRecompressionExample = "write words like algo=zstd priority=1";

tl::unexpected<InputError> refuse_after_disksize(std::string_view name) {
  return refuse(EBUSY,
                fmt::format("{}: the device has its disksize already; reset it first", name));
}

// The whole of a regular file. Errors: EINVAL not readable, not a regular file, empty; ENOMEM.
Result<std::shared_ptr<const std::string>> read_dictionary(const std::string& path) {
  // Without O_NONBLOCK, opening a FIFO would wait for a writer.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(EINVAL);
  }
  if (status.st_size <= 0 || status.st_size > std::numeric_limits<int>::max()) return fail(EINVAL);
  try {
    auto dictionary = std::make_shared<std::string>(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t filled = 0;
    while (filled < dictionary->size()) {
      const ssize_t got =
          ::read(file.get(), dictionary->data() + filled, dictionary->size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return fail(EINVAL);
      filled += static_cast<std::size_t>(got);
    }
    return dictionary;
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM);
  }
}

struct ParamsRequest {
  int priority = 0;
  std::string_view algorithm;
  std::string_view dictionary_path;
  CodecParams params;
};

InputResult<int> parse_param(const KeyValue& word) {
  const Result<int> value = parse_int(word.value);
  if (value) return *value;
  return refuse(value.error().code, fmt::format("algorithm_params: {}={} is not a number; {}",
                                                word.key, quote(word.value), kParamsExample));
}

// A key that is unknown is passed over, as in the kernel.
InputResult<void> take_word(const KeyValue& word, ParamsRequest& request) {
  if (word.value.empty()) {
    return refuse(EINVAL, fmt::format("algorithm_params: {} has no value; {}", quote(word.key),
                                      kParamsExample));
  }
  if (word.key == "algo") {
    request.algorithm = word.value;
  } else if (word.key == "dict") {
    request.dictionary_path = word.value;
  } else if (word.key == "priority" || word.key == "level" || word.key == "deflate.winbits") {
    const InputResult<int> value = parse_param(word);
    if (!value) return tl::unexpected<InputError>(value.error());
    if (word.key == "priority") request.priority = *value;
    if (word.key == "level") request.params.level = *value;
    if (word.key == "deflate.winbits") request.params.window_bits = *value;
  }
  return {};
}

// An algorithm's name overrides the priority that was given.
InputResult<int> settle_priority(const Device& device, const ParamsRequest& request) {
  if (!request.algorithm.empty()) {
    for (int priority = 0; priority < kAlgorithmCount; ++priority) {
      const CodecInfo* codec = device.algorithm_at(priority);
      if (codec != nullptr && codec->name == request.algorithm) return priority;
    }
    return refuse(EINVAL, fmt::format("algorithm_params: algo={} is not configured here; this "
                                      "device has {}",
                                      quote(request.algorithm), configured_algorithms(device)));
  }
  if (request.priority < 0 || request.priority >= kAlgorithmCount) {
    return refuse(
        EINVAL, fmt::format("algorithm_params: priority={} is not 0, 1, 2 or 3", request.priority));
  }
  return request.priority;
}

InputResult<void> set_params(Device& device, int priority, CodecParams params) {
  const Result<void> outcome = device.set_algorithm_params(priority, std::move(params));
  if (outcome) return {};
  if (outcome.error().code == EBUSY) return refuse_after_disksize("algorithm_params");
  return refuse(outcome.error().code,
                fmt::format("algorithm_params: refused ({}); {}", errno_name(outcome.error().code),
                            kParamsExample));
}

// Every algorithm, the chosen one in brackets.
std::string algorithm_list(const CodecInfo& chosen) {
  std::string text;
  for (const CodecInfo& codec : all_codecs()) {
    const bool is_chosen = codec.id == chosen.id;
    text += is_chosen ? fmt::format("[{}] ", codec.name) : fmt::format("{} ", codec.name);
  }
  return text + "\n";
}

InputResult<std::string_view> read_algorithm(std::string_view attribute, std::string_view name) {
  if (name.size() >= kNameBytesEnd) {
    return refuse(E2BIG, fmt::format("{}: the name has {} bytes; write one of {}", attribute,
                                     name.size(), algorithm_names()));
  }
  // The kernel drops one newline and then compares as sysfs does, which forgives another.
  for (int i = 0; i < 2; ++i) {
    if (name.ends_with('\n')) name.remove_suffix(1);
  }
  if (find_codec(name) != nullptr) return name;
  return refuse(EINVAL, fmt::format("{}: {} is not an algorithm; write one of {}", attribute,
                                    quote(name), algorithm_names()));
}

struct RecompressionChoice {
  std::string_view algorithm;
  int priority = 1;
};

// A key that is unknown is passed over, as in the kernel.
InputResult<void> take_word(const KeyValue& word, RecompressionChoice& choice) {
  if (word.value.empty()) {
    return refuse(EINVAL, fmt::format("recomp_algorithm: {} has no value; {}", quote(word.key),
                                      kRecompressionExample));
  }
  if (word.key == "algo") choice.algorithm = word.value;
  if (word.key != "priority") return {};
  const Result<int> value = parse_int(word.value);
  if (!value) {
    return refuse(value.error().code,
                  fmt::format("recomp_algorithm: priority={} is not a number; {}",
                              quote(word.value), kRecompressionExample));
  }
  choice.priority = *value;
  return {};
}

}  // namespace

std::string algorithm_names() {
  std::string names;
  for (const CodecInfo& codec : all_codecs()) {
    if (!names.empty()) names += ", ";
    names += codec.name;
  }
  return names;
}

std::string configured_algorithms(const Device& device) {
  std::string names(device.algorithm().name);
  for (int priority = 1; priority < kAlgorithmCount; ++priority) {
    const CodecInfo* codec = device.algorithm_at(priority);
    if (codec != nullptr) names += fmt::format(", #{} {}", priority, codec->name);
  }
  return names;
}

InputResult<std::string> show_comp_algorithm(const Device& device) {
  return algorithm_list(device.algorithm());
}

InputResult<void> store_comp_algorithm(Device& device, std::string_view text) {
  const InputResult<std::string_view> name = read_algorithm("comp_algorithm", until_nul(text));
  if (!name) return tl::unexpected<InputError>(name.error());
  const Result<void> outcome = device.set_algorithm(*name);
  if (outcome) return {};
  if (outcome.error().code == EBUSY) return refuse_after_disksize("comp_algorithm");
  return refuse(outcome.error().code,
                fmt::format("comp_algorithm: write one of {}", algorithm_names()));
}

InputResult<std::string> show_recomp_algorithm(const Device& device) {
  std::string text;
  for (int priority = 1; priority < kAlgorithmCount; ++priority) {
    const CodecInfo* codec = device.algorithm_at(priority);
    if (codec != nullptr) text += fmt::format("#{}: {}", priority, algorithm_list(*codec));
  }
  return text;
}

InputResult<void> store_recomp_algorithm(Device& device, std::string_view text) {
  RecompressionChoice choice;
  for (const KeyValue& word : split_key_values(text)) {
    InputResult<void> taken = take_word(word, choice);
    if (!taken) return taken;
  }
  if (choice.algorithm.empty()) {
    return refuse(EINVAL,
                  fmt::format("recomp_algorithm: algo is missing; {}", kRecompressionExample));
  }
  if (choice.priority < 1 || choice.priority >= kAlgorithmCount) {
    return refuse(EINVAL,
                  fmt::format("recomp_algorithm: priority={} is not 1, 2 or 3", choice.priority));
  }
  const auto name = read_algorithm("recomp_algorithm", choice.algorithm);
  if (!name) return tl::unexpected<InputError>(name.error());
  const Result<void> outcome = device.set_recompression_algorithm(*name, choice.priority);
  if (outcome) return {};
  if (outcome.error().code == EBUSY) return refuse_after_disksize("recomp_algorithm");
  return refuse(outcome.error().code,
                fmt::format("recomp_algorithm: refused; {}", kRecompressionExample));
}

InputResult<void> store_algorithm_params(Device& device, std::string_view text) {
  ParamsRequest request;
  for (const KeyValue& word : split_key_values(text)) {
    InputResult<void> taken = take_word(word, request);
    if (!taken) return taken;
  }
  const InputResult<int> priority = settle_priority(device, request);
  if (!priority) return tl::unexpected<InputError>(priority.error());
  if (!request.dictionary_path.empty()) {
    InputResult<void> reset = set_params(device, *priority, CodecParams{});
    if (!reset) return reset;
    const std::string path(request.dictionary_path);
    InputResult<void> absolute = check_absolute("algorithm_params: dict", path);
    if (!absolute) return absolute;
    auto dictionary = read_dictionary(path);
    if (!dictionary) {
      return refuse(dictionary.error().code,
                    fmt::format("algorithm_params: dict={} is not a regular file that can be read",
                                quote(path)));
    }
    request.params.dictionary = std::move(*dictionary);
  }
  return set_params(device, *priority, std::move(request.params));
}

}  // namespace uzram

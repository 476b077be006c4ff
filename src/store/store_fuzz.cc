// SPDX-License-Identifier: Apache-2.0
// Any bytes as a stream of store commands, against the model. UZRAM_PRINT_COMMANDS prints them.
#include <cstdio>
#include <cstdlib>

#include "store/store_model.h"

namespace {

uzram::StoreConfig config_from(std::uint8_t choice) {
  uzram::StoreConfig config;
  config.disk_pages = uzram::kModelPages;
  config.codecs[0].info = uzram::find_codec(choice % 4 == 0 ? "lzo-rle" : "lz4");
  config.codecs[1].info = uzram::find_codec("zstd");
  config.has_page_checks = choice % 8 != 1;
  config.uses_dedup = choice % 3 != 0;
  if (choice % 16 < 12) uzram::StoreModel::choose_disk(config);
  return config;
}

void end_with(const std::string& difference, const uzram::Command& command) {
  std::fprintf(stderr, "%s: %s\n", uzram::to_text(command).c_str(), difference.c_str());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostCommands = 400;
  if (size < 1) return 0;
  const bool prints = std::getenv("UZRAM_PRINT_COMMANDS") != nullptr;
  uzram::StoreModel model(config_from(data[0]));
  uzram::Command command;
  std::size_t at = 1;
  for (std::size_t i = 0; i < kMostCommands && at + uzram::kCommandBytes <= size; ++i) {
    command = uzram::command_from(data + at);
    at += uzram::kCommandBytes;
    if (prints) std::fprintf(stderr, "%s\n", uzram::to_text(command).c_str());
    const std::string difference = model.run(command);
    if (!difference.empty()) end_with(difference, command);
  }
  const std::string difference = model.compare_all();
  if (!difference.empty()) end_with(difference, command);
  return 0;
}

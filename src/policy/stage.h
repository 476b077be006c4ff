// SPDX-License-Identifier: Apache-2.0
// policy/stage.h: the stages of a page's life after the write, in their order.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace uzram {

enum class Stage : std::uint8_t {
  Idle,          // Ages advance; what is old enough gets the idle mark.
  Recompress,    // Single pages, by an algorithm of higher priority.
  SmallCluster,  // Neighbours packed together.
  LargeCluster,  // More of them, at a higher level.
  DeepCluster,   // Still more, with CPU that nobody else wants.
  WriteBack,     // To the backing store.
};
inline constexpr int kStageCount = 6;
inline constexpr std::array<Stage, kStageCount> kStages = {Stage::Idle,         Stage::Recompress,
                                                           Stage::SmallCluster, Stage::LargeCluster,
                                                           Stage::DeepCluster,  Stage::WriteBack};

constexpr std::size_t index_of(Stage stage) { return static_cast<std::size_t>(stage); }

// "idle", "recompress", "cluster", "large", "deep", "writeback": as the settings name them.
[[nodiscard]] std::string_view stage_name(Stage stage);

}  // namespace uzram

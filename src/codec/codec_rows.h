// SPDX-License-Identifier: Apache-2.0
// codec/codec_rows.h: the table of algorithms as parameters of tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "codec/codec.h"

namespace uzram {

inline std::vector<CodecInfo> every_row() { return {all_codecs().begin(), all_codecs().end()}; }

inline std::vector<CodecInfo> rows_with_dictionary() {
  std::vector<CodecInfo> rows = every_row();
  std::erase_if(rows, [](const CodecInfo& row) { return !row.takes_dictionary; });
  return rows;
}

inline std::string row_name(const testing::TestParamInfo<CodecInfo>& row) {
  std::string name(row.param.name);
  std::erase(name, '-');
  return name;
}

// What GoogleTest prints for a row.
inline void PrintTo(const CodecInfo& row, std::ostream* out) { *out << row.name; }

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include "base/printable_text.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

using namespace std::string_view_literals;

TEST(PrintableText, KeepsOrdinaryText) {
  for (const std::string_view text :
       {""sv, "/srv/files/a b.txt"sv, "Gr\u00fc\u00dfe"sv, "\u65e5\u672c\u8a9e"sv,
        "\u05d0\u05d1\u05d2"sv, "\U0001f600"sv, "back\\slash"sv, "\u2026\u00a0\ufffd"sv}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(PrintableText, ShowsControlsOfOneByte) {
  EXPECT_EQ(printable("\x1b[2J\a\r\n\t\x7f\0end"sv), "\\x1b[2J\\x07\\x0d\\x0a\\x09\\x7f\\x00end");
}

TEST(PrintableText, ShowsControlsThatUtf8Spells) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m\xc2\x85\xc2\x80\xc2\x9f"),
            "\\u{9b}31m\\u{85}\\u{80}\\u{9f}");
}

TEST(PrintableText, ShowsWhatTurnsTheDirectionOfText) {
  EXPECT_EQ(printable("\u202a\u202b\u202c\u202d\u202etxt"),
            "\\u{202a}\\u{202b}\\u{202c}\\u{202d}\\u{202e}txt");
  EXPECT_EQ(printable("\u2066\u2067\u2068\u2069\u200e\u200f\u061c"),
            "\\u{2066}\\u{2067}\\u{2068}\\u{2069}\\u{200e}\\u{200f}\\u{61c}");
}

TEST(PrintableText, ShowsWhatCannotBeSeen) {
  EXPECT_EQ(printable("\u2028\u2029\u200b\u200d\u2060\ufeff\u00ad\u3164"),
            "\\u{2028}\\u{2029}\\u{200b}\\u{200d}\\u{2060}\\u{feff}\\u{ad}\\u{3164}");
  EXPECT_EQ(printable("\U000e0041\U000e0100\uffff"), "\\u{e0041}\\u{e0100}\\u{ffff}");
}

TEST(PrintableText, ShowsEachByteThatIsNoUtf8) {
  EXPECT_EQ(printable("\x9b\xff\xc3"), "\\x9b\\xff\\xc3");
  EXPECT_EQ(printable("\xc0\x9b"), "\\xc0\\x9b");  // A longer form of ESC's kind.
  EXPECT_EQ(printable("\xe0\x80\x9b"), "\\xe0\\x80\\x9b");
  EXPECT_EQ(printable("\xf0\x80\x80\x9b"), "\\xf0\\x80\\x80\\x9b");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // A surrogate.
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // Above U+10FFFF.
  EXPECT_EQ(printable("\xe2\x80"), "\\xe2\\x80");                    // Cut off.
  EXPECT_EQ(printable("a\xe2z"), "a\\xe2z");
}

TEST(PrintableText, OfLinesKeepsNewlinesAndTabs) {
  EXPECT_EQ(printable_lines("a\tb\n\x1b[1m\r\n\u202e"), "a\tb\n\\x1b[1m\\x0d\n\\u{202e}");
}

TEST(PrintableText, IsCutBetweenCharacters) {
  EXPECT_EQ(front_of_text("abc", 3), "abc");
  EXPECT_EQ(front_of_text("abcd", 3), "abc");
  EXPECT_EQ(front_of_text("ab\u20ac", 4), "ab");
  EXPECT_EQ(front_of_text("ab\u20acd", 5), "ab\u20ac");
  EXPECT_EQ(front_of_text("\x80\x80\x80\x80\x80\x80", 5), "\x80\x80\x80\x80\x80");
}

TEST(PrintableText, LeavesNoByteThatATerminalObeys) {
  std::string all;
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      all = {static_cast<char>(first), static_cast<char>(second), '.'};
      const std::string shown = printable(all);
      for (const char character : shown) {
        const auto byte = static_cast<unsigned char>(character);
        ASSERT_TRUE(byte >= 0x20 && byte != 0x7f) << first << ' ' << second;
      }
      ASSERT_EQ(printable(shown), shown);
    }
  }
}

}  // namespace
}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include "pager/die.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace uzram {
namespace {

// A line without an allocation; what does not fit is cut.
class Line {
 public:
  void add(std::string_view text) {
    const std::size_t count = std::min(text.size(), text_.size() - 1 - used_);
    std::memcpy(text_.data() + used_, text.data(), count);
    used_ += count;
  }
  void add(std::uint64_t number, int base) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
    add(std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
  }
  void print() {
    text_[used_++] = '\n';
    // Nothing can be done about a line that does not get out.
    if (::write(STDERR_FILENO, text_.data(), used_) < 0) return;
  }

 private:
  std::array<char, 400> text_;
  std::size_t used_ = 0;
};

constexpr std::string_view kName = "uzram pager: ";

}  // namespace

void die(std::string_view before, std::uint64_t number, std::string_view after) {
  Line line;
  line.add(kName);
  line.add(before);
  line.add(number, 10);
  line.add(after);
  line.print();
  std::abort();
}

void die(std::string_view text) {
  Line line;
  line.add(kName);
  line.add(text);
  line.print();
  std::abort();
}

void warn_of_address(std::string_view before, std::uint64_t address, std::string_view after) {
  Line line;
  line.add(kName);
  line.add(before);
  line.add("0x");
  line.add(address, 16);
  line.add(after);
  line.print();
}

void warn(std::string_view before, std::uint64_t number, std::string_view after) {
  Line line;
  line.add(kName);
  line.add(before);
  line.add(number, 10);
  line.add(after);
  line.print();
}

}  // namespace uzram

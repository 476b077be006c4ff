// SPDX-License-Identifier: Apache-2.0
#include "control/classes_text.h"

#include <fmt/format.h>

#include "device/device.h"

namespace uzram {

namespace {

std::string class_line(std::string_view name, std::string_view bytes, const ClassUse& use,
                       std::string_view span_pages) {
  std::string line = fmt::format(" {:>5} {:>5} ", name, bytes);
  for (const std::uint64_t spans : use.spans) line += fmt::format("{:9} ", spans);
  return line + fmt::format("{:13} {:10} {:10} {:>16} {:8}\n", use.places, use.objects,
                            use.resident_pages, span_pages, use.free_pages);
}

void add_class(ClassUse& sum, const ClassUse& use) {
  for (std::size_t i = 0; i < use.spans.size(); ++i) sum.spans[i] += use.spans[i];
  sum.places += use.places;
  sum.objects += use.objects;
  sum.resident_pages += use.resident_pages;
  sum.free_pages += use.free_pages;
}

}  // namespace

InputResult<std::string> show_classes(const Device& device) {
  const auto uses = device.class_uses();
  if (!uses) {
    return refuse(uses.error().code,
                  "classes: the device has no disksize yet; write disksize first");
  }
  std::string text = fmt::format(" {:>5} {:>5} ", "class", "size");
  for (const char* share :
       {"10%", "20%", "30%", "40%", "50%", "60%", "70%", "80%", "90%", "99%", "100%"}) {
    text += fmt::format("{:>9} ", share);
  }
  text += fmt::format("{:>13} {:>10} {:>10} {:>16} {:>8}\n", "obj_allocated", "obj_used",
                      "pages_used", "pages_per_zspage", "freeable");
  ClassUse sum;
  for (std::size_t i = 1; i < (*uses)->size(); ++i) {
    const ClassUse& use = (**uses)[i];
    if (use.places == 0) continue;
    add_class(sum, use);
    text += class_line(std::to_string(i), std::to_string(use.object_bytes), use,
                       std::to_string(use.span_pages));
  }
  return text + "\n" + class_line("Total", "", sum, "");
}

}  // namespace uzram

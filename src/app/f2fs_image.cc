// SPDX-License-Identifier: Apache-2.0
#include "app/f2fs_image.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "app/say.h"

namespace uzram {

namespace {

constexpr std::size_t kCopyBytes = std::size_t{1} << 20;

InputResult<void> write_out(int descriptor, ConstBytes bytes, std::uint64_t place, bool at_place) {
  while (!bytes.empty()) {
    const ssize_t written =
        at_place ? ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(place))
                 : ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int code = errno;
      return refuse(code, fmt::format("cannot write: {}", ::strerrordesc_np(code)));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    place += static_cast<std::uint64_t>(written);
  }
  return {};
}

}  // namespace

InputResult<F2fsImage> open_f2fs_image(const std::string& path) {
  auto source = open_block_source(path);
  if (!source) {
    const int code = source.error().code;
    return refuse(code, fmt::format("{}: {}", quote(path), ::strerrordesc_np(code)));
  }
  auto volume = F2fsVolume::open(**source);
  if (!volume) {
    return refuse(volume.error().code, fmt::format("{}: {}", quote(path), volume.error().text));
  }
  return F2fsImage{*std::move(source), *std::move(volume)};
}

void ImageFaults::add(std::string_view text) { exit_code_ = say_failure(text); }

void ImageFaults::add_checksums(const F2fsInode& inode, const F2fsFile::ChecksumFaults& faults) {
  if (inode.checksum == ChecksumState::Wrong) add(inode.place() + ": wrong checksum");
  if (faults.count == 0) return;
  const std::string others =
      faults.count == 1 ? "" : fmt::format(" (and {} more)", faults.count - 1);
  add(fmt::format("{}: cluster {}: wrong checksum{}", inode.place(), faults.first_cluster, others));
}

InputResult<void> copy_content(F2fsFile& file, const F2fsInode& inode, ContentRange range,
                               int descriptor, bool keeps_holes) {
  std::vector<std::byte> buffer(std::min<std::uint64_t>(kCopyBytes, range.bytes));
  const std::uint64_t end = range.offset + range.bytes;
  std::uint64_t offset = range.offset;
  while (offset < end) {
    if (keeps_holes) {
      const auto data = file.next_data(offset);
      if (!data) return refuse(data.error().code, data.error().text);
      offset = std::min(*data, end);
    }
    // Pieces end where clusters do.
    const std::uint64_t piece_end = std::min(end, (offset / kCopyBytes + 1) * kCopyBytes);
    const MutableBytes piece = MutableBytes(buffer).first(piece_end - offset);
    if (const auto got = file.read(offset, piece); !got)
      return refuse(got.error().code, got.error().text);
    if (auto written = write_out(descriptor, piece, offset, keeps_holes); !written) return written;
    offset = piece_end;
  }
  if (keeps_holes && ::ftruncate(descriptor, static_cast<off_t>(inode.size_bytes)) != 0)
    return refuse(errno, fmt::format("cannot set the size: {}", ::strerrordesc_np(errno)));
  return {};
}

}  // namespace uzram

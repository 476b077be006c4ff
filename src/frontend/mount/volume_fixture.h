// SPDX-License-Identifier: Apache-2.0
// frontend/mount/volume_fixture.h: for tests: a volume over a folder of its own, without a mount.
//
// What:    files are made and looked up as requests do it; what lies below is looked at directly.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "base/random.h"
#include "frontend/mount/regular_file.h"
#include "frontend/mount/volume.h"

namespace uzram {

class VolumeFixture : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_.data()), nullptr); }
  void TearDown() override {
    volume_.reset();
    std::filesystem::remove_all(folder_);
  }

  void open_volume(MountOptions options = {}) {
    volume_.reset();
    auto opened = Volume::open(folder_, std::move(options));
    ASSERT_TRUE(opened) << opened.error().code;
    volume_ = std::move(*opened);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // Looked up, not open.
  Inode& find(const std::string& name) {
    FileDescriptor place(::open(path(name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    EXPECT_EQ(::fstat(place.get(), &status), 0) << name;
    return volume_->inodes().look_up(std::move(place), status);
  }
  // New, and open for writing.
  RegularFile& create(const std::string& name) {
    FileDescriptor file(::open(path(name).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    EXPECT_TRUE(file.is_open()) << name;
    Inode& inode = find(name);
    inode.file->open_new(std::move(file), volume_->wants_compression(volume_->root(), name));
    return *inode.file;
  }

  // Half of it packs.
  static std::string text(std::size_t bytes, std::uint64_t seed = 1) {
    Random random(seed);
    std::string made(bytes, 'x');
    for (std::size_t i = 0; i < bytes; ++i) {
      if (i / 64 % 2 == 0) made[i] = static_cast<char>(random.next());
    }
    return made;
  }
  static ConstBytes bytes_of(const std::string& content) {
    return {reinterpret_cast<const std::byte*>(content.data()), content.size()};
  }
  static std::string content_of(RegularFile& file, std::size_t room = std::size_t{1} << 20) {
    std::string content(room, '\0');
    const auto got = file.read(0, {reinterpret_cast<std::byte*>(content.data()), room});
    EXPECT_TRUE(got) << got.error().code;
    content.resize(got ? *got : 0);
    return content;
  }
  [[nodiscard]] std::string stored(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] bool is_cluster_file(const std::string& name) const {
    return has_root_magic(bytes_of(stored(name)));
  }
  [[nodiscard]] static std::string magic() { return {"uzramcf\0", kRootMagicBytes}; }

  std::string folder_ = testing::TempDir() + "uzram-volume.XXXXXX";
  std::unique_ptr<Volume> volume_;
};

}  // namespace uzram

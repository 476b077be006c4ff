// SPDX-License-Identifier: Apache-2.0
// A real file whose file system stops: requests hang inside the kernel, and nobody waits for them.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <chrono>

#include "backing/backing_fixture.h"
#include "backing/backing_store_rows.h"

namespace uzram {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kBlocks = 256;

// An ext4 of its own, which can be frozen.
class Freezer {
 public:
  explicit Freezer(TemporaryFolder& folder)
      : image_(folder.make_file("image", std::uint64_t{16} << 20)),
        mount_point_(folder.path("mounted")) {
    if (::geteuid() != 0 || !output_of("mkfs.ext4 -q -O ^has_journal " + image_)) return;
    loop_ = std::make_unique<LoopOverFile>(image_);
    if (!loop_->is_there() || ::mkdir(mount_point_.c_str(), 0700) != 0) return;
    is_mounted_ =
        ::mount(loop_->path().c_str(), mount_point_.c_str(), "ext4", MS_NOSUID, nullptr) == 0;
    root_ = FileDescriptor(::open(mount_point_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~Freezer() {
    thaw();
    root_.reset();
    // The last request lets go of its file a moment after it has ended.
    for (int i = 0; is_mounted_ && i < 500; ++i) {
      is_mounted_ = ::umount(mount_point_.c_str()) != 0;
      if (is_mounted_) std::this_thread::sleep_for(milliseconds(10));
    }
    EXPECT_FALSE(is_mounted_) << "something still uses the file system";
    if (is_mounted_) ::umount2(mount_point_.c_str(), MNT_DETACH);
    ::rmdir(mount_point_.c_str());
  }
  Freezer(const Freezer&) = delete;
  Freezer& operator=(const Freezer&) = delete;

  [[nodiscard]] bool is_there() const { return is_mounted_; }
  [[nodiscard]] std::string make_file() const {
    std::string path = mount_point_ + "/disk";
    const FileDescriptor made(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    EXPECT_EQ(::ftruncate(made.get(), kBlocks * kBlockBytes), 0);
    return path;
  }
  void freeze() {
    is_frozen_ = ::ioctl(root_.get(), FIFREEZE, 0) == 0;
    EXPECT_TRUE(is_frozen_);
  }
  void thaw() {
    if (is_frozen_) ::ioctl(root_.get(), FITHAW, 0);
    is_frozen_ = false;
  }

 private:
  const std::string image_;
  const std::string mount_point_;
  std::unique_ptr<LoopOverFile> loop_;
  FileDescriptor root_;
  bool is_mounted_ = false;
  bool is_frozen_ = false;
};

class FrozenFile : public ::testing::TestWithParam<FileEngine> {
 protected:
  TemporaryFolder folder_;
  std::unique_ptr<Freezer> freezer_ = std::make_unique<Freezer>(folder_);
  std::string file_;
  std::unique_ptr<SpaceUser> user_;

  void SetUp() override {
    if (!freezer_->is_there()) GTEST_SKIP() << "this user or machine cannot mount an ext4";
    file_ = freezer_->make_file();
    user_ = std::make_unique<SpaceUser>(kBlocks, [this] { return open(); });
    user_->put(20, 1000);
  }
  [[nodiscard]] std::unique_ptr<BackingStore> open() const {
    BackingOptions options = quick_options();
    options.time_limit = milliseconds(500);
    auto store = open_backing_store(file_, options, GetParam());
    EXPECT_TRUE(store.has_value());
    return std::move(*store);
  }
};

TEST_P(FrozenFile, FailsWritesInTimeAndGoesOnWhenItIsBack) {
  freezer_->freeze();
  for (int i = 0; i < 70; ++i) ASSERT_EQ(user_->append(kBlockBytes), 0);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(user_->flush(), 70U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(5'000));
  EXPECT_TRUE(user_->space().store().is_stalled());
  EXPECT_EQ(user_->counters().retired_blocks, 0U);
  freezer_->thaw();
  for (int i = 0; i < 500 && user_->space().store().is_stalled(); ++i)
    std::this_thread::sleep_for(milliseconds(10));
  EXPECT_FALSE(user_->space().store().is_stalled());
  user_->put(70, kBlockBytes);
  user_->verify();
}

TEST_P(FrozenFile, CanBeLeftBehind) {
  freezer_->freeze();
  ASSERT_EQ(user_->append(1000), 0);
  EXPECT_EQ(user_->flush(), 1U);
  const auto start = std::chrono::steady_clock::now();
  user_->close();
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            BackingStore::kFarewell + milliseconds(1'000));
  freezer_->thaw();
  // The kernel keeps the file, and the claim on it, until the request has ended.
  for (int i = 0; i < 500; ++i) {
    if (open_backing_store(file_, quick_options()).has_value()) break;
    std::this_thread::sleep_for(milliseconds(10));
  }
  user_->open();
  EXPECT_EQ(user_->adopt_all(), 20U);
  user_->verify();
}

INSTANTIATE_TEST_SUITE_P(Engines, FrozenFile,
                         testing::Values(FileEngine::Automatic, FileEngine::Threads),
                         [](const auto& engine) {
                           return std::string(engine.param == FileEngine::Threads ? "Threads"
                                                                                  : "Automatic");
                         });

}  // namespace
}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
// file_steps path|library FILE SEED STEPS: random operations on a file, each compared with the same
// on plain bytes in memory; then everything is compared.
//
// What:   path: a new file of a mounted file system, with the calls of programs: read, write,
//         append, mmap, truncate, holes, sync, rename, a second descriptor. library: the same on a
//         ClusterFile, without those that only a file system has.
// Shapes: a file of at most 3 MiB, so that the largest clusters occur as well.
// Exit:   0 all were equal; 1 something differed or failed: then the steps before it are told.
// Source: the idea is that of fsx, which file systems have been tested with since the NeXT.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <string>
#include <thread>

#include "base/file_descriptor.h"
#include "base/random.h"
#include "cluster/cluster_file.h"

namespace uzram {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{3} << 20;
constexpr std::size_t kStepsTold = 40;

using Content = std::vector<std::byte>;

// Ends the program with what failed; main has told the steps by then.
[[noreturn]] void give_up(const std::string& what);

void require(bool is_right, std::string_view what) {
  if (!is_right) give_up(fmt::format("{}: {}", what, std::strerror(errno)));
}

template <typename T>
T require(Result<T> result, std::string_view what) {
  if (!result) give_up(fmt::format("{}: {}", what, std::strerror(result.error().code)));
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

class SteppedFile {
 public:
  virtual ~SteppedFile() = default;
  virtual std::uint64_t size() = 0;
  virtual std::size_t read(std::uint64_t offset, MutableBytes out) = 0;
  virtual void write(std::uint64_t offset, ConstBytes bytes) = 0;
  virtual void truncate(std::uint64_t size) = 0;
  virtual void punch(std::uint64_t offset, std::uint64_t bytes) = 0;
  virtual void sync() = 0;
  virtual void reopen() = 0;
  // As other programs would do the same. Those that a file has not are plain reads and writes.
  virtual void append(ConstBytes bytes) { write(size(), bytes); }
  virtual std::size_t map_read(std::uint64_t offset, MutableBytes out) { return read(offset, out); }
  virtual void map_write(std::uint64_t offset, ConstBytes bytes) { write(offset, bytes); }
  virtual void rename() {}
  // Where the next content is, at or behind `offset`; the size if there is none.
  virtual std::uint64_t next_data(std::uint64_t offset) = 0;
};

class PathFile : public SteppedFile {
 public:
  explicit PathFile(const std::string& path) : path_(path), other_path_(path + ".renamed") {
    file_ = open(O_CREAT | O_EXCL);
    second_ = open(O_APPEND);
  }

  std::uint64_t size() override {
    struct stat status {};
    require(::fstat(file_.get(), &status) == 0, "fstat");
    return static_cast<std::uint64_t>(status.st_size);
  }
  std::size_t read(std::uint64_t offset, MutableBytes out) override {
    const ssize_t got = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    require(got >= 0, "pread");
    return static_cast<std::size_t>(got);
  }
  void write(std::uint64_t offset, ConstBytes bytes) override {
    const ssize_t done =
        ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    require(done == static_cast<ssize_t>(bytes.size()), "pwrite");
  }
  void append(ConstBytes bytes) override {
    require(
        ::write(second_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
        "write with O_APPEND");
  }
  std::size_t map_read(std::uint64_t offset, MutableBytes out) override {
    const std::uint64_t end = std::min(size(), offset + out.size());
    if (offset >= end) return 0;
    mapped(offset, end - offset, PROT_READ,
           [&](std::byte* at) { std::memcpy(out.data(), at, end - offset); });
    return end - offset;
  }
  void map_write(std::uint64_t offset, ConstBytes bytes) override {
    if (size() < offset + bytes.size()) truncate(offset + bytes.size());
    mapped(offset, bytes.size(), PROT_READ | PROT_WRITE,
           [&](std::byte* at) { std::memcpy(at, bytes.data(), bytes.size()); });
  }
  void truncate(std::uint64_t size) override {
    // Sometimes by name.
    const auto length = static_cast<off_t>(size);
    require(
        (size % 2 != 0 ? ::truncate(path_.c_str(), length) : ::ftruncate(file_.get(), length)) == 0,
        "truncate");
  }
  void punch(std::uint64_t offset, std::uint64_t bytes) override {
    require(::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(offset), static_cast<off_t>(bytes)) == 0,
            "fallocate");
  }
  void sync() override { require(::fsync(file_.get()) == 0, "fsync"); }
  void reopen() override {
    require(::close(file_.release()) == 0, "close");
    require(::close(second_.release()) == 0, "close");
    file_ = open(0);
    second_ = open(O_APPEND);
  }
  void rename() override {
    require(::rename(path_.c_str(), other_path_.c_str()) == 0, "rename");
    path_.swap(other_path_);
  }
  std::uint64_t next_data(std::uint64_t offset) override {
    const off_t found = ::lseek(file_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (found < 0 && errno == ENXIO) return size();
    require(found >= 0, "lseek");
    return static_cast<std::uint64_t>(found);
  }

 private:
  FileDescriptor open(int flags) {
    FileDescriptor file(::open(path_.c_str(), O_RDWR | O_CLOEXEC | flags, 0600));
    require(file.is_open(), "open");
    return file;
  }
  template <typename Use>
  void mapped(std::uint64_t offset, std::uint64_t bytes, int protection, const Use& use) {
    const std::uint64_t begin = offset / kPageBytes * kPageBytes;
    const std::uint64_t length = offset + bytes - begin;
    void* at =
        ::mmap(nullptr, length, protection, MAP_SHARED, file_.get(), static_cast<off_t>(begin));
    require(at != MAP_FAILED, "mmap");
    use(static_cast<std::byte*>(at) + (offset - begin));
    if (offset % 3 == 0) require(::msync(at, length, MS_SYNC) == 0, "msync");
    require(::munmap(at, length) == 0, "munmap");
  }

  std::string path_;
  std::string other_path_;
  FileDescriptor file_;
  FileDescriptor second_;
};

class LibraryFile : public SteppedFile {
 public:
  LibraryFile(std::string path, const ClusterOptions& options) : path_(std::move(path)) {
    limits_ = {.cache_bytes = 5 * options.cluster_bytes(), .thread_count = 2};
    file_ = require(
        ClusterFile::create(require(open_cluster_storage(path_, StorageMode::Create), "create"),
                            options, limits_),
        "create");
  }
  std::uint64_t size() override { return file_->size_bytes(); }
  std::size_t read(std::uint64_t offset, MutableBytes out) override {
    return require(file_->read(offset, out), "read");
  }
  void write(std::uint64_t offset, ConstBytes bytes) override {
    require(file_->write(offset, bytes), "write");
  }
  void truncate(std::uint64_t size) override { require(file_->truncate(size), "truncate"); }
  void punch(std::uint64_t offset, std::uint64_t bytes) override {
    require(file_->punch(offset, bytes), "punch");
  }
  void sync() override {
    require(file_->sync(), "sync");
    file_->check_invariants();
  }
  void reopen() override {
    sync();
    file_.reset();
    file_ =
        require(ClusterFile::open(require(open_cluster_storage(path_, StorageMode::Write), "open"),
                                  StorageMode::Write, limits_),
                "open");
  }
  std::uint64_t next_data(std::uint64_t offset) override {
    return require(file_->next_data(offset), "next_data");
  }

 private:
  const std::string path_;
  ClusterFileLimits limits_;
  std::unique_ptr<ClusterFile> file_;
};

// The steps told so far, for who has to find out.
std::deque<std::string>& told() {
  static std::deque<std::string> steps;
  return steps;
}

void tell(std::string step) {
  told().push_back(std::move(step));
  if (told().size() > kStepsTold) told().pop_front();
}

void give_up(const std::string& what) {
  for (const std::string& step : told()) fmt::print(stderr, "{}\n", step);
  fmt::print(stderr, "file_steps: {}\n", what);
  std::exit(1);
}

class Steps {
 public:
  Steps(SteppedFile& file, std::uint64_t seed) : file_(file), random_(seed) {}

  void run(std::uint64_t count) {
    auto heard = std::chrono::steady_clock::now();
    for (std::uint64_t step = 0; step < count; ++step) {
      number_ = step;
      one_step();
      if (file_.size() != plain_.size())
        give_up(fmt::format("the size is {}, not {}", file_.size(), plain_.size()));
      if (const auto now = std::chrono::steady_clock::now();
          now - heard > std::chrono::seconds(5)) {
        heard = now;
        fmt::print(stderr, "{} of {} steps\n", step, count);
      }
    }
    file_.reopen();
    compare_all();
  }

 private:
  void one_step() {
    const std::uint64_t kind = random_.below(100);
    if (kind < 22) return read(false);
    if (kind < 30) return read(true);
    if (kind < 52) return write(false);
    if (kind < 62) return write(true);
    if (kind < 69) return append();
    if (kind < 77) return truncate();
    if (kind < 84) return punch();
    if (kind < 88) return skip_holes();
    if (kind < 93) return say_and([this] { file_.sync(); }, "sync");
    if (kind < 96) return say_and([this] { file_.reopen(); }, "reopen");
    if (kind < 99) return say_and([this] { file_.rename(); }, "rename");
    compare_all();
  }

  template <typename Act>
  void say_and(const Act& act, std::string_view name) {
    tell(fmt::format("{} {}", number_, name));
    act();
  }
  // Often within the file, sometimes at round places, sometimes far behind its end.
  std::uint64_t some_offset() {
    const std::uint64_t bound =
        random_.below(8) == 0 ? kMostBytes : std::max<std::uint64_t>(plain_.size(), 1);
    const std::uint64_t offset = random_.below(bound);
    return random_.below(3) == 0 ? offset / kPageBytes * kPageBytes : offset;
  }
  std::uint64_t some_length(std::uint64_t offset) {
    static constexpr std::array<std::uint64_t, 5> kBounds = {64, 4096, 20'000, 150'000, 1'200'000};
    std::uint64_t length = 1 + random_.below(kBounds[random_.below(kBounds.size())]);
    if (random_.below(3) == 0) length = std::max(kPageBytes, length / kPageBytes * kPageBytes);
    return std::min(length, kMostBytes - offset);
  }
  // Zeros, words, noise, or some of each.
  Content some_content(std::uint64_t length) {
    Content content(length);
    std::size_t done = 0;
    while (done < length) {
      const std::size_t part = std::min<std::size_t>(length - done, 1 + random_.below(30'000));
      const std::uint64_t kind = random_.below(3);
      const std::uint64_t word = random_.next();
      for (std::size_t i = 0; i < part; ++i) {
        const std::uint64_t noise = kind == 2 && i % 8 == 0 ? random_.next() : word;
        content[done + i] =
            kind == 0 ? std::byte{0} : static_cast<std::byte>(noise >> (8 * (i % 8)));
      }
      done += part;
    }
    return content;
  }

  void read(bool is_mapped) {
    const std::uint64_t offset = some_offset();
    const std::uint64_t length = some_length(offset);
    tell(fmt::format("{} {}read {} {}", number_, is_mapped ? "map " : "", offset, length));
    Content got(length);
    const std::size_t count = is_mapped ? file_.map_read(offset, got) : file_.read(offset, got);
    got.resize(count);
    const std::uint64_t end = std::min<std::uint64_t>(plain_.size(), offset + length);
    if (count != (offset < end ? end - offset : 0))
      give_up(fmt::format("{} bytes were read", count));
    compare(offset, got);
  }
  void write(bool is_mapped) {
    const std::uint64_t offset = some_offset();
    const Content content = some_content(some_length(offset));
    tell(fmt::format("{} {}write {} {}", number_, is_mapped ? "map " : "", offset, content.size()));
    is_mapped ? file_.map_write(offset, content) : file_.write(offset, content);
    if (plain_.size() < offset + content.size()) plain_.resize(offset + content.size());
    std::copy(content.begin(), content.end(), plain_.begin() + static_cast<off_t>(offset));
  }
  void append() {
    const Content content = some_content(some_length(plain_.size()));
    if (content.empty()) return;
    tell(fmt::format("{} append {}", number_, content.size()));
    file_.append(content);
    plain_.insert(plain_.end(), content.begin(), content.end());
  }
  void truncate() {
    const std::uint64_t size = random_.below(10) == 0 ? 0 : some_offset();
    tell(fmt::format("{} truncate {}", number_, size));
    file_.truncate(size);
    plain_.resize(size);
  }
  void punch() {
    const std::uint64_t offset = some_offset();
    const std::uint64_t length = some_length(offset);
    tell(fmt::format("{} punch {} {}", number_, offset, length));
    file_.punch(offset, length);
    if (offset >= plain_.size()) return;
    const std::uint64_t end = std::min<std::uint64_t>(plain_.size(), offset + length);
    std::fill(plain_.begin() + static_cast<off_t>(offset), plain_.begin() + static_cast<off_t>(end),
              std::byte{0});
  }
  // What is told to be a hole has to read as zeros.
  void skip_holes() {
    if (plain_.empty()) return;
    const std::uint64_t offset = random_.below(plain_.size());
    tell(fmt::format("{} next data from {}", number_, offset));
    const std::uint64_t data = file_.next_data(offset);
    if (data < offset || data > plain_.size()) give_up(fmt::format("data at {}", data));
    for (std::uint64_t i = offset; i < data; ++i)
      if (plain_[i] != std::byte{0})
        give_up(fmt::format("{} lies in a hole that ends at {}", i, data));
  }
  void compare_all() {
    tell(fmt::format("{} compare all {}", number_, plain_.size()));
    Content got(plain_.size());
    if (file_.read(0, got) != got.size()) give_up("the end is missing");
    compare(0, got);
  }
  void compare(std::uint64_t offset, const Content& got) {
    const auto expected = plain_.begin() + static_cast<off_t>(offset);
    const auto [at, _] = std::mismatch(got.begin(), got.end(), expected);
    if (at != got.end()) give_up(fmt::format("byte {} differs", offset + (at - got.begin())));
  }

  SteppedFile& file_;
  Random random_;
  Content plain_;
  std::uint64_t number_ = 0;
};

int run(const std::string& kind, const std::string& path, std::uint64_t seed, std::uint64_t steps) {
  std::unique_ptr<SteppedFile> file;
  if (kind == "library") {
    Random random(seed);
    ClusterOptions options;
    options.algorithm = static_cast<ClusterAlgorithm>(random.below(kClusterAlgorithmCount));
    options.log_pages = kLeastClusterLog +
                        static_cast<unsigned>(random.below(kMostClusterLog - kLeastClusterLog + 1));
    options.has_checksum = random.below(2) == 0;
    fmt::print("{}, log size {}\n", cluster_algorithm_text(options), options.log_pages);
    file = std::make_unique<LibraryFile>(path, options);
  } else {
    file = std::make_unique<PathFile>(path);
  }
  Steps(*file, seed).run(steps);
  fmt::print("{} steps, seed {}: equal\n", steps, seed);
  return 0;
}

}  // namespace
}  // namespace uzram

int main(int argc, char** argv) {
  const std::string kind = argc == 5 ? argv[1] : "";
  if (kind != "path" && kind != "library") {
    fmt::print(stderr, "file_steps path|library FILE SEED STEPS\n");
    return 2;
  }
  return uzram::run(kind, argv[2], std::stoull(argv[3]), std::stoull(argv[4]));
}

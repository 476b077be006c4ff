// SPDX-License-Identifier: Apache-2.0
// backing/backing_fixture.h: a backing space in tests, whose every object holds bytes that only it
// can hold.
//
// What:    SpaceUser does to a space what the store does: puts objects in, reads them, drops them,
//          and comes back after a crash. Every read compares the bytes.
// Threads: none; backing_thread_test.cc has its own.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "backing/backing_writer.h"
#include "backing/fake_disk.h"
#include "base/random.h"
#include "base/sparse_array.h"

namespace uzram {

using BackingKey = std::array<std::byte, kBackingKeyBytes>;

inline void fill_object(MutableBytes bytes, std::uint64_t seed) {
  Random random(seed);
  for (std::size_t i = 0; i < bytes.size(); i += sizeof seed) {
    const std::uint64_t word = random.next();
    std::memcpy(bytes.data() + i, &word, std::min(sizeof word, bytes.size() - i));
  }
}
inline std::vector<std::byte> object_of(std::size_t bytes, std::uint64_t seed) {
  std::vector<std::byte> object(bytes);
  fill_object(object, seed);
  return object;
}
inline BackingKey key_of(std::uint64_t seed) {
  BackingKey key;
  fill_object(key, seed);
  return key;
}

// Block records as an arena would hold them.
class RecordMemory {
 public:
  explicit RecordMemory(std::uint64_t block_count)
      : bytes_(BackingSpace::record_bytes(block_count)),
        memory_(std::move(*SparseArray<std::byte>::create(bytes_))) {}
  [[nodiscard]] MutableBytes bytes() const { return {memory_.data(), bytes_}; }

 private:
  const std::uint64_t bytes_;
  SparseArray<std::byte> memory_;
};

inline BackingOptions quick_options() {
  BackingOptions options;
  options.time_limit = std::chrono::milliseconds(5'000);
  options.reader_count = 2;
  options.writer_count = 4;
  return options;
}

class SpaceUser final : public BackingListener {
 public:
  struct Object {
    BackingPosition position;
    std::size_t bytes = 0;
    std::uint64_t seed = 0;
  };
  using MakeStore = std::function<std::unique_ptr<BackingStore>()>;

  SpaceUser(std::uint64_t block_count, MakeStore make_store)
      : make_store_(std::move(make_store)), records_(block_count), key_(key_of(77)) {
    open();
  }
  explicit SpaceUser(FakeDisk& disk, BackingOptions options = quick_options())
      : SpaceUser(disk.block_count(),
                  [&disk, options] { return std::make_unique<FakeStore>(disk, options); }) {}

  [[nodiscard]] BackingSpace& space() const { return *space_; }
  [[nodiscard]] const std::vector<Object>& objects() const { return objects_; }
  [[nodiscard]] std::size_t failed_count() const { return failed_count_; }
  [[nodiscard]] int last_error() const { return last_error_; }
  [[nodiscard]] const RecordMemory& records() const { return records_; }
  void set_key(const BackingKey& key) { key_ = key; }
  void set_encrypt(bool encrypt) { encrypt_ = encrypt; }

  // The process is gone, its arena is not. Objects are not adopted.
  void reopen() {
    close();
    open();
  }
  void close() {
    writer_.reset();
    space_.reset();
  }
  void open() {
    BackingSpaceConfig config{key_, records_.bytes(), encrypt_};
    auto space = BackingSpace::create(make_store_(), config);
    ASSERT_TRUE(space.has_value()) << space.error().code;
    space_ = std::move(*space);
  }
  // Returns: how many of the objects the space accepts.
  std::size_t adopt_all() {
    std::size_t adopted = 0;
    for (const Object& object : objects_)
      adopted += space_->adopt(object.position, object.bytes) ? 1 : 0;
    space_->finish_adoption();
    return adopted;
  }

  // Returns: 0 or the error of append.
  int append(std::size_t bytes) {
    if (writer_ == nullptr) writer_ = std::make_unique<BackingWriter>(*space_, *this);
    const std::uint64_t seed = ++last_seed_;
    waiting_.push_back({{}, bytes, seed});
    const Result<void> appended = writer_->append(object_of(bytes, seed), seed);
    if (appended) return 0;
    waiting_.pop_back();
    return appended.error().code;
  }
  // Returns: objects that failed.
  std::size_t flush() {
    const std::size_t before = failed_count_;
    writer_.reset();
    EXPECT_TRUE(waiting_.empty()) << "the listener did not hear of every object";
    return failed_count_ - before;
  }
  void put(std::size_t count, std::size_t bytes) {
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(append(bytes), 0);
    ASSERT_EQ(flush(), 0U);
  }

  // Returns: 0 or the error.
  [[nodiscard]] int read(std::size_t index) { return read(objects_[index]); }
  [[nodiscard]] int read(const Object& object) {
    std::vector<std::byte> out(object.bytes);
    const Result<void> done = space_->read(object.position, out);
    if (!done) return done.error().code;
    EXPECT_EQ(out, object_of(object.bytes, object.seed))
        << object.bytes << " bytes at " << object.position.value;
    return 0;
  }
  void drop(std::size_t index) {
    space_->free(objects_[index].position, objects_[index].bytes);
    forget(index);
  }
  void drop_all() {
    while (!objects_.empty()) drop(objects_.size() - 1);
  }
  void forget(std::size_t index) {
    objects_[index] = objects_.back();
    objects_.pop_back();
  }
  void verify() {
    for (const Object& object : objects_) EXPECT_EQ(read(object), 0) << object.bytes << " bytes";
    space_->check_invariants();
    std::uint64_t live_bytes = 0;
    for (const Object& object : objects_) live_bytes += stored_bytes(object.bytes);
    EXPECT_EQ(space_->counters().live_bytes, live_bytes);
  }
  [[nodiscard]] BackingCounters counters() const { return space_->counters(); }

 private:
  void placed(std::uint64_t tag, Result<BackingPosition> position) override {
    const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                    [tag](const Object& each) { return each.seed == tag; });
    ASSERT_NE(place, waiting_.end()) << "heard of twice";
    Object object = *place;
    waiting_.erase(place);
    if (position) {
      object.position = *position;
      objects_.push_back(object);
    } else {
      ++failed_count_;
      last_error_ = position.error().code;
    }
  }

  const MakeStore make_store_;
  const RecordMemory records_;
  BackingKey key_;
  bool encrypt_ = true;
  std::unique_ptr<BackingSpace> space_;
  std::unique_ptr<BackingWriter> writer_;
  std::vector<Object> waiting_;
  std::vector<Object> objects_;
  std::uint64_t last_seed_ = 0;
  std::size_t failed_count_ = 0;
  int last_error_ = 0;
};

}  // namespace uzram

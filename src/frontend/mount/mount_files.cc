// SPDX-License-Identifier: Apache-2.0
// Requests about open files.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "frontend/mount/mount_operations.h"
#include "frontend/mount/regular_file.h"

namespace uzram {

OpenFile& open_file_of(const fuse_file_info& info) {
  // libfuse keeps the pointer that it was given, as a number.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return *reinterpret_cast<OpenFile*>(static_cast<std::uintptr_t>(info.fh));
}

namespace {

bool may_write(const fuse_file_info& info) { return (info.flags & O_ACCMODE) != O_RDONLY; }

// What the kernel knows of a file stays true: all changes come through it.
void fill_info(Inode& inode, fuse_file_info& info) {
  info.fh = reinterpret_cast<std::uintptr_t>(new OpenFile{may_write(info)});
  info.keep_cache = 1;
  // A write that is refused must not be in its pages first.
  if (may_write(info) && inode.file->is_released()) info.direct_io = 1;
}

void close_handle(Inode& inode, const fuse_file_info& info) {
  const std::unique_ptr<OpenFile> handle(&open_file_of(info));
  inode.file->close(handle->can_write);
}

Result<void> open_inode(Inode& inode, const fuse_file_info& info) {
  if (inode.file == nullptr) return fail(EINVAL);
  return inode.file->open(may_write(info));
}

void on_open(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  Inode& inode = inode_of(request, node);
  if (auto opened = open_inode(inode, *info); !opened)
    return reply_error(request, opened.error().code);
  fill_info(inode, *info);
  // Nobody got it when the caller was interrupted.
  if (::fuse_reply_open(request, info) == -ENOENT) close_handle(inode, *info);
}

// In compress_mode=user a new file has the flag, and waits for a call.
void mark_new(Volume& volume, Inode& inode, bool is_to_be_compressed) {
  if (!volume.options().is_user_mode || !is_to_be_compressed) return;
  KeptFlags flags;
  flags.compress = CompressFlag::Compress;
  static_cast<void>(inode.set_flags(flags));
}

void reply_created(fuse_req_t request, const fuse_entry_param& entry, fuse_file_info& info) {
  Inode& inode = inode_of(request, entry.ino);
  fill_info(inode, info);
  if (::fuse_reply_create(request, &entry, &info) != -ENOENT) return;
  close_handle(inode, info);
  volume_of(request).inodes().let_go(inode);
}

// Made with the caller's ids: nobody has to be given it afterwards.
Result<FileDescriptor> create_file(fuse_req_t request, const Inode& folder, const char* name,
                                   mode_t mode) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const Caller caller = caller_of(request);
  const auto acting = ActAs::begin(caller);
  if (!acting) return fail(acting.error().code);
  FileDescriptor file(
      ::openat(folder.place(), name, kFlags, mode_under_umask(caller, mode & 07777)));
  if (!file.is_open()) return fail_errno();
  return file;
}

void on_create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
               fuse_file_info* info) {
  Volume& volume = volume_of(request);
  Inode& folder = inode_of(request, parent);
  if (is_private(volume, folder, name)) return reply_error(request, EPERM);
  auto file = create_file(request, folder, name, mode);
  if (!file) {
    // Somebody else made it, below. The kernel takes what create opens for the caller's own: it is
    // told to look again, and then checks who may open it.
    const bool is_to_look_again = file.error().code == EEXIST && (info->flags & O_EXCL) == 0;
    return reply_error(request, is_to_look_again ? ESTALE : file.error().code);
  }
  // Not by its name, which may be another file's by now.
  const auto entry = entry_of_open_file(volume, file->get());
  if (!entry) return reply_error(request, entry.error().code);
  Inode& inode = inode_of(request, entry->ino);
  const bool wants = volume.wants_compression(folder, name);
  mark_new(volume, inode, wants);
  inode.file->open_new(*std::move(file), wants);
  // Its handle closes as one that can write, whatever it was opened for.
  info->flags = (info->flags & ~O_ACCMODE) | O_RDWR;
  reply_created(request, *entry, *info);
}

void on_read(fuse_req_t request, fuse_ino_t node, std::size_t bytes, off_t offset,
             fuse_file_info*) {
  RegularFile& file = *inode_of(request, node).file;
  const bool was_plain = file.try_plain_read([&](int descriptor) {
    fuse_bufvec data = FUSE_BUFVEC_INIT(bytes);
    data.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
    data.buf[0].fd = descriptor;
    data.buf[0].pos = offset;
    ::fuse_reply_data(request, &data, FUSE_BUF_SPLICE_MOVE);
  });
  if (was_plain) return;
  thread_local std::vector<std::byte> place;
  if (place.size() < bytes) place.resize(bytes);
  const auto got = file.read(static_cast<std::uint64_t>(offset), MutableBytes(place).first(bytes));
  if (!got) return reply_error(request, got.error().code);
  ::fuse_reply_buf(request, reinterpret_cast<const char*>(place.data()), *got);
}

// A compressed file's, or one that has to be looked at.
Result<void> write_from_memory(RegularFile& file, fuse_bufvec& data, off_t offset) {
  const std::size_t bytes = ::fuse_buf_size(&data);
  ConstBytes content;
  thread_local std::vector<std::byte> place;
  if ((data.buf[0].flags & FUSE_BUF_IS_FD) == 0) {
    content = ConstBytes(static_cast<const std::byte*>(data.buf[0].mem), bytes);
  } else {
    if (place.size() < bytes) place.resize(bytes);
    fuse_bufvec copy = FUSE_BUFVEC_INIT(bytes);
    copy.buf[0].mem = place.data();
    const ssize_t copied = ::fuse_buf_copy(&copy, &data, fuse_buf_copy_flags{});
    if (copied < 0) return fail(static_cast<int>(-copied));
    if (static_cast<std::size_t>(copied) < bytes) return fail(EIO);
    content = ConstBytes(place).first(bytes);
  }
  return file.write(static_cast<std::uint64_t>(offset), content);
}

// A plain one's. The kernel takes the writing of a part of its pages for that of all: so the rest
// is tried until it is refused.
Result<void> write_through(int descriptor, fuse_bufvec& data, off_t offset) {
  const std::size_t bytes = ::fuse_buf_size(&data);
  fuse_bufvec target = FUSE_BUFVEC_INIT(bytes);
  target.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  target.buf[0].fd = descriptor;
  target.buf[0].pos = offset;
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t written = ::fuse_buf_copy(&target, &data, fuse_buf_copy_flags{});
    if (written < 0) return fail(static_cast<int>(-written));
    if (written == 0) return fail(EIO);
    done += static_cast<std::size_t>(written);
  }
  return {};
}

// Who wrote what the kernel kept has been told that all was well, and it is shown. So the size that
// the kernel goes on to show becomes true, and its pages are read anew.
void refuse_kept(fuse_req_t request, Inode& inode, std::uint64_t end, int code) {
  Volume& volume = volume_of(request);
  inode.file->reach(end);
  volume.inodes().hold(inode);
  reply_error(request, code);
  volume.late_answers().post([&volume, &inode] {
    volume.write_back(inode);
    volume.inodes().let_go(inode);
  });
}

void on_write_buf(fuse_req_t request, fuse_ino_t node, fuse_bufvec* data, off_t offset,
                  fuse_file_info* info) {
  Inode& inode = inode_of(request, node);
  const auto start = static_cast<std::uint64_t>(offset);
  const std::size_t bytes = ::fuse_buf_size(data);
  Result<void> written;
  const bool was_plain = inode.file->try_plain_write(start, [&](int descriptor) {
    written = write_through(descriptor, *data, offset);
    if (written) ::fuse_reply_write(request, bytes);
  });
  if (!was_plain) {
    written = write_from_memory(*inode.file, *data, offset);
    if (written) ::fuse_reply_write(request, bytes);
  }
  if (written) return;
  const int code = written.error().code;
  if (info->writepage == 0) return reply_error(request, code);
  refuse_kept(request, inode, start + bytes, code);
}

void on_flush(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  RegularFile& file = *inode_of(request, node).file;
  reply_done(request, open_file_of(*info).can_write ? file.flush() : Result<void>{});
}

void on_release(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  close_handle(inode_of(request, node), *info);
  reply_error(request, 0);
}

void on_fsync(fuse_req_t request, fuse_ino_t node, int, fuse_file_info*) {
  reply_done(request, inode_of(request, node).file->sync());
}

void on_fallocate(fuse_req_t request, fuse_ino_t node, int mode, off_t offset, off_t bytes,
                  fuse_file_info*) {
  reply_done(request, inode_of(request, node)
                          .file->allocate(mode, static_cast<std::uint64_t>(offset),
                                          static_cast<std::uint64_t>(bytes)));
}

void seek(fuse_req_t request, Inode& inode, off_t offset, int whence) {
  const auto found = inode.file->seek(static_cast<std::uint64_t>(offset), whence == SEEK_DATA);
  if (!found) return reply_error(request, found.error().code);
  ::fuse_reply_lseek(request, static_cast<off_t>(*found));
}

// The kernel asks without writing first what it keeps: that would be holes, or behind the end.
void on_lseek(fuse_req_t request, fuse_ino_t node, off_t offset, int whence, fuse_file_info*) {
  Inode& inode = inode_of(request, node);
  if (inode.file->writer_count() == 0) return seek(request, inode, offset, whence);
  volume_of(request).late_answers().post([request, &inode, offset, whence] {
    volume_of(request).write_back(inode);
    seek(request, inode, offset, whence);
  });
}

}  // namespace

void add_file_operations(fuse_lowlevel_ops& callbacks) {
  callbacks.open = on_open;
  callbacks.create = on_create;
  callbacks.read = on_read;
  callbacks.write_buf = on_write_buf;
  callbacks.flush = on_flush;
  callbacks.release = on_release;
  callbacks.fsync = on_fsync;
  callbacks.fallocate = on_fallocate;
  callbacks.lseek = on_lseek;
  callbacks.ioctl = answer_ioctl;
}

}  // namespace uzram

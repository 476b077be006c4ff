// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "app/commands/commands.h"
#include "app/estimate_words.h"
#include "app/f2fs_extract.h"
#include "app/f2fs_image.h"
#include "app/f2fs_view.h"
#include "app/progress.h"
#include "app/say.h"
#include "base/printable_text.h"
#include "cluster/f2fs_directory.h"
#include "cluster/f2fs_tree.h"
#include "control/size_text.h"

namespace uzram {

namespace {

struct F2fsWords {
  std::string image;
  std::string path;
  std::string target;
  std::string offset = "0";
  std::string length;
  EstimateWords estimate;
  ExtractOptions extract;
  bool is_long = false;
  bool is_recursive = false;
  bool shows_clusters = false;
};

int say_error(const F2fsError& error) { return say_refusal({error.code, error.text}); }

// Runs `work` on the opened image and the inode of the path.
template <typename Work>
int with_inode(const F2fsWords& words, const Work& work) {
  const auto image = open_f2fs_image(words.image);
  if (!image) return say_failure(image.error().text);
  const auto inode = find_path(*image->volume, words.path);
  if (!inode) return say_error({inode.error().code, quote(words.path) + ": " + inode.error().text});
  return work(*image->volume, *inode);
}

std::string ls_line(const F2fsWords& words, const std::string& name, const F2fsInode& inode) {
  if (words.is_long) return long_entry(name, inode);
  return ::isatty(STDOUT_FILENO) == 1 ? printable(name) : name;  // A pipe gets names as they are.
}

int list_tree(const F2fsWords& words, const F2fsVolume& volume, const F2fsInode& top) {
  ImageFaults faults;
  walk_tree(volume, top,
            {[&](const std::string& path, const F2fsInode& inode) {
               if (!path.empty()) fmt::print("{}\n", ls_line(words, path, inode));
               return true;
             },
             [&](const F2fsError& error) { faults.add(error); }});
  return faults.exit_code();
}

int run_f2fs_ls(const F2fsWords& words) {
  return with_inode(words, [&](const F2fsVolume& volume, const F2fsInode& top) {
    if (!S_ISDIR(top.mode)) {
      fmt::print("{}\n", ls_line(words, words.path, top));
      return 0;
    }
    if (words.is_recursive) return list_tree(words, volume, top);
    std::vector<F2fsEntry> entries;
    const auto visited = visit_entries(volume, top, [&](const F2fsEntry& entry) {
      entries.push_back(entry);
      return true;
    });
    std::sort(entries.begin(), entries.end(),
              [](const F2fsEntry& a, const F2fsEntry& b) { return a.name < b.name; });
    ImageFaults faults;
    for (const F2fsEntry& entry : entries) {
      const auto inode = read_inode(volume, entry.ino);
      if (!inode)
        faults.add(printable(entry.name) + ": " + inode.error().text);
      else
        fmt::print("{}\n", ls_line(words, entry.name, *inode));
    }
    if (!visited) faults.add(visited.error());
    return faults.exit_code();
  });
}

int show_clusters(const F2fsVolume& volume, const F2fsInode& inode) {
  if (!inode.is_compressed || inode.inline_content.bytes != 0)
    return say_usage(inode.place() + ": has no clusters; only compressed files do");
  ImageFaults faults;
  F2fsFile file(volume, inode);
  const std::uint64_t cluster_bytes = inode.cluster.cluster_bytes();
  std::vector<std::byte> packed;
  for (std::uint64_t at = 0; at < inode.size_bytes; at += cluster_bytes) {
    const std::uint64_t index = at / cluster_bytes;
    const auto cluster = file.cluster(index);
    if (!cluster) {
      faults.add(cluster.error());
      continue;
    }
    packed.resize(cluster->is_packed ? cluster->blocks.size() * kPageBytes : 0);
    if (cluster->is_packed) {
      if (const auto got = file.read_packed(*cluster, packed); !got) faults.add(got.error());
    }
    fmt::print("{}\n", cluster_line(index, inode.cluster, *cluster, packed));
  }
  return faults.exit_code();
}

int run_f2fs_stat(const F2fsWords& words) {
  if (words.path.empty() && !words.shows_clusters) {
    const auto image = open_f2fs_image(words.image);
    if (!image) return say_failure(image.error().text);
    fmt::print("{}", volume_text(*image->volume));
    return 0;
  }
  return with_inode(words, [&](const F2fsVolume& volume, const F2fsInode& inode) {
    if (words.shows_clusters) return show_clusters(volume, inode);
    fmt::print("{}", inode_text(inode));
    const auto xattrs = read_xattrs(volume, inode);
    if (!xattrs) return say_error(xattrs.error());
    for (const F2fsXattr& xattr : *xattrs)
      fmt::print("xattr: {} ({} bytes)\n", printable(xattr.name), xattr.value.size());
    return 0;
  });
}

int run_f2fs_cat(const F2fsWords& words) {
  const auto offset = read_size("--offset: ", words.offset);
  if (!offset) return say_usage(offset.error().text);
  InputResult<std::uint64_t> length = std::uint64_t{0};
  if (!words.length.empty()) length = read_size("--length: ", words.length);
  if (!length) return say_usage(length.error().text);
  return with_inode(words, [&](const F2fsVolume& volume, const F2fsInode& inode) {
    if (!S_ISREG(inode.mode) && !S_ISLNK(inode.mode))
      return say_usage(quote(words.path) + " is not a file");
    const std::uint64_t begin = std::min(*offset, inode.size_bytes);
    const std::uint64_t left = inode.size_bytes - begin;
    const std::uint64_t bytes = words.length.empty() ? left : std::min(left, *length);
    F2fsFile file(volume, inode);
    const auto copied = copy_content(file, inode, {begin, bytes}, STDOUT_FILENO, false);
    ImageFaults faults;
    faults.add_checksums(inode, file.checksum_faults());
    if (!copied) faults.add(copied.error().text);
    return faults.exit_code();
  });
}

int run_f2fs_extract(const F2fsWords& words) {
  return with_inode(words, [&](const F2fsVolume& volume, const F2fsInode& top) {
    const std::size_t slash = words.path.find_last_of('/');
    const std::string name = slash == std::string::npos ? words.path : words.path.substr(slash + 1);
    ImageFaults faults;
    const auto extracted = extract_tree(volume, top, name, words.target, words.extract, faults);
    if (!extracted) return say_failure(extracted.error().text);
    return faults.exit_code();
  });
}

// Holes of a whole largest cluster cost nothing, as in f2fs.
F2fsResult<void> estimate_file(const F2fsVolume& volume, const F2fsInode& inode,
                               std::vector<ClusterEstimate>& estimates, Progress& progress) {
  F2fsFile file(volume, inode);
  std::vector<std::byte> piece(std::min<std::uint64_t>(kMaxBlockBytes, inode.size_bytes));
  std::uint64_t offset = 0;
  while (offset < inode.size_bytes) {
    const auto data = file.next_data(offset);
    if (!data) return f2fs_fail(data.error());
    const std::uint64_t begin = *data / kMaxBlockBytes * kMaxBlockBytes;
    if (*data >= inode.size_bytes) break;
    const auto bytes = std::min<std::uint64_t>(kMaxBlockBytes, inode.size_bytes - begin);
    const MutableBytes content = MutableBytes(piece).first(bytes);
    if (auto got = file.read(begin, content); !got) return got;
    for (ClusterEstimate& estimate : estimates) estimate.add(content);
    progress.advance(bytes);
    offset = begin + bytes;
  }
  return {};
}

int run_f2fs_estimate(const F2fsWords& words) {
  auto estimates = make_estimates(words.estimate);
  if (!estimates) return say_usage(estimates.error().text);
  return with_inode(words, [&](const F2fsVolume& volume, const F2fsInode& top) {
    ImageFaults faults;
    std::uint64_t file_count = 0;
    {
      Progress progress("estimate", volume.checkpoint().valid_blocks * kPageBytes);
      walk_tree(volume, top,
                {[&](const std::string&, const F2fsInode& inode) {
                   if (!S_ISREG(inode.mode) || inode.is_encrypted) return true;
                   const auto done = estimate_file(volume, inode, *estimates, progress);
                   if (!done) faults.add(done.error());
                   ++file_count;
                   return true;
                 },
                 [&](const F2fsError& error) { faults.add(error); }});
    }
    print_estimates(fmt::format("{} files", file_count), *estimates, words.estimate.in_bytes);
    return faults.exit_code();
  });
}

using F2fsRun = int (*)(const F2fsWords&);

CLI::App* add_image_command(CLI::App& f2fs, CommandLine& line,
                            const std::shared_ptr<F2fsWords>& words, const std::string& name,
                            const std::string& summary, F2fsRun run) {
  CLI::App* command = f2fs.add_subcommand(name, summary);
  command->add_option("image", words->image, "a file or a block device with an f2fs")->required();
  command->callback([&line, words, run] { line.run = [words, run] { return run(*words); }; });
  return command;
}

}  // namespace

void add_f2fs(CLI::App& program, CommandLine& line) {
  CLI::App* f2fs = program.add_subcommand("f2fs", "read f2fs images, compressed files and all");
  f2fs->require_subcommand(1);
  f2fs->footer("Example: uzram f2fs extract data.img --to data");
  const auto words = std::make_shared<F2fsWords>();

  CLI::App* ls = add_image_command(*f2fs, line, words, "ls", "list a directory", run_f2fs_ls);
  ls->add_option("path", words->path, "below the image's root (default: the root)");
  ls->add_flag("-l,--long", words->is_long, "with mode, links, owner, size and time (UTC)");
  ls->add_flag("-r,--recursive", words->is_recursive, "everything below, by path");
  ls->footer("Example: uzram f2fs ls data.img /app --long");

  CLI::App* stat = add_image_command(*f2fs, line, words, "stat",
                                     "show the file system, or a file's attributes", run_f2fs_stat);
  stat->add_option("path", words->path, "a file (default: the file system itself)");
  stat->add_flag("--clusters", words->shows_clusters,
                 "a line for each cluster of a compressed file");
  stat->footer("Example: uzram f2fs stat data.img /app/base.apk --clusters");

  CLI::App* cat =
      add_image_command(*f2fs, line, words, "cat", "write a file's content", run_f2fs_cat);
  cat->add_option("path", words->path, "a file, or a symbolic link for where it leads")->required();
  cat->add_option("--offset", words->offset, "where to begin")->type_name("SIZE");
  cat->add_option("--length", words->length, "how much (default: all)")->type_name("SIZE");
  cat->footer("Example: uzram f2fs cat data.img /app/base.apk --offset 1M --length 4K");

  CLI::App* extract = add_image_command(*f2fs, line, words, "extract",
                                        "write files into a directory", run_f2fs_extract);
  extract->add_option("path", words->path, "a directory or a file (default: everything)");
  extract->add_option("--to", words->target, "the directory; made if it is not there")
      ->type_name("DIR")
      ->required();
  extract->add_flag("--owners", words->extract.has_owners, "with users and groups; for root");
  extract->add_flag("--xattrs", words->extract.has_xattrs, "with xattrs whose names begin user.");
  extract->footer("Example: uzram f2fs extract data.img /app --to app");

  CLI::App* estimate =
      add_image_command(*f2fs, line, words, "estimate",
                        "what the files would take as clusters of other kinds", run_f2fs_estimate);
  estimate->add_option("path", words->path, "a directory or a file (default: everything)");
  add_estimate_options(*estimate, words->estimate);
  estimate->footer("Example: uzram f2fs estimate data.img --algorithm zstd:3 --log-size 4");
}

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>

#include "app/commands/commands.h"
#include "app/estimate_words.h"
#include "app/progress.h"
#include "app/say.h"
#include "base/file_descriptor.h"
#include "cluster/cluster_file.h"
#include "control/size_text.h"

namespace uzram {

namespace {

// Whole clusters of every size; enough of them for several threads.
constexpr std::size_t kPieceBytes = 8 * kMaxBlockBytes;

struct ClusterWords {
  std::string source;
  std::string target;
  std::string algorithm = "lz4";
  unsigned log_size = kLeastClusterLog;
  unsigned thread_count = 0;
  bool has_checksum = false;
  bool shows_clusters = false;
  bool is_estimate = false;
  std::string offset = "0";
  std::string length;
  EstimateWords estimate;
};

int say_code(const std::string& path, int code) {
  if (code == EBADMSG) return say_failure(quote(path) + ": no cluster file, or it is damaged");
  if (code == EPROTONOSUPPORT) return say_failure(quote(path) + ": of a newer version");
  return say_failure(fmt::format("{}: {}", quote(path), ::strerrordesc_np(code)));
}

// Runs `work` on the opened cluster file.
template <typename Work>
int with_cluster_file(const std::string& path, StorageMode mode, const Work& work) {
  auto storage = open_cluster_storage(path, mode);
  if (!storage) return say_code(path, storage.error().code);
  const auto file = ClusterFile::open(*std::move(storage), mode, {});
  if (!file) return say_code(path, file.error().code);
  return work(**file);
}

// A file to read or write; "-" is standard input or output.
class Stream {
 public:
  Stream(const std::string& path, int flags) : is_standard_(path == "-") {
    if (is_standard_)
      descriptor_ = (flags & O_ACCMODE) == O_RDONLY ? STDIN_FILENO : STDOUT_FILENO;
    else
      owned_ = FileDescriptor(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  }
  [[nodiscard]] bool is_open() const { return is_standard_ || owned_.is_open(); }
  [[nodiscard]] int get() const { return is_standard_ ? descriptor_ : owned_.get(); }
  // The size of a regular file.
  [[nodiscard]] std::optional<std::uint64_t> size_bytes() const {
    struct stat status {};
    if (::fstat(get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  bool is_standard_;
  int descriptor_ = -1;
  FileDescriptor owned_;
};

// Fills `out` unless the input ends. Returns: how much it is, or nullopt with errno set.
std::optional<std::size_t> read_fully(int descriptor, MutableBytes out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::read(descriptor, &out[done], out.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

bool write_fully(int descriptor, ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

// Each byte equals the one before it, and the first is zero.
bool is_all_zero(ConstBytes bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

// Returns: 0, or the exit code after words on standard error.
int pack_stream(const ClusterWords& words, const Stream& in, ClusterFile& file) {
  Progress progress("pack", in.size_bytes());
  std::vector<std::byte> piece(kPieceBytes);
  std::uint64_t offset = 0;
  while (true) {
    const auto got = read_fully(in.get(), piece);
    if (!got) return say_code(words.source, errno);
    if (*got == 0) break;
    const ConstBytes content = ConstBytes(piece).first(*got);
    // Nothing is stored for long runs of zeros, as for holes.
    if (content.size() < kPieceBytes || !is_all_zero(content)) {
      if (auto written = file.write(offset, content); !written)
        return say_code(words.target, written.error().code);
    }
    offset += *got;
    progress.advance(*got);
  }
  if (auto sized = file.truncate(offset); !sized) return say_code(words.target, sized.error().code);
  if (auto synced = file.sync(); !synced) return say_code(words.target, synced.error().code);
  return 0;
}

int run_cluster_pack(const ClusterWords& words) {
  ClusterOptions options{.log_pages = words.log_size, .has_checksum = words.has_checksum};
  if (auto chosen = choose_algorithm(words.algorithm, options); !chosen)
    return say_usage(chosen.error().text);
  if (!is_valid(options))
    return say_usage(fmt::format("--log-size: {} is not from 2 to 8", words.log_size));
  const Stream in(words.source, O_RDONLY);
  if (!in.is_open()) return say_code(words.source, errno);
  auto storage = open_cluster_storage(words.target, StorageMode::Create);
  if (!storage) return say_code(words.target, storage.error().code);
  ClusterFileLimits limits;
  limits.thread_count =
      words.thread_count != 0 ? words.thread_count : std::thread::hardware_concurrency();
  const auto file = ClusterFile::create(*std::move(storage), options, limits);
  const int exit_code =
      file ? pack_stream(words, in, **file) : say_code(words.target, file.error().code);
  // Half of a file is of no use.
  if (exit_code != 0) ::unlink(words.target.c_str());
  return exit_code;
}

// Writes a range of the content; holes of the target stay where it is a new file.
int copy_out(const ClusterWords& words, ClusterFile& file, const Stream& out, std::uint64_t begin,
             std::uint64_t end) {
  const bool keeps_holes = words.target != "-" && out.size_bytes() == 0;
  Progress progress("unpack", end - begin);
  std::vector<std::byte> piece(std::min<std::uint64_t>(kPieceBytes, end - begin));
  for (std::uint64_t offset = begin; offset < end;) {
    if (keeps_holes) {
      const auto data = file.next_data(offset);
      if (!data) return say_code(words.source, data.error().code);
      if (::lseek(out.get(), static_cast<off_t>(*data - begin), SEEK_SET) < 0)
        return say_code(words.target, errno);
      offset = std::min(*data, end);
      if (offset == end) break;
    }
    const MutableBytes content =
        MutableBytes(piece).first(std::min<std::uint64_t>(piece.size(), end - offset));
    const auto got = file.read(offset, content);
    if (!got) {
      return say_failure(fmt::format("{}: damaged at {} or up to {} bytes behind it",
                                     quote(words.source), offset, content.size()));
    }
    if (!(keeps_holes && is_all_zero(content)) && !write_fully(out.get(), content))
      return say_code(words.target, errno);
    offset += content.size();
    progress.advance(content.size());
  }
  if (keeps_holes && ::ftruncate(out.get(), static_cast<off_t>(end - begin)) != 0)
    return say_code(words.target, errno);
  return 0;
}

int run_cluster_unpack(const ClusterWords& words) {
  return with_cluster_file(words.source, StorageMode::Read, [&](ClusterFile& file) {
    const Stream out(words.target, O_WRONLY | O_CREAT | O_EXCL);
    if (!out.is_open()) return say_code(words.target, errno);
    const int exit_code = copy_out(words, file, out, 0, file.size_bytes());
    if (exit_code != 0 && words.target != "-") ::unlink(words.target.c_str());
    return exit_code;
  });
}

int run_cluster_cat(const ClusterWords& words) {
  const auto offset = read_size("--offset: ", words.offset);
  if (!offset) return say_usage(offset.error().text);
  InputResult<std::uint64_t> length = ~std::uint64_t{0};
  if (!words.length.empty()) length = read_size("--length: ", words.length);
  if (!length) return say_usage(length.error().text);
  return with_cluster_file(words.source, StorageMode::Read, [&](ClusterFile& file) {
    const std::uint64_t begin = std::min(*offset, file.size_bytes());
    const std::uint64_t end = begin + std::min(*length, file.size_bytes() - begin);
    ClusterWords to_standard_output = words;
    to_standard_output.target = "-";
    return copy_out(to_standard_output, file, Stream("-", O_WRONLY), begin, end);
  });
}

int estimate_content(const ClusterWords& words, ClusterFile& file) {
  auto estimates = make_estimates(words.estimate);
  if (!estimates) return say_usage(estimates.error().text);
  {
    Progress progress("estimate", file.size_bytes());
    std::vector<std::byte> piece(std::min<std::uint64_t>(kPieceBytes, file.size_bytes()));
    for (std::uint64_t offset = 0; offset < file.size_bytes(); offset += kPieceBytes) {
      const auto got = file.read(offset, piece);
      if (!got) return say_code(words.source, got.error().code);
      const ConstBytes content = ConstBytes(piece).first(*got);
      if (*got < kPieceBytes || !is_all_zero(content)) {
        for (ClusterEstimate& estimate : *estimates) estimate.add(content);
      }
      progress.advance(*got);
    }
  }
  print_estimates("content", *estimates, words.estimate.in_bytes);
  return 0;
}

int run_cluster_stat(const ClusterWords& words) {
  return with_cluster_file(words.source, StorageMode::Read, [&](ClusterFile& file) {
    if (words.is_estimate) return estimate_content(words, file);
    if (words.shows_clusters) {
      const auto visited = file.visit_clusters([&](std::uint64_t index, const MapEntry& entry) {
        fmt::print("{} {} {} of {} blocks at {}\n", index,
                   entry.kind == EntryKind::Packed ? "packed" : "raw", entry.block_count,
                   file.options().page_count(), entry.first_block);
      });
      return visited ? 0 : say_code(words.source, visited.error().code);
    }
    const auto sum = file.totals();
    if (!sum) return say_code(words.source, sum.error().code);
    const auto bytes = [](std::uint64_t blocks) { return short_size(blocks * kPageBytes); };
    fmt::print("size: {}\n", file.size_bytes());
    fmt::print("compression: {}, clusters of {}, {}\n", cluster_algorithm_text(file.options()),
               short_size(file.options().cluster_bytes()),
               file.options().has_checksum ? "with checksums" : "without checksums");
    fmt::print("clusters: {} packed, {} raw, {} holes\n", sum->packed_clusters, sum->raw_clusters,
               file.cluster_count() - sum->packed_clusters - sum->raw_clusters);
    fmt::print("stored: {} for {} of content, and {} of map\n", bytes(sum->stored_blocks),
               bytes(sum->content_blocks), bytes(sum->map_blocks));
    fmt::print("space: {}\n", file.is_reserved() ? "reserved for rewriting" : "released");
    return 0;
  });
}

int run_cluster_verify(const ClusterWords& words) {
  return with_cluster_file(words.source, StorageMode::Read, [&](ClusterFile& file) {
    int exit_code = 0;
    Progress progress("verify", file.size_bytes());
    const auto faults = file.verify(
        [&](std::uint64_t cluster, std::uint64_t count) {
          const std::string others = count > 1 ? fmt::format(" and {} behind it", count - 1) : "";
          exit_code = say_failure(
              fmt::format("{}: cluster {}{}: damaged", quote(words.source), cluster, others));
        },
        [&](std::uint64_t bytes) { progress.advance(bytes); });
    return faults ? exit_code : say_code(words.source, faults.error().code);
  });
}

int change_reserve(const ClusterWords& words, Result<void> (ClusterFile::*change)()) {
  return with_cluster_file(words.source, StorageMode::Write, [&](ClusterFile& file) {
    const auto changed = (file.*change)();
    return changed ? 0 : say_code(words.source, changed.error().code);
  });
}
int run_cluster_reserve(const ClusterWords& words) {
  return change_reserve(words, &ClusterFile::reserve);
}
int run_cluster_release(const ClusterWords& words) {
  return change_reserve(words, &ClusterFile::release);
}

using ClusterRun = int (*)(const ClusterWords&);

CLI::App* add_cluster_command(CLI::App& cluster, CommandLine& line,
                              const std::shared_ptr<ClusterWords>& words, const std::string& name,
                              const std::string& summary, ClusterRun run) {
  CLI::App* command = cluster.add_subcommand(name, summary);
  const bool is_pack = name == "pack";
  command
      ->add_option("source", words->source,
                   is_pack ? "what to pack; - is standard input" : "a cluster file")
      ->required();
  command->callback([&line, words, run] { line.run = [words, run] { return run(*words); }; });
  return command;
}

void add_pack_options(CLI::App& pack, ClusterWords& words) {
  pack.add_option("target", words.target, "the cluster file, which must not be there yet")
      ->required();
  pack.add_option("--algorithm", words.algorithm, "lzo, lzo-rle, lz4, lz4:9, zstd, zstd:3")
      ->type_name("NAME");
  pack.add_option("--log-size", words.log_size,
                  "clusters of 4 KiB times 2 to the power of this, 2 to 8 (default 2)")
      ->type_name("N");
  pack.add_flag("--checksum", words.has_checksum, "f2fs's own checksum in each cluster as well");
  pack.add_option("--threads", words.thread_count, "that pack (default: one a processor)")
      ->type_name("N")
      ->check(CLI::Range(1U, 256U));
}

}  // namespace

void add_cluster(CLI::App& program, CommandLine& line) {
  CLI::App* cluster =
      program.add_subcommand("cluster", "keep a file compressed, readable at random");
  cluster->require_subcommand(1);
  cluster->footer("Example: uzram cluster pack big.log big.clusters --algorithm zstd:3");
  const auto words = std::make_shared<ClusterWords>();

  CLI::App* pack =
      add_cluster_command(*cluster, line, words, "pack", "make a cluster file", run_cluster_pack);
  add_pack_options(*pack, *words);
  pack->footer("Example: uzram cluster pack big.log big.clusters --algorithm zstd:3 --log-size 4");

  CLI::App* unpack = add_cluster_command(*cluster, line, words, "unpack", "write the whole content",
                                         run_cluster_unpack);
  unpack->add_option("target", words->target, "a new file; - is standard output")->required();
  unpack->footer("Example: uzram cluster unpack big.clusters big.log");

  CLI::App* cat = add_cluster_command(*cluster, line, words, "cat", "write a part of the content",
                                      run_cluster_cat);
  cat->add_option("--offset", words->offset, "where to begin")->type_name("SIZE");
  cat->add_option("--length", words->length, "how much (default: all)")->type_name("SIZE");
  cat->footer("Example: uzram cluster cat big.clusters --offset 1G --length 4K");

  CLI::App* stat = add_cluster_command(*cluster, line, words, "stat",
                                       "show how it is stored, or could be", run_cluster_stat);
  stat->add_flag("--clusters", words->shows_clusters, "a line for each cluster that is stored");
  stat->add_flag("--estimate", words->is_estimate, "what it would take as clusters of other kinds");
  add_estimate_options(*stat, words->estimate);
  stat->footer("Example: uzram cluster stat big.clusters --estimate --algorithm zstd:3");

  CLI::App* verify = add_cluster_command(*cluster, line, words, "verify",
                                         "read everything and check it", run_cluster_verify);
  verify->footer("Example: uzram cluster verify big.clusters");

  CLI::App* reserve =
      add_cluster_command(*cluster, line, words, "reserve",
                          "set space aside for rewriting all of it", run_cluster_reserve);
  reserve->footer("Example: uzram cluster reserve big.clusters");
  CLI::App* release = add_cluster_command(*cluster, line, words, "release",
                                          "give back what was set aside", run_cluster_release);
  release->footer("Example: uzram cluster release big.clusters");
}

}  // namespace uzram

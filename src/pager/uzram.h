// SPDX-License-Identifier: Apache-2.0
// pager/uzram.h: the pager for C (C99 and later), and for every language that calls C.
//
// What:    what uzram/pager.h has, with the same meanings: that header has the whole contract.
// Errors:  a function that returns int returns 0, or -1 with errno set; one that returns a pointer
//          returns NULL with errno set. errno is left alone on success.
// Owns:    a pager belongs to whoever made it, until uzram_pager_close.
// Threads: from any thread.
// Proof:   uzram_c_test.cc; tests/install_test.py.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct uzram_pager uzram_pager;

enum uzram_backend {
  UZRAM_BACKEND_AUTOMATIC = 0,
  UZRAM_BACKEND_MOVE = 1,
  UZRAM_BACKEND_PROTECT = 2,
  UZRAM_BACKEND_SIGNAL = 3,
  UZRAM_BACKEND_EXPLICIT = 4,
  UZRAM_BACKEND_STRICT = 5
};
enum uzram_fork_rule { UZRAM_FORK_REFUSE = 0, UZRAM_FORK_POPULATE = 1 };
enum uzram_hint {
  UZRAM_HINT_NORMAL = 0,
  UZRAM_HINT_SEQUENTIAL = 1,
  UZRAM_HINT_RANDOM = 2,
  UZRAM_HINT_COLD = 3
};
enum uzram_sharing { UZRAM_PRIVATE = 0, UZRAM_SHARED = 1 };

/* Set by uzram_pager_options_init; what is not changed afterwards has its default. */
struct uzram_pager_options {
  size_t struct_bytes; /* Of this structure, as the caller knows it. */
  uint64_t memory_limit_bytes;
  uint64_t address_bytes;
  const char* algorithm;
  uint64_t staging_bytes;
  uint32_t backend;
  uint32_t fork_rule;
  uint32_t page_cluster;
  uint32_t has_vma_readahead;
  uint32_t swappiness;
  uint32_t watermark_scale_factor;
  uint32_t has_page_checks;
  int32_t level;              /* INT32_MIN: the algorithm's own. */
  int32_t compressor_threads; /* -1: as many as suit the machine. */
  uint32_t cluster_pages;     /* 0: each page is packed by itself. */
};

struct uzram_pager_stats {
  size_t struct_bytes; /* Set by the caller: how much it has room for. */
  uint64_t total_bytes, limit_bytes;
  uint64_t resident_bytes, staged_bytes, packed_bytes, table_bytes;
  uint64_t region_bytes, stored_bytes;
  uint64_t faults, major_faults, staging_hits, write_upgrades, readahead_pages, refaults;
  uint64_t evicted_pages, clean_drops, packed_pages, assisted_pages;
  uint64_t stall_nanoseconds;
  double stall_avg10, stall_avg60;
  uint64_t clustered_pages, repacked_pages;
  uint64_t file_faults, file_clusters_read, written_back_pages, failed_write_backs;
  uint64_t unwritten_bytes;
};

void uzram_pager_options_init(struct uzram_pager_options* options, uint64_t memory_limit_bytes);
uzram_pager* uzram_pager_open(const struct uzram_pager_options* options);
/* The regions' addresses must not be used any more. */
void uzram_pager_close(uzram_pager* pager);

void* uzram_region_make(uzram_pager* pager, uint64_t bytes, enum uzram_hint hint);
void* uzram_region_map(uzram_pager* pager, int descriptor, uint64_t offset, uint64_t bytes,
                       enum uzram_hint hint);
/* A file that `uzram cluster pack` has made, say. What is written to a shared mapping is in the
 * file at the latest after uzram_sync or uzram_region_close. */
void* uzram_region_map_cluster_file(uzram_pager* pager, const char* path, uint64_t offset,
                                    uint64_t bytes, enum uzram_sharing sharing,
                                    enum uzram_hint hint);
/* How many bytes such a file holds: 0 and *bytes, or -1. */
int uzram_cluster_file_bytes(const char* path, uint64_t* bytes);
/* Without a sync: what the file lacks is lost. */
int uzram_region_abandon(uzram_pager* pager, void* start);
int uzram_region_close(uzram_pager* pager, void* start);

int uzram_prefetch(uzram_pager* pager, const void* start, uint64_t bytes);
int uzram_drop(uzram_pager* pager, void* start, uint64_t bytes);
int uzram_sync(uzram_pager* pager, const void* start, uint64_t bytes);
int uzram_pin(uzram_pager* pager, const void* start, uint64_t bytes, int for_write);
int uzram_unpin(uzram_pager* pager, const void* start, uint64_t bytes);
int uzram_page_out(uzram_pager* pager, const void* start, uint64_t bytes);
int uzram_advise(uzram_pager* pager, const void* start, enum uzram_hint hint);

int uzram_set_memory_limit(uzram_pager* pager, uint64_t bytes);
int uzram_set_page_cluster(uzram_pager* pager, unsigned page_cluster);
int uzram_set_swappiness(uzram_pager* pager, unsigned swappiness);
/* Fails with EINVAL when struct_bytes is not a known size. */
int uzram_pager_get_stats(const uzram_pager* pager, struct uzram_pager_stats* stats);
enum uzram_backend uzram_pager_backend(const uzram_pager* pager);

/* For programs with handlers of their own: 1 when the fault was a pager's, and is dealt with.
 * `info` is the siginfo_t, `context` the third argument of the handler. */
int uzram_handle_fault(int signal, void* info, void* context);

#ifdef __cplusplus
}
#endif

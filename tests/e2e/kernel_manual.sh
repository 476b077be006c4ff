#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the kernel's manual of zram tells an operator to do, with the kernel's paths. The test runs
# it with these, the disk and the names in capitals replaced, as an operator would.
set -e

echo "== set up"
id=$(cat /sys/class/zram-control/hot_add)
test "$id" = 0
cat /sys/block/zram0/comp_algorithm
echo lz4 > /sys/block/zram0/comp_algorithm
echo "algo=zstd priority=1" > /sys/block/zram0/recomp_algorithm
echo "algo=deflate priority=2" > /sys/block/zram0/recomp_algorithm
cat /sys/block/zram0/recomp_algorithm
echo "priority=1 level=8" > /sys/block/zram0/algorithm_params
echo BACKING > /sys/block/zram0/backing_dev
cat /sys/block/zram0/backing_dev
echo 256M > /sys/block/zram0/disksize
echo 128M > /sys/block/zram0/mem_limit

echo "== use"
mkfs.ext4 -q -b 4096 /dev/zram0
mount /dev/zram0 MOUNT
cp -r FILES MOUNT/files
head -c 4M /dev/urandom > MOUNT/noise
sync
(cd MOUNT && find . -type f -exec md5sum {} +) > SUMS
cat /sys/block/zram0/stat /sys/block/zram0/io_stat /sys/block/zram0/mm_stat

echo "== recompress"
echo all > /sys/block/zram0/idle
echo "type=huge priority=2" > /sys/block/zram0/recompress
echo "type=idle priority=1" > /sys/block/zram0/recompress
echo "threshold=3000 priority=1" > /sys/block/zram0/recompress
echo "type=huge_idle priority=1 max_pages=42" > /sys/block/zram0/recompress
cat /sys/block/zram0/mm_stat
grep -c r /sys/kernel/debug/zram/zram0/block_state

echo "== write back"
echo all > /sys/block/zram0/idle
echo 1 > /sys/block/zram0/writeback_limit_enable
echo $((400 << 20 >> 12)) > /sys/block/zram0/writeback_limit
echo huge > /sys/block/zram0/writeback
echo type=idle > /sys/block/zram0/writeback
echo "page_index=1 page_index=10 page_indexes=100-200" > /sys/block/zram0/writeback
cat /sys/block/zram0/writeback_limit
cat /sys/block/zram0/bd_stat
cat /sys/block/zram0/mm_stat

echo "== check"
umount MOUNT
mount /dev/zram0 MOUNT
(cd MOUNT && md5sum --quiet -c SUMS)
cat /sys/block/zram0/debug_stat
echo 1 > /sys/block/zram0/compact
echo 0 > /sys/block/zram0/mem_used_max

echo "== tear down"
umount MOUNT
echo 1 > /sys/block/zram0/reset
cat /sys/block/zram0/initstate
echo 0 > /sys/class/zram-control/hot_remove

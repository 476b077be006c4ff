// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/disk_leftovers.h: takes away what a killed daemon left in its folder of disks.
//
// What:    mounts whose server is dead, the loop devices over them, their mount points. They are
//          known by the mount that is seen here, at this folder: another container may have a
//          live disk whose path reads the same.
// Errors:  what cannot be taken away stays; making a disk of that name says why.
// Threads: one daemon a folder.
// Proof:   fuse_attachment_test.cc, tests/e2e/disk_identity_test.py.
#pragma once

#include <string>

namespace uzram {

// `folder` is a canonical path: no symbolic link on the way. Requires: no daemon serves it.
void clear_disk_leftovers(const std::string& folder);

// Puts the settings right of loop devices that links in `folder` name, where they are still as a
// killed daemon set them though its disk is gone.
void settle_linked_numbers(const std::string& folder);

// Detaches each loop device over a mount at `mount_point`; one that somebody still has open goes
// when it is closed.
void detach_loops_over(const std::string& mount_point);

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
// app/serve.h: the process around a daemon: limits, signals, logs.
//
// What:   runs in the foreground until SIGINT or SIGTERM. While a disk is in use it says by whom
//         and goes on, however many signals come: its pages live nowhere else.
// Errors: returns the exit code: 0 ended cleanly, 1 could not start, after one line that says why.
#pragma once

#include <string>

#include "app/daemon.h"

namespace uzram {

// Requires: no other thread runs yet.
int serve(DaemonOptions options);

}  // namespace uzram

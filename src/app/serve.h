// SPDX-License-Identifier: Apache-2.0
// app/serve.h: the process around a daemon: limits, signals, logs.
//
// What:   runs in the foreground until SIGINT, SIGTERM or a request to stop. While a disk is in
//         use, or holds pages, it says so and goes on, however many signals come: the pages live
//         nowhere else. SIGHUP does nothing.
// Errors: returns the exit code: 0 ended cleanly, 1 could not start, after one line that says why.
#pragma once

#include <string>

#include "app/daemon.h"

namespace uzram {

// Requires: no other thread runs yet.
int serve(DaemonOptions options);

}  // namespace uzram

// SPDX-License-Identifier: Apache-2.0
// Holds no code: the headers of every test are precompiled beside it (room.cmake).

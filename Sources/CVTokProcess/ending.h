// Shared by the files of this target.
#pragma once
#include "CVTokProcess.h"

#include <stdbool.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define VTOK_SANITIZED 1
#else
#define VTOK_SANITIZED 0
#endif

/// Writes the parts, ended by NULL, as one line to stderr and ends the process with 1. Safe in a signal handler.
_Noreturn void vtok_end_with(const char *const *parts);
/// From here on an allocation that fails ends the process.
void vtok_watch_memory(void);

// What the command asks of its process: how it ends when memory, a signal or its own fault stops it, and its streams.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// To be called first. From here on an allocation that fails, a thread that cannot be started and a fault of the program
/// end the process with one line on stderr and exit code 1, an interruption with 130. Streams that were closed are opened
/// on nothing, so that no file gets their numbers.
void vtok_process_begin(void);

/// The first SIGINT or SIGTERM from now on is only noted; the second ends the process. If `seconds` is above 0, so does that
/// time after the first: for work that does not look often.
void vtok_watch_interruptions(unsigned seconds);
int32_t vtok_was_interrupted(void);

/// Puts bytes on stdout, with what waits there if `flush`; 0, or the error of the system.
int32_t vtok_put(const char *bytes, size_t count, int32_t flush);
/// Writes bytes to stderr at once. What cannot be written there can be told nowhere.
void vtok_note(const char *bytes, size_t count);
/// Ends the process without waiting for what libraries run at exit: a thread of theirs that waits for memory never ends.
_Noreturn void vtok_end(int32_t status);

#include "ending.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int32_t vtok_put(const char *bytes, size_t count, int32_t flush) {
  errno = 0;
  bool done = fwrite(bytes, 1, count, stdout) == count;
  if (done && flush) done = fflush(stdout) == 0;
  return done ? 0 : errno ? errno : EIO;
}

void vtok_note(const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(STDERR_FILENO, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      struct pollfd stream = {.fd = STDERR_FILENO, .events = POLLOUT};
      if (poll(&stream, 1, 1000) > 0) continue;
    }
    if (written <= 0) return;
    bytes += written;
    count -= (size_t)written;
  }
}

void vtok_end(int32_t status) { _exit(status); }

// MARK: Signals. Everything below runs in handlers too: only calls that are safe there.

void vtok_end_with(const char *const *parts) {
  static volatile sig_atomic_t ending;
  while (__atomic_exchange_n(&ending, 1, __ATOMIC_ACQ_REL)) pause();  // one line, whoever fails beside it
  char line[512];
  size_t count = 0;
  for (; *parts; parts++) {
    for (const char *at = *parts; *at && count < sizeof line - 1; at++) line[count++] = *at;
  }
  line[count++] = '\n';
  vtok_note(line, count);
  _exit(1);
}

static volatile sig_atomic_t is_watched, was_interrupted;
static volatile unsigned patience;

static void interrupt(int number) {
  (void)number;
  if (!is_watched || was_interrupted) _exit(130);
  was_interrupted = 1;
  if (patience) alarm(patience);
}

static void lose_patience(int number) {
  (void)number;
  static const char line[] = "vtok: interrupted\n";
  vtok_note(line, sizeof line - 1);
  _exit(130);
}

static void fault(int number) {
  const char *what = number == SIGSEGV || number == SIGBUS ? "memory that is not its own"
                     : number == SIGFPE                    ? "arithmetic without a result"
                                                           : "a broken assumption";
  const char *parts[] = {"vtok: error: a fault of the program ended the run: ", what,
                         ". Please report it with the command and its files; SWIFT_BACKTRACE=enable=yes shows where.", NULL};
  vtok_end_with(parts);
}

static void handle(int number, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_flags = flags};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

void vtok_watch_interruptions(unsigned seconds) {
  patience = seconds;
  is_watched = 1;
}

int32_t vtok_was_interrupted(void) { return was_interrupted; }

void vtok_process_begin(void) {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
    // Read-only for stdout: what is written there fails, as it should.
    if (fcntl(stream, F_GETFD) < 0) open("/dev/null", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
  handle(SIGPIPE, SIG_IGN, 0);  // a reader of warnings that went away is no reason to stop; one of stdout is found when writing
  handle(SIGINT, interrupt, SA_RESTART);
  handle(SIGTERM, interrupt, SA_RESTART);
  handle(SIGALRM, lose_patience, SA_RESTART);
  sigset_t heard;  // a parent with threads of Dispatch hands on a mask that blocks them
  sigemptyset(&heard);
  sigaddset(&heard, SIGINT);
  sigaddset(&heard, SIGTERM);
  sigaddset(&heard, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &heard, NULL);
#if !VTOK_SANITIZED
  // Swift's own reporter looks for symbols for many seconds. Whoever sets its variable wants it.
  if (!getenv("SWIFT_BACKTRACE")) {
    static const int faults[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) handle(faults[i], fault, SA_ONSTACK);
  }
#endif
  vtok_watch_memory();
}

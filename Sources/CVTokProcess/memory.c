// What happens when memory runs out. Swift's runtime, Foundation, Dispatch and BLAS each do something else then: abort,
// trap, wait for ever. All of them ask malloc, which the program stands in front of here, so one place ends the run with
// the reason. Until `vtok_watch_memory` (in tests, that is always) nothing differs.
#define _GNU_SOURCE  // RTLD_NEXT
#include "ending.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static bool is_watched;

void vtok_watch_memory(void) { __atomic_store_n(&is_watched, true, __ATOMIC_RELAXED); }

#if defined(__GLIBC__) && !VTOK_SANITIZED
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

/// Decimal digits of a number; the result lies in `space`.
static const char *digits(size_t number, char space[24]) {
  char *at = space + 23;
  *at = 0;
  do {
    *--at = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  return at;
}

static void *failed(size_t bytes) {
  errno = ENOMEM;
  if (!__atomic_load_n(&is_watched, __ATOMIC_RELAXED)) return NULL;
  char space[24];
  const char *parts[] = {"vtok: error: out of memory: ", digits(bytes, space),
                         " more bytes were wanted. Allow more memory (ulimit -v), or use fewer --threads or smaller inputs.",
                         NULL};
  vtok_end_with(parts);
}

void *malloc(size_t bytes) {
  void *got = __libc_malloc(bytes);
  return got || !bytes ? got : failed(bytes);
}

void *calloc(size_t count, size_t size) {
  void *got = __libc_calloc(count, size);
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
  return got || !bytes ? got : failed(bytes);
}

void *realloc(void *old, size_t bytes) {
  void *got = __libc_realloc(old, bytes);
  return got || !bytes ? got : failed(bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  void *got = __libc_memalign(alignment, bytes);
  return got || !bytes ? got : failed(bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **out, size_t alignment, size_t bytes) {
  if (alignment < sizeof(void *) || (alignment & (alignment - 1))) return EINVAL;
  void *got = memalign(alignment, bytes);
  if (!got && bytes) return ENOMEM;
  *out = got;
  return 0;
}

typedef int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/// Dispatch asks again every second, for ever, when it gets no thread.
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  static create real;
  create call = __atomic_load_n(&real, __ATOMIC_ACQUIRE);
  if (!call) {
    call = (create)dlsym(RTLD_NEXT, "pthread_create");
    __atomic_store_n(&real, call, __ATOMIC_RELEASE);
  }
  int status = call(thread, attributes, body, argument);
  if (status != 0 && __atomic_load_n(&is_watched, __ATOMIC_RELAXED)) {
    const char *parts[] = {"vtok: error: out of memory or of processes: no thread could be started. Allow more (ulimit -v, "
                           "ulimit -u), or use --threads 1.", NULL};
    vtok_end_with(parts);
  }
  return status;
}
#endif

#include "CVTokKernels.h"
#ifdef __GLIBC__
#include <malloc.h>
#endif

void vtok_keep_freed_memory(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  mallopt(M_TOP_PAD, 16 << 20);
#endif
}

void vtok_return_freed_memory(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

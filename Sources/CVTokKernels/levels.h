#ifndef VTOK_LEVELS_H
#define VTOK_LEVELS_H
#include "CVTokKernels.h"

// The instructions that a product is written in. Tables of a product list them from the best to the plain one, which ends the list;
// every entry begins with one of these.
typedef struct {
  const char *name;
  int (*runs)(void);
} vtok_level;

// Whether this processor has them.
int vtok_has_all(void);  // needs nothing
int vtok_has_avx2(void);  // with FMA and F16C
int vtok_has_avx_vnni(void);
int vtok_has_avx512(void);
int vtok_has_avx512_vnni(void);
int vtok_has_avx512_bf16(void);
#endif

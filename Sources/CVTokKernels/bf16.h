#ifndef VTOK_BF16_H
#define VTOK_BF16_H
#include "levels.h"

#define VTOK_BF16_PANEL 64  // columns of the result in one panel of weights
#define VTOK_BF16_ROWS 32   // most rows of a block at any level
#define VTOK_BF16_STEP 32   // depth is filled with zeros to a multiple of this: one tile of AMX

// Rows of p, `ldp` elements apart.
typedef struct {
  const uint16_t *p;
  size_t rows, ldp;
} vtok_bf16_rows;

// One block of work: rows times `depth` elements of one panel. out[r * ldo + c], for the first `columns` of the panel and any number
// behind them, becomes the sum of p[r][k] * q[c][k], or has it added if not `fresh`.
typedef void vtok_bf16_block(vtok_bf16_rows x, size_t depth, const uint16_t *panel, size_t columns, int fresh, float *out, size_t ldo);

typedef struct {
  vtok_level level;
  vtok_bf16_block *block;
  size_t rows;  // most rows of one block
  size_t step;  // its depth is a multiple of this
} vtok_bf16_level;

// To nearest even; a NaN stays one.
static inline __attribute__((always_inline)) uint16_t vtok_bf16_narrowed(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  uint32_t nearest = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : nearest);
}

extern const vtok_bf16_level vtok_bf16_levels[];
extern const size_t vtok_bf16_level_count;
vtok_bf16_block vtok_bf16_plain_block;
#endif

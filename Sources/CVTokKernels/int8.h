#ifndef VTOK_INT8_H
#define VTOK_INT8_H
#include "levels.h"

#define VTOK_INT8_PANEL 64  // columns of the result in one panel of weights
#define VTOK_INT8_ROWS 32   // most rows of a block at any level
#define VTOK_INT8_STEP 64   // depth is filled with zeros to a multiple of this: one tile of AMX

// One block of work: rows of p times one panel; sums[r * 64 + c] receives the sum over the depth of p[r][k] * (q[c][k] + 128),
// modulo 2^32.
typedef void vtok_int8_block(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, uint32_t *sums);

// What follows the sums: out[r][c] = float(sum + shifts[c]) * (scales[r] * columns[c]) + bias[c], every step rounded, added to what is
// there if `accumulate`.
typedef struct {
  const float *scales;      // of the rows
  const int32_t *offsets;   // sums of the rows of p
  const float *columns;     // scales of the columns
  const float *bias;        // NULL: none
  const int32_t *shifts;    // NULL: none
  int accumulate;
} vtok_int8_end;
// A block of work with its end, without sums in memory: all 64 columns.
typedef void vtok_int8_whole(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, const vtok_int8_end *end, float *out, size_t ldo);

typedef struct {
  vtok_level level;
  vtok_int8_block *block;
  size_t rows;             // most rows of one block
  vtok_int8_whole *whole;  // may be NULL
} vtok_int8_level;

extern const vtok_int8_level vtok_int8_levels[];
extern const size_t vtok_int8_level_count;
// vtok_int8_product with any end.
void vtok_int8_products(size_t level, const int8_t *p, size_t n, size_t depth, const uint8_t *panels, const vtok_int8_end *end, size_t first, size_t count, float *out, size_t ldo);
void vtok_int8_plain_block(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, uint32_t *sums);
#endif

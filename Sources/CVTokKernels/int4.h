#ifndef VTOK_INT4_H
#define VTOK_INT4_H
#include "levels.h"

#define VTOK_INT4_PANEL 64  // columns of the result in one panel of weights
#define VTOK_INT4_ROWS 32   // most rows of a block at any level
#define VTOK_INT4_GROUP 32  // weights along the depth that share a scale
#define VTOK_INT4_BYTES (VTOK_INT4_PANEL * (VTOK_INT4_GROUP / 2 + 2))  // of a group of a panel: codes, then scales

// One block of work: rows of p, groups of 32 with their scales and sums [rows, groups], times one panel: sums[r * 64 + c].
typedef void vtok_int4_block(const int8_t *p, const float *scales, const int32_t *totals, size_t rows, size_t groups, const uint8_t *panel, float *sums);

typedef struct {
  vtok_level level;
  vtok_int4_block *block;
  size_t rows;  // most rows of one block
} vtok_int4_level;

extern const vtok_int4_level vtok_int4_levels[];
extern const size_t vtok_int4_level_count;
void vtok_int4_plain_block(const int8_t *p, const float *scales, const int32_t *totals, size_t rows, size_t groups, const uint8_t *panel, float *sums);
#endif

#ifndef VTOK_TILES_H
#define VTOK_TILES_H
#include <stddef.h>
#include <stdint.h>

// What AMX is told about its eight tiles: 0 to 3 hold sums, 4 and 5 rows, 6 and 7 columns of weights.
typedef struct {
  uint8_t palette, start, zero[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} vtok_tile_shapes;

// For `upper` and `lower` rows, 16 each at most.
static inline vtok_tile_shapes vtok_tiles(size_t upper, size_t lower) {
  vtok_tile_shapes shapes = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    shapes.row_bytes[t] = 64;
    shapes.rows[t] = 16;
  }
  shapes.rows[0] = shapes.rows[1] = shapes.rows[4] = (uint8_t)upper;
  if (lower) shapes.rows[2] = shapes.rows[3] = shapes.rows[5] = (uint8_t)lower;
  return shapes;
}

typedef enum { VTOK_AMX_BF16 = 22, VTOK_AMX_INT8 = 25 } vtok_tile_kind;
// Whether the processor has tiles for such products, and the system gives this process their registers.
int vtok_has_tiles(vtok_tile_kind kind);
#endif

#ifndef VTOK_GGUF_PANEL_H
#define VTOK_GGUF_PANEL_H
#include "gguf.h"

// A part of a matrix taken apart once for all rows of activations: 32 rows of W (columns of the result), 256 elements of each, in
// the order that dot instructions read. It stays in the first cache while rows pass.
#define VTOK_PANEL 32                                        // columns
#define VTOK_PANEL_DEPTH 256                                 // elements along the depth
#define VTOK_PANEL_BLOCKS (VTOK_PANEL_DEPTH / 32)            // blocks of 32
#define VTOK_PANEL_GROUPS (VTOK_PANEL_DEPTH / VTOK_GGUF_GROUP)

typedef struct {
  uint8_t codes[VTOK_PANEL_DEPTH / 4][VTOK_PANEL][4];        // unsigned: `offset` more than they stand for
  float d[VTOK_PANEL_BLOCKS][VTOK_PANEL];                    // scales of blocks; those of 256 have one
  float m[VTOK_PANEL_BLOCKS][VTOK_PANEL];                    // their minima
  int32_t scales[VTOK_PANEL_GROUPS][VTOK_PANEL];             // whole scales of the groups of a block of 256
  int16_t minima[VTOK_PANEL_GROUPS / 2][VTOK_PANEL][2];      // whole minima of pairs of 16 elements
} vtok_gguf_panel;

// How the products of a type are formed.
typedef struct {
  int elements;  // of a block
  int group;     // elements that share a whole scale, in blocks of 256
  int minimum;   // whether there are minima
  int offset;    // what codes of a panel are too large by
} vtok_gguf_form;

// Takes apart `blocks` blocks (those of 32: up to 8) of `count` rows of W, `stride` bytes apart; the columns beyond `count` get any
// numbers.
typedef void vtok_gguf_pack(uint32_t type, const uint8_t *w, size_t stride, size_t count, size_t blocks, vtok_gguf_panel *panel);

// Adds the products of a panel with n rows of x from `first` on to sums [n, 32]. `block` is the panel's first block in every row.
typedef void vtok_gguf_panel_rows(vtok_gguf_form form, const vtok_gguf_panel *panel, size_t block, size_t blocks, const vtok_gguf_rows *x, size_t first, size_t n, float *sums);

typedef struct {
  vtok_level level;
  vtok_gguf_dot *(*dot)(uint32_t type);      // for a few rows of activations
  vtok_gguf_dot *(*sixteen)(uint32_t type);  // the same for sixteen rows of W at once: out [n, 16]; NULL where there is none
  vtok_gguf_pack *pack;
  vtok_gguf_panel_rows *rows;
} vtok_gguf_level;

extern const vtok_gguf_level vtok_gguf_levels[];
extern const size_t vtok_gguf_level_count;
vtok_gguf_dot *vtok_gguf_plain_dot(uint32_t type);

vtok_gguf_form vtok_gguf_form_of(uint32_t type);
// All of a panel but its codes.
void vtok_gguf_pack_scales(uint32_t type, const uint8_t *w, size_t stride, size_t count, size_t blocks, vtok_gguf_panel *panel);
vtok_gguf_pack vtok_gguf_plain_pack;
vtok_gguf_panel_rows vtok_gguf_plain_rows;
#endif

// Rows of activations times a panel, for one instruction set: set by the includer are
//   LEVEL, WIDTH (32-bit numbers in a register), ROWS (rows of a tile),
//   ints, floats (registers), LOAD, LOADF, STOREF, SPREAD (a 32-bit number to all), SPREADF, ZERO, MULTIPLY, ADD (of 32 bits),
//   FLOAT (from whole numbers), SCALE (a product), FUSE(a, b, c) = a * b + c,
//   DOT(sum, u, s): adds four products of unsigned and signed bytes each; PAIRS(sum, a, b): two of 16 bits each,
//   WIDE_DOT(sum, u, s): as DOT for u + 128 of signed u where DOT is exact for u below 64 only; takes 128 off itself,
//   WIDE_OFFSET: what is left to be taken off (128, or 0 where WIDE_DOT does).
// A tile is up to ROWS rows and two registers of columns; all its sums stay in registers.
#define NAME(name) JOIN(LEVEL, name)
#define VECTORS 2

VTOK_INLINE int NAME(four)(const int8_t *p) {
  int value;
  memcpy(&value, p, 4);
  return value;
}

// 4 * `steps` elements from element `from` on.
VTOK_INLINE void NAME(steps)(int rows, int wide, const vtok_gguf_panel *panel, int column, int from, int steps, const int8_t *q, size_t columns, ints sum[ROWS][VECTORS]) {
#pragma clang loop unroll(full)
  for (int k = 0; k < steps; k++) {
    ints w[VECTORS];
    for (int v = 0; v < VECTORS; v++) w[v] = LOAD(panel->codes[from / 4 + k][column + v * WIDTH]);
    for (int i = 0; i < rows; i++) {
      ints x = SPREAD(NAME(four)(q + (size_t)i * columns + 4 * k));
      for (int v = 0; v < VECTORS; v++) sum[i][v] = wide ? WIDE_DOT(sum[i][v], w[v], x) : DOT(sum[i][v], w[v], x);
    }
  }
}

// Blocks of 32, each with a scale of its own.
VTOK_INLINE void NAME(tile_32)(int rows, int minimum, int wide, int offset, const vtok_gguf_panel *panel, int column, size_t block, size_t blocks, const vtok_gguf_rows *x, size_t first, float *sums) {
  size_t columns = x->columns, all = columns / 32;
  floats f[ROWS][VECTORS];
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < VECTORS; v++) f[i][v] = SPREADF(0);
  for (size_t b = 0; b < blocks; b++) {
    size_t place = first * all + block + b;
    ints sum[ROWS][VECTORS];
    for (int i = 0; i < rows; i++) {
      const int16_t *groups = x->groups + 2 * (place + (size_t)i * all);
      for (int v = 0; v < VECTORS; v++) sum[i][v] = offset ? SPREAD(-offset * (groups[0] + groups[1])) : ZERO;
    }
    NAME(steps)(rows, wide, panel, column, (int)b * 32, 8, x->quants + place * 32, columns, sum);
    floats d[VECTORS];
    for (int v = 0; v < VECTORS; v++) d[v] = LOADF(panel->d[b] + column + v * WIDTH);
    for (int i = 0; i < rows; i++) {
      floats scale = SPREADF(x->scales[place + (size_t)i * all]);
      for (int v = 0; v < VECTORS; v++) f[i][v] = FUSE(SCALE(d[v], scale), FLOAT(sum[i][v]), f[i][v]);
    }
    for (int i = 0; i < rows && minimum; i++) {
      floats own = SPREADF(x->sums[place + (size_t)i * all]);
      for (int v = 0; v < VECTORS; v++) f[i][v] = FUSE(LOADF(panel->m[b] + column + v * WIDTH), own, f[i][v]);
    }
  }
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < VECTORS; v++) {
      float *out = sums + i * VTOK_PANEL + v * WIDTH;
      STOREF(out, LOADF(out) + f[i][v]);
    }
}

// One block of 256 with groups of `group`, whose whole scales and minima stay whole.
VTOK_INLINE void NAME(tile_256)(int rows, int group, int minimum, int wide, int offset, const vtok_gguf_panel *panel, int column, size_t block, const vtok_gguf_rows *x, size_t first, float *sums) {
  size_t columns = x->columns, all = columns / 256, place = first * all + block;
  ints total[ROWS][VECTORS];
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < VECTORS; v++) total[i][v] = ZERO;
  for (int g = 0; g < 256 / group; g++) {
    ints sum[ROWS][VECTORS];
    for (int i = 0; i < rows; i++) {
      const int16_t *groups = x->groups + (place + (size_t)i * all) * 16 + g * group / 16;
      for (int v = 0; v < VECTORS; v++)
        sum[i][v] = offset ? SPREAD(-offset * (group == 16 ? groups[0] : groups[0] + groups[1])) : ZERO;
    }
    NAME(steps)(rows, wide, panel, column, g * group, group / 4, x->quants + place * 256 + (size_t)(g * group), columns, sum);
    for (int v = 0; v < VECTORS; v++) {
      ints scale = LOAD(panel->scales[g] + column + v * WIDTH);
      for (int i = 0; i < rows; i++) total[i][v] = ADD(total[i][v], MULTIPLY(sum[i][v], scale));
    }
  }
  for (int i = 0; i < rows; i++) {
    size_t own = place + (size_t)i * all;
    floats scale = SPREADF(x->scales[own]);
    for (int v = 0; v < VECTORS; v++) {
      float *out = sums + i * VTOK_PANEL + v * WIDTH;
      floats f = FUSE(SCALE(LOADF(panel->d[0] + column + v * WIDTH), scale), FLOAT(total[i][v]), LOADF(out));
      if (minimum) {
        ints less = ZERO;
        for (int p = 0; p < VTOK_PANEL_GROUPS / 2; p++)
          less = PAIRS(less, LOAD(panel->minima[p][column + v * WIDTH]), SPREAD(NAME(four)((const int8_t *)(x->groups + own * 16 + 2 * p))));
        f = FUSE(SCALE(LOADF(panel->m[0] + column + v * WIDTH), SPREADF(-x->scales[own])), FLOAT(less), f);
      }
      STOREF(out, f);
    }
  }
}

// Constant forms and numbers of rows keep the sums in registers.
VTOK_INLINE void NAME(tile)(int rows, vtok_gguf_form form, const vtok_gguf_panel *panel, size_t block, size_t blocks, const vtok_gguf_rows *x, size_t first, float *sums) {
  int wide = form.offset == 128;
  int offset = wide ? WIDE_OFFSET : form.offset;
  for (int column = 0; column < VTOK_PANEL; column += VECTORS * WIDTH) {
    float *out = sums + column;
    if (form.elements == 32) {
      if (form.minimum) NAME(tile_32)(rows, 1, 0, 0, panel, column, block, blocks, x, first, out);
      else if (wide) NAME(tile_32)(rows, 0, 1, offset, panel, column, block, blocks, x, first, out);
      else NAME(tile_32)(rows, 0, 0, offset, panel, column, block, blocks, x, first, out);
    } else if (form.group == 16) {
      if (form.minimum) NAME(tile_256)(rows, 16, 1, 0, 0, panel, column, block, x, first, out);
      else NAME(tile_256)(rows, 16, 0, 0, offset, panel, column, block, x, first, out);
    } else {
      if (form.minimum) NAME(tile_256)(rows, 32, 1, 0, 0, panel, column, block, x, first, out);
      else NAME(tile_256)(rows, 32, 0, 1, offset, panel, column, block, x, first, out);
    }
  }
}

static void NAME(panel_rows)(vtok_gguf_form form, const vtok_gguf_panel *panel, size_t block, size_t blocks, const vtok_gguf_rows *x, size_t first, size_t n, float *sums) {
  size_t tiles = (n + ROWS - 1) / ROWS;
  for (size_t t = 0; t < tiles; t++) {
    size_t row = t * n / tiles;
    int rows = (int)((t + 1) * n / tiles - row);
    float *out = sums + row * VTOK_PANEL;
    switch (rows) {
    case 1: NAME(tile)(1, form, panel, block, blocks, x, first + row, out); break;
    case 2: NAME(tile)(2, form, panel, block, blocks, x, first + row, out); break;
#if ROWS > 3
    case 3: NAME(tile)(3, form, panel, block, blocks, x, first + row, out); break;
    case 4: NAME(tile)(4, form, panel, block, blocks, x, first + row, out); break;
    case 5: NAME(tile)(5, form, panel, block, blocks, x, first + row, out); break;
#endif
    default: NAME(tile)(ROWS, form, panel, block, blocks, x, first + row, out);
    }
  }
}
#undef VECTORS
#undef NAME

// The bodies of gemm.c for one instruction set: LEVEL, WIDTH, VECTORS, TILE and FUSED are set by the includer.
#define PANEL (WIDTH * VECTORS)
#define vec LEVEL_NAME(vec)
#define lanes LEVEL_NAME(lanes)
#define NAME(name) JOIN(LEVEL, name)

typedef float vec __attribute__((vector_size(WIDTH * 4), aligned(4)));
typedef uint32_t lanes __attribute__((vector_size(WIDTH * 4), aligned(4)));

static size_t NAME(panel)(void) { return PANEL; }

// WIDTH neighbouring elements from `index` on, widened. Half: 2^112 moves the exponent's bias and normalises subnormals.
VTOK_INLINE void NAME(load)(const void *base, vtok_element type, size_t index, vec *out) {
  if (type == VTOK_F32) {
    *out = *(const vec *)((const float *)base + index);
    return;
  }
  typedef uint16_t narrow __attribute__((vector_size(WIDTH * 2), aligned(2)));
  lanes bits = __builtin_convertvector(*(const narrow *)((const uint16_t *)base + index), lanes);
  if (type == VTOK_BF16) {
    *out = (vec)(bits << 16);
    return;
  }
#if defined(HALVES)  // the processor widens them itself
  typedef _Float16 half __attribute__((vector_size(WIDTH * 2), aligned(2)));
  *out = __builtin_convertvector(*(const half *)((const uint16_t *)base + index), vec);
#else
  lanes rest = (bits & 0x7fffu) << 13;
  lanes value = (lanes)((vec)rest * 0x1p112f);
  lanes special = (lanes)(rest >= 0x0f800000u);  // infinity and NaN
  value = (value & ~special) | ((rest | 0x7f800000u) & special);
  *out = (vec)(value | (bits & 0x8000u) << 16);
#endif
}

VTOK_INLINE float NAME(element)(const void *base, vtok_element type, size_t index) {
  if (type == VTOK_F32) return ((const float *)base)[index];
  uint32_t h = ((const uint16_t *)base)[index];
  union { uint32_t u; float f; } v, w;
  if (type == VTOK_BF16) {
    v.u = h << 16;
    return v.f;
  }
  v.u = (h & 0x7fffu) << 13;
  w.f = v.f * 0x1p112f;
  if (v.u >= 0x0f800000u) w.u = v.u | 0x7f800000u;
  w.u |= (h & 0x8000u) << 16;
  return w.f;
}

// One step of a transposition of WIDTH vectors: of every pair at distance `d`, the halves that lie off the diagonal swap.
VTOK_INLINE void NAME(transpose)(vec *v) {
#pragma clang loop unroll(full)
  for (int d = 1; d < WIDTH; d *= 2)
#pragma clang loop unroll(full)
    for (int i = 0; i < WIDTH; i++)
      if (!(i & d)) {
        vec a = v[i], b = v[i + d];
#if WIDTH == 16
#define LOW(d) (d == 1 ? __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) \
  : d == 2 ? __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) \
  : d == 4 ? __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) \
           : __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23))
#define HIGH(d) (d == 1 ? __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31) \
  : d == 2 ? __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31) \
  : d == 4 ? __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31) \
           : __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#elif WIDTH == 8
#define LOW(d) (d == 1 ? __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14) \
  : d == 2 ? __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) : __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11))
#define HIGH(d) (d == 1 ? __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15) \
  : d == 2 ? __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15) : __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15))
#else
#define LOW(d) (d == 1 ? __builtin_shufflevector(a, b, 0, 4, 2, 6) : __builtin_shufflevector(a, b, 0, 1, 4, 5))
#define HIGH(d) (d == 1 ? __builtin_shufflevector(a, b, 1, 5, 3, 7) : __builtin_shufflevector(a, b, 2, 3, 6, 7))
#endif
        v[i] = LOW(d);
        v[i + d] = HIGH(d);
#undef LOW
#undef HIGH
      }
}

// Panels of columns first..<first + count of the result, elements from..<from + depth of each: packed[panel][element][PANEL],
// columns beyond count are zero. Rows of W lie `stride` apart with neighbours along the depth, or, `transposed`, the other way round.
static void NAME(pack)(vtok_matrix w, size_t first, size_t count, size_t from, size_t depth, float *packed) {
  for (size_t left = 0; left < count; left += PANEL, packed += PANEL * depth) {
    size_t columns = count - left < PANEL ? count - left : PANEL;
    if (columns < PANEL) memset(packed, 0, PANEL * depth * sizeof(float));
    size_t column = 0;
    if (w.transposed) {
      for (; column + WIDTH <= columns; column += WIDTH)
        for (size_t k = 0; k < depth; k++)
          NAME(load)(w.base, w.type, (from + k) * w.stride + first + left + column, (vec *)(packed + k * PANEL + column));
      for (; column < columns; column++)
        for (size_t k = 0; k < depth; k++)
          packed[k * PANEL + column] = NAME(element)(w.base, w.type, (from + k) * w.stride + first + left + column);
      continue;
    }
    for (; column + WIDTH <= columns; column += WIDTH) {
      size_t start = (first + left + column) * w.stride + from, k = 0;
      for (; k + WIDTH <= depth; k += WIDTH) {
        vec v[WIDTH];
        for (int i = 0; i < WIDTH; i++) NAME(load)(w.base, w.type, start + (size_t)i * w.stride + k, v + i);
        NAME(transpose)(v);
        for (int i = 0; i < WIDTH; i++) *(vec *)(packed + (k + (size_t)i) * PANEL + column) = v[i];
      }
      for (; k < depth; k++)
        for (int i = 0; i < WIDTH; i++) packed[k * PANEL + column + (size_t)i] = NAME(element)(w.base, w.type, start + (size_t)i * w.stride + k);
    }
    for (; column < columns; column++)
      for (size_t k = 0; k < depth; k++)
        packed[k * PANEL + column] = NAME(element)(w.base, w.type, (first + left + column) * w.stride + from + k);
  }
}

// `rows` tokens times the first `vectors` of one panel over `depth` elements; `ahead` walks through what is needed next, `step`
// bytes an element.
VTOK_INLINE void NAME(tile)(int rows, int vectors, size_t depth, const float *x, size_t ldx, const float *w, const char *ahead, size_t step, int fresh, float *out, size_t ldo) {
  vec sum[TILE][VECTORS];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++) sum[i][j] = fresh ? (vec){0} : *(const vec *)(out + (size_t)i * ldo + WIDTH * j);
  for (size_t k = 0; k < depth; k++) {
    vec column[VECTORS];
    for (int j = 0; j < vectors; j++) column[j] = *(const vec *)(w + k * PANEL + WIDTH * j);
    __builtin_prefetch(ahead + k * step, 0, 2);
    for (int i = 0; i < rows; i++) {
      vec value = x[(size_t)i * ldx + k] - (vec){0};  // a broadcast
      for (int j = 0; j < vectors; j++) sum[i][j] = FUSED(value, column[j], sum[i][j]);
    }
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++) *(vec *)(out + (size_t)i * ldo + WIDTH * j) = sum[i][j];
}

// Constant numbers of rows and vectors keep the sums in registers.
VTOK_INLINE void NAME(tiles_of)(int vectors, int rows, size_t depth, const float *x, size_t ldx, const float *w, const char *ahead, size_t step, int fresh, float *out, size_t ldo) {
  switch (rows) {
  case 1: NAME(tile)(1, vectors, depth, x, ldx, w, ahead, step, fresh, out, ldo); break;
  case 2: NAME(tile)(2, vectors, depth, x, ldx, w, ahead, step, fresh, out, ldo); break;
  case 3: NAME(tile)(3, vectors, depth, x, ldx, w, ahead, step, fresh, out, ldo); break;
#if TILE > 4
  case 4: NAME(tile)(4, vectors, depth, x, ldx, w, ahead, step, fresh, out, ldo); break;
  case 5: NAME(tile)(5, vectors, depth, x, ldx, w, ahead, step, fresh, out, ldo); break;
#endif
  default: NAME(tile)(TILE, vectors, depth, x, ldx, w, ahead, step, fresh, out, ldo);
  }
}

static void NAME(tiles)(int vectors, int rows, size_t depth, const float *x, size_t ldx, const float *w, const char *ahead, size_t step, int fresh, float *out, size_t ldo) {
  switch (vectors) {
  case 1: NAME(tiles_of)(1, rows, depth, x, ldx, w, ahead, step, fresh, out, ldo); break;
#if VECTORS > 2
  case 2: NAME(tiles_of)(2, rows, depth, x, ldx, w, ahead, step, fresh, out, ldo); break;
  case 3: NAME(tiles_of)(3, rows, depth, x, ldx, w, ahead, step, fresh, out, ldo); break;
#endif
  default: NAME(tiles_of)(VECTORS, rows, depth, x, ldx, w, ahead, step, fresh, out, ldo);
  }
}

static void NAME(product)(const float *x, size_t n, size_t ldx, vtok_matrix w, size_t first, size_t count, int accumulate, float *out, size_t ldo, float *scratch) {
  size_t tiles = (n + TILE - 1) / TILE;
  // Few tokens: one panel stays near while they pass, in the second cache where registers are wide: sums then go to memory and back
  // less often. Many: a tile of them stays in the first cache while panels pass in the second.
  int few = w.packed && n <= 512;
  size_t group = few ? PANEL : 4 * PANEL, block = few ? (WIDTH == 16 ? 24576 : 8192) / PANEL : 256;
  for (size_t left = 0; left < count; left += group) {
    size_t columns = count - left < group ? count - left : group;
    for (size_t from = 0, depth; from < w.depth; from += depth) {
      size_t blocks = (w.depth - from + block - 1) / block;  // of equal depth: a short last one would be all loads and stores
      depth = (w.depth - from + blocks - 1) / blocks;
      int fresh = from == 0 && !accumulate;
      const float *panels = scratch;
      size_t panel_stride = PANEL * depth;
      if (w.packed) {
        panel_stride = PANEL * w.depth;
        panels = (const float *)w.base + (first + left) * w.depth + PANEL * from;
      } else {
        NAME(pack)(w, first + left, columns, from, depth, scratch);
      }
      for (size_t t = 0; t < tiles; t++) {
        size_t row = t * n / tiles;
        int rows = (int)((t + 1) * n / tiles - row);
        const float *tokens = x + row * ldx + from;
        for (size_t c = 0; c < columns; c += PANEL) {
          const float *panel = panels + c / PANEL * panel_stride;
          float *target = out + row * ldo + left + c;
          size_t step = few ? PANEL * 4 / tiles : 0;
          const char *ahead = few ? (const char *)(panel + PANEL * depth) + t * depth * step : (const char *)panel;
          if (c + PANEL <= columns) {
            NAME(tiles)(VECTORS, rows, depth, tokens, ldx, panel, ahead, step, fresh, target, ldo);
          } else {  // the last panel reaches beyond the matrix
            float edge[TILE * PANEL];
            int vectors = (int)((columns - c + WIDTH - 1) / WIDTH);
            for (int i = 0; i < rows && !fresh; i++) memcpy(edge + i * PANEL, target + (size_t)i * ldo, (columns - c) * sizeof(float));
            NAME(tiles)(vectors, rows, depth, tokens, ldx, panel, ahead, step, fresh, edge, PANEL);
            for (int i = 0; i < rows; i++) memcpy(target + (size_t)i * ldo, edge + i * PANEL, (columns - c) * sizeof(float));
          }
        }
      }
    }
  }
}

// `n` tokens (1 to 4) times `columns` rows of W at once, each streamed once.
VTOK_INLINE void NAME(streams)(int n, int columns, const float *x, size_t ldx, vtok_matrix w, vtok_element type, size_t row, int accumulate, float *out, size_t ldo) {
  vec sum[4][4];
  for (int i = 0; i < n; i++)
    for (int c = 0; c < columns; c++) sum[i][c] = (vec){0};
  size_t k = 0;
  for (; k + WIDTH <= w.depth; k += WIDTH)
    for (int c = 0; c < columns; c++) {
      vec value;
      NAME(load)(w.base, type, (row + (size_t)c) * w.stride + k, &value);
      for (int i = 0; i < n; i++) sum[i][c] = FUSED(*(const vec *)(x + (size_t)i * ldx + k), value, sum[i][c]);
    }
  for (int i = 0; i < n; i++)
    for (int c = 0; c < columns; c++) {
      float total = 0;
      for (int l = 0; l < WIDTH; l++) total += sum[i][c][l];
      for (size_t rest = k; rest < w.depth; rest++)
        total += x[(size_t)i * ldx + rest] * NAME(element)(w.base, type, (row + (size_t)c) * w.stride + rest);
      float *target = out + (size_t)i * ldo + c;
      *target = accumulate ? *target + total : total;
    }
}

VTOK_INLINE void NAME(dots_of)(int n, const float *x, size_t ldx, vtok_matrix w, vtok_element type, size_t first, size_t count, int accumulate, float *out, size_t ldo) {
  size_t c = 0;
  for (; c + 4 <= count; c += 4) NAME(streams)(n, 4, x, ldx, w, type, first + c, accumulate, out + c, ldo);
  for (; c < count; c++) NAME(streams)(n, 1, x, ldx, w, type, first + c, accumulate, out + c, ldo);
}

static void NAME(dots)(const float *x, size_t n, size_t ldx, vtok_matrix w, size_t first, size_t count, int accumulate, float *out, size_t ldo) {
#define FOR_TYPES(n) \
  switch (w.type) { \
  case VTOK_F32: NAME(dots_of)(n, x, ldx, w, VTOK_F32, first, count, accumulate, out, ldo); break; \
  case VTOK_F16: NAME(dots_of)(n, x, ldx, w, VTOK_F16, first, count, accumulate, out, ldo); break; \
  case VTOK_BF16: NAME(dots_of)(n, x, ldx, w, VTOK_BF16, first, count, accumulate, out, ldo); break; \
  }
  switch (n) {
  case 0: break;
  case 1: FOR_TYPES(1) break;
  case 2: FOR_TYPES(2) break;
  case 3: FOR_TYPES(3) break;
  default: FOR_TYPES(4)
  }
#undef FOR_TYPES
}

#undef PANEL
#undef vec
#undef lanes
#undef NAME
#undef LEVEL
#undef WIDTH
#undef VECTORS
#undef TILE

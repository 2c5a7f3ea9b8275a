// Products of low precision at every level that the processor has, as bytes: two processors must print the same lines.
#include "CVTokKernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252u;
static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}
static float noise(void) {
  float sum = 0;
  for (int i = 0; i < 4; i++) sum += (float)(draw() >> 40) / (float)(1 << 24) - 0.5f;
  return sum;
}

static uint64_t hash(const void *data, size_t count) {  // FNV-1a
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < count; i++) h = (h ^ ((const uint8_t *)data)[i]) * 1099511628211u;
  return h;
}

enum { ROWS = 13, COUNT = 75, MOST = 2304 };
static float x[ROWS * MOST], out[ROWS * COUNT];

// One line a level would differ between processors that have different levels: they must all agree, and one line is printed.
static int report(const char *name, size_t columns, size_t levels, vtok_product_kind kind, void (*product)(size_t level, void *context), void *context) {
  uint64_t first = 0;
  for (size_t level = 0; level < levels; level++) {
    if (!vtok_level_runs(kind, level)) continue;
    memset(out, 0, sizeof out);
    product(level, context);
    uint64_t found = hash(out, sizeof out);
    if (first && found != first) return fprintf(stderr, "%s, %zu columns: level %s differs\n", name, columns, vtok_level_name(kind, level)), 1;
    first = found;
  }
  printf("%s %zu %016llx\n", name, columns, (unsigned long long)first);
  return 0;
}

typedef struct {
  uint32_t type;
  const uint8_t *w;
  const vtok_gguf_rows *rows;
  size_t n;
} blocks;

static void multiply_blocks(size_t level, void *context) {
  const blocks *b = context;
  vtok_gguf_product(level, b->type, b->w, 0, COUNT, b->rows, b->n, out, COUNT);
}

// Type, and where the halves of its blocks lie.
static const struct { const char *name; uint32_t type; int halves[2]; } types[] = {
    {"Q4_0", 2, {0, -1}}, {"Q4_1", 3, {0, 2}}, {"Q5_0", 6, {0, -1}}, {"Q5_1", 7, {0, 2}}, {"Q8_0", 8, {0, -1}}, {"Q2_K", 10, {80, 82}},
    {"Q3_K", 11, {108, -1}}, {"Q4_K", 12, {0, 2}}, {"Q5_K", 13, {0, 2}}, {"Q6_K", 14, {208, -1}}, {"IQ4_NL", 20, {0, -1}}, {"IQ4_XS", 23, {0, -1}}};

static int check_blocks(void) {
  int failed = 0;
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    size_t elements = vtok_gguf_elements(types[t].type), bytes = vtok_gguf_bytes(types[t].type);
    for (size_t columns = elements; columns <= MOST; columns = columns == elements ? MOST : columns + MOST) {
      size_t count = COUNT * columns / elements;
      uint8_t *w = malloc(count * bytes);
      for (size_t i = 0; i < count * bytes; i++) w[i] = (uint8_t)(draw() >> 33);
      for (size_t i = 0; i < count; i++)
        for (int h = 0; h < 2; h++) {
          if (types[t].halves[h] < 0) continue;
          float scale = noise() * 0.01f;
          uint16_t half;
          vtok_narrow_f16(&scale, 1, &half);
          memcpy(w + i * bytes + types[t].halves[h], &half, 2);
        }
      for (size_t i = 0; i < ROWS * columns; i++) x[i] = noise();
      vtok_gguf_rows rows = {columns, malloc(ROWS * columns), malloc(ROWS * columns / elements * 4), malloc(ROWS * columns / 16 * 2), malloc(ROWS * columns / 32 * 4)};
      vtok_gguf_round(vtok_gguf_activation(types[t].type), x, ROWS, columns, &rows);
      for (size_t n = 1; n <= ROWS; n += n < 6 ? 1 : 7) {
        blocks context = {types[t].type, w, &rows, n};
        failed += report(types[t].name, columns * 100 + n, vtok_level_count(VTOK_GGUF_PRODUCT), VTOK_GGUF_PRODUCT, multiply_blocks, &context);
      }
      free(w), free(rows.quants), free(rows.scales), free(rows.groups), free(rows.sums);
    }
  }
  return failed;
}

typedef struct {
  size_t depth, n;
  const int8_t *p;
  const float *scales, *columns;
  const int32_t *sums;
  const uint8_t *panels;
} bytes_of;

static void multiply_bytes(size_t level, void *context) {
  const bytes_of *b = context;
  vtok_int8_product(level, b->p, b->n, b->depth, b->scales, b->sums, b->panels, b->columns, NULL, 0, COUNT, 0, out, COUNT);
}

static int check_bytes(void) {
  int failed = 0;
  for (size_t depth = 40; depth <= 1000; depth += 480) {
    size_t padded = vtok_int8_depth(depth);
    float *w = malloc(128 * depth * 4), columns[128], scales[ROWS];
    int32_t sums[ROWS];
    for (size_t i = 0; i < 128 * depth; i++) w[i] = noise();
    for (size_t i = 0; i < ROWS * depth; i++) x[i] = noise();
    uint8_t *panels = aligned_alloc(64, 128 * padded);
    int8_t *p = aligned_alloc(64, (ROWS * padded + 63) / 64 * 64);
    vtok_int8_pack(w, 64, depth, depth, panels, columns);
    vtok_int8_pack(w + 64 * depth, COUNT - 64, depth, depth, panels + 64 * padded, columns + 64);
    vtok_int8_round(x, ROWS, depth, depth, p, scales, sums);
    for (size_t n = 1; n <= ROWS; n += 4) {
      bytes_of context = {depth, n, p, scales, columns, sums, panels};
      failed += report("int8", depth * 100 + n, vtok_level_count(VTOK_INT8_PRODUCT), VTOK_INT8_PRODUCT, multiply_bytes, &context);
    }
    free(w), free(panels), free(p);
  }
  return failed;
}

int main(void) { return check_blocks() + check_bytes() ? 1 : 0; }

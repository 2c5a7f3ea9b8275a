// Attention of one head with operands of low precision: out = softmax(q k^T + bias) v. A few rows at a time pass both products and
// the softmax between them, so that their logits never leave the first cache.
//
// bfloat16: queries, keys, values and the numerators of the softmax are rounded to bfloat16, sums are float32.
// 8 bits: queries and keys by row, values by column, as weights and rows are for products with weights (int8.c). Numerators of the
// softmax, the largest of which is 1, become whole numbers up to 255 and are divided by their own sum; the kernels get them less 128,
// which the sums of the columns of values bring back. All sums are whole numbers.
#include "bf16.h"
#include "int8.h"
#include "softmax.h"
#include <string.h>


enum { ROWS = 32 };
_Static_assert(VTOK_BF16_ROWS == ROWS && VTOK_INT8_ROWS == ROWS, "memory is made for so many rows");

VTOK_INLINE size_t up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// What lies in the memory of a head.
typedef struct {
  void *keys, *values, *queries, *numerators;
  float *key_scales, *value_scales, *logits;
  int32_t *value_shifts;
  size_t stride;  // of logits
  size_t bytes;
} parts;

static parts parts_of(vtok_attention_kind kind, size_t keys, size_t depth, char *memory) {
  size_t element = kind == VTOK_ATTENTION_BF16 ? 2 : 1, offset = 0;
  size_t deep = kind == VTOK_ATTENTION_BF16 ? vtok_bf16_depth(depth) : vtok_int8_depth(depth);
  size_t long_ = kind == VTOK_ATTENTION_BF16 ? vtok_bf16_depth(keys) : vtok_int8_depth(keys);
  size_t sizes[] = {up(keys, 64) * deep * element, up(depth, 64) * long_ * element, ROWS * deep * element, ROWS * long_ * element,
                    up(keys, 64) * 4, up(depth, 64) * 4, ROWS * up(keys, 64) * 4, up(depth, 64) * 4};
  char *places[8];
  for (int i = 0; i < 8; i++) {
    places[i] = memory + offset;
    offset += up(sizes[i], 64);
  }
  return (parts){places[0], places[1], places[2], places[3], (float *)(void *)places[4], (float *)(void *)places[5], (float *)(void *)places[6],
                 (int32_t *)(void *)places[7], up(keys, 64), offset};
}

size_t vtok_attention_bytes(vtok_attention_kind kind, size_t keys, size_t depth) { return parts_of(kind, keys, depth, 0).bytes; }

void vtok_attention_begin(vtok_attention_kind kind, const float *keys, const float *values, size_t count, size_t depth, size_t stride, void *memory) {
  parts own = parts_of(kind, count, depth, memory);
  if (kind == VTOK_ATTENTION_BF16) {
    vtok_bf16_pack(keys, 0, count, depth, stride, own.keys);
    vtok_bf16_pack(values, 1, depth, count, stride, own.values);
    return;
  }
  for (size_t c = 0; c < count; c += 64)
    vtok_int8_pack(keys + c * stride, count - c < 64 ? count - c : 64, depth, stride, (uint8_t *)own.keys + c * vtok_int8_depth(depth), own.key_scales + c);
  for (size_t c = 0; c < depth; c += 64)
    vtok_int8_pack_columns(values + c, depth - c < 64 ? depth - c : 64, count, stride, (uint8_t *)own.values + c * vtok_int8_depth(count), own.value_scales + c, own.value_shifts + c);
  for (size_t c = 0; c < depth; c++) own.value_shifts[c] *= 128;
}

// MARK: Between the products

VTOK_CLONES static float bf16_numerators(float *x, size_t n, const float *bias, uint16_t *p, size_t padded) {
  float sum = numerators(x, n, bias);
  for (size_t c = 0; c < n; c++) p[c] = vtok_bf16_narrowed(x[c]);
  memset(p + n, 0, (padded - n) * sizeof *p);
  return sum;
}

// Their sum as whole numbers, and NaN where one is none; `total` is that of what the kernels get. Keys that are not seen have 0.
VTOK_CLONES static float int8_numerators(float *x, size_t seen, size_t keys, const float *bias, int8_t *p, size_t padded, int32_t *total) {
#pragma clang fp contract(off)
  float sum = numerators(x, seen, bias);
  int32_t whole = 0;
  for (size_t c = 0; c < seen; c++) {
    union { float f; int32_t i; } t = {x[c] * 255.0f + 12582912.0f};  // rounds half to even
    int32_t value = t.i - 0x4b400000;
    p[c] = (int8_t)(value - 128);
    whole += value;
  }
  memset(p + seen, -128, keys - seen);
  memset(p + keys, 0, padded - keys);
  *total = whole - 128 * (int32_t)keys;
  return sum == sum ? (float)whole : NAN;
}

// MARK: Rows

void vtok_attention_rows(vtok_attention_kind kind, size_t level, const float *queries, size_t n, size_t ldq, size_t keys, size_t depth, const float *bias, size_t visible, float *out, size_t ldo, void *memory) {
  parts own = parts_of(kind, keys, depth, memory);
  size_t rows = kind == VTOK_ATTENTION_BF16 ? vtok_bf16_levels[level].rows : vtok_int8_levels[level].rows;
  size_t tiles = (n + rows - 1) / rows;
  for (size_t t = 0; t < tiles; t++) {
    size_t r = t * n / tiles, some = (t + 1) * n / tiles - r;
    float sums[ROWS], scales[ROWS];
    int32_t totals[ROWS];
    const float *q = queries + r * ldq;
    float *o = out + r * ldo;
    if (kind == VTOK_ATTENTION_BF16) {
      vtok_bf16_round(q, some, depth, ldq, own.queries);
      vtok_bf16_product(level, own.queries, some, depth, own.keys, 0, keys, 0, own.logits, own.stride);
    } else {
      vtok_int8_round(q, some, depth, ldq, own.queries, scales, totals);
      vtok_int8_product(level, own.queries, some, depth, scales, totals, own.keys, own.key_scales, 0, 0, keys, 0, own.logits, own.stride);
    }
    for (size_t i = 0; i < some; i++) {
      size_t seen = visible ? (visible + r + i < keys ? visible + r + i : keys) : keys;
      float *x = own.logits + i * own.stride;
      if (kind == VTOK_ATTENTION_BF16) {
        size_t padded = vtok_bf16_depth(keys);
        sums[i] = bf16_numerators(x, seen, bias, (uint16_t *)own.numerators + i * padded, padded);
      } else {
        size_t padded = vtok_int8_depth(keys);
        sums[i] = int8_numerators(x, seen, keys, bias, (int8_t *)own.numerators + i * padded, padded, totals + i);
      }
      scales[i] = 1.0f / sums[i];
    }
    if (kind == VTOK_ATTENTION_BF16) {
      vtok_bf16_product(level, own.numerators, some, keys, own.values, 0, depth, 0, o, ldo);
      for (size_t i = 0; i < some; i++) vtok_scale_rows(o + i * ldo, 1, depth, ldo, scales[i]);
    } else {
      vtok_int8_end end = {scales, totals, own.value_scales, 0, own.value_shifts, 0};
      vtok_int8_products(level, own.numerators, some, keys, own.values, &end, 0, depth, o, ldo);
    }
  }
}

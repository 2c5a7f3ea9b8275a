// Keys and values of a cache in few bits. What one head has in one entry, its key or its value, is a group: rounded by itself, its
// bytes together, the groups of an entry side by side. bfloat16 is rounded to nearest even; a group of 8 bits begins with its scale,
// max |x| / 127 in float32, and a number is its byte times that, rounded once. Both ways have one result on every processor.
//
// Attention widens some entries into memory that stays in the nearest cache and goes on as over float32: what waits for memory
// are the few bits, and its sums are those over a float32 cache of the rounded numbers, to the bit.
#include "bf16.h"
#include "int8_round.h"

size_t vtok_cache_bytes(vtok_cache_kind kind, size_t n) { return kind == VTOK_CACHE_BF16 ? 2 * n : sizeof(float) + n; }

VTOK_CLONES static void round_bf16(const float *x, size_t n, uint8_t *out) {
  for (size_t k = 0; k < n; k++) {
    uint16_t value = vtok_bf16_narrowed(x[k]);
    memcpy(out + 2 * k, &value, 2);
  }
}

VTOK_CLONES static void round_int8(const float *x, size_t n, uint8_t *out) {
  float scale = row_scale(x, n), divisor = scale == scale ? scale : 1.0f;
  memcpy(out, &scale, sizeof scale);
  for (size_t k = 0; k < n; k++) out[sizeof scale + k] = (uint8_t)rounded(x[k], divisor);
}

void vtok_cache_round(vtok_cache_kind kind, const float *x, size_t groups, size_t n, void *out) {
  uint8_t *group = out;
  for (size_t g = 0; g < groups; g++, x += n, group += vtok_cache_bytes(kind, n))
    if (kind == VTOK_CACHE_BF16) round_bf16(x, n, group);
    else round_int8(x, n, group);
}

VTOK_CLONES static void widen_bf16(const uint8_t *p, size_t rows, size_t stride, size_t n, float *out, size_t ldo) {
  for (size_t r = 0; r < rows; r++, p += stride, out += ldo)
    for (size_t k = 0; k < n; k++) {
      uint16_t value;
      memcpy(&value, p + 2 * k, 2);
      uint32_t bits = (uint32_t)value << 16;
      memcpy(out + k, &bits, 4);
    }
}

VTOK_CLONES static void widen_int8(const uint8_t *p, size_t rows, size_t stride, size_t n, float *out, size_t ldo) {
  for (size_t r = 0; r < rows; r++, p += stride, out += ldo) {
    float scale;
    memcpy(&scale, p, sizeof scale);
    for (size_t k = 0; k < n; k++) out[k] = (float)(int8_t)p[sizeof scale + k] * scale;
  }
}

void vtok_cache_widen(vtok_cache_kind kind, const void *p, size_t rows, size_t stride, size_t n, float *out, size_t ldo) {
  if (kind == VTOK_CACHE_BF16) widen_bf16(p, rows, stride, n, out, ldo);
  else widen_int8(p, rows, stride, n, out, ldo);
}

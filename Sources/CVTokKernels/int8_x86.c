// The blocks of 8-bit products on x86-64: AMX tiles, AVX-512 and AVX2 with dot instructions, AVX2 without.
#include "int8.h"
#include "tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define PANEL VTOK_INT8_PANEL

// MARK: AVX-512 VNNI

#define VNNI512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"), min_vector_width(512)))

// ROWS rows in 4 * ROWS registers; every group of four is one broadcast and four dots.
#define VNNI512_SUMS(ROWS)                                                                                             \
  __m512i s[ROWS][4];                                                                                                  \
  for (int r = 0; r < ROWS; r++)                                                                                       \
    for (int v = 0; v < 4; v++) s[r][v] = _mm512_setzero_si512();                                                      \
  for (size_t k = 0; k < depth; k += 4) {                                                                              \
    __m512i w[4];                                                                                                      \
    for (int v = 0; v < 4; v++) w[v] = _mm512_loadu_si512(panel + k * PANEL + v * 64);                                 \
    for (int r = 0; r < ROWS; r++) {                                                                                   \
      int group;                                                                                                       \
      memcpy(&group, p + r * depth + k, 4);                                                                            \
      __m512i x = _mm512_set1_epi32(group);                                                                            \
      for (int v = 0; v < 4; v++) s[r][v] = _mm512_dpbusd_epi32(s[r][v], w[v], x);                                     \
    }                                                                                                                  \
  }
#define VNNI512_ROWS(ROWS)                                                                                             \
  VNNI512 static void vnni512_##ROWS(const int8_t *p, size_t depth, const uint8_t *panel, uint32_t *sums) {            \
    VNNI512_SUMS(ROWS)                                                                                                 \
    for (int r = 0; r < ROWS; r++)                                                                                     \
      for (int v = 0; v < 4; v++) _mm512_storeu_si512(sums + r * PANEL + v * 16, s[r][v]);                             \
  }                                                                                                                    \
  VNNI512 static void vnni512_whole_##ROWS(const int8_t *p, size_t depth, const uint8_t *panel, const vtok_int8_end *end, float *out, size_t ldo) { \
    VNNI512_SUMS(ROWS)                                                                                                 \
    for (int v = 0; v < 4; v++) {                                                                                      \
      __m512 column = _mm512_loadu_ps(end->columns + v * 16);                                                          \
      for (int r = 0; r < ROWS; r++) {                                                                                 \
        __m512i sum = _mm512_sub_epi32(s[r][v], _mm512_set1_epi32(end->offsets[r] * 128));                             \
        if (end->shifts) sum = _mm512_add_epi32(sum, _mm512_loadu_si512(end->shifts + v * 16));                        \
        __m512 scale = _mm512_mul_ps(_mm512_set1_ps(end->scales[r]), column);                                          \
        __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);                                                      \
        if (end->bias) y = _mm512_add_ps(y, _mm512_loadu_ps(end->bias + v * 16));                                      \
        if (end->accumulate) y = _mm512_add_ps(_mm512_loadu_ps(out + r * ldo + v * 16), y);                            \
        _mm512_storeu_ps(out + r * ldo + v * 16, y);                                                                   \
      }                                                                                                                \
    }                                                                                                                  \
  }
VNNI512_ROWS(1)
VNNI512_ROWS(2)
VNNI512_ROWS(3)
VNNI512_ROWS(4)
VNNI512_ROWS(5)
VNNI512_ROWS(6)

typedef void few_rows(const int8_t *p, size_t depth, const uint8_t *panel, uint32_t *sums);
static few_rows *const vnni512[] = {vnni512_1, vnni512_2, vnni512_3, vnni512_4, vnni512_5, vnni512_6};

static void vnni512_block(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, uint32_t *sums) {
  vnni512[rows - 1](p, depth, panel, sums);
}

typedef void few_whole_rows(const int8_t *p, size_t depth, const uint8_t *panel, const vtok_int8_end *end, float *out, size_t ldo);
static few_whole_rows *const vnni512_wholes[] = {vnni512_whole_1, vnni512_whole_2, vnni512_whole_3, vnni512_whole_4, vnni512_whole_5, vnni512_whole_6};

static void vnni512_whole(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, const vtok_int8_end *end, float *out, size_t ldo) {
  vnni512_wholes[rows - 1](p, depth, panel, end, out, ldo);
}

// MARK: AVX-VNNI and AVX2

// ROWS rows times 32 columns in 4 * ROWS of 16 registers.
#define VNNI256_ROWS(ROWS)                                                                                             \
  __attribute__((target("avx2,avxvnni"))) static void vnni256_##ROWS(const int8_t *p, size_t depth, const uint8_t *panel, uint32_t *sums) { \
    for (int half = 0; half < 2; half++) {                                                                             \
      __m256i s[ROWS][4];                                                                                              \
      for (int r = 0; r < ROWS; r++)                                                                                   \
        for (int v = 0; v < 4; v++) s[r][v] = _mm256_setzero_si256();                                                  \
      for (size_t k = 0; k < depth; k += 4) {                                                                          \
        const uint8_t *w = panel + k * PANEL + half * 128;                                                             \
        __m256i x[ROWS];                                                                                               \
        for (int r = 0; r < ROWS; r++) {                                                                               \
          int group;                                                                                                   \
          memcpy(&group, p + r * depth + k, 4);                                                                        \
          x[r] = _mm256_set1_epi32(group);                                                                             \
        }                                                                                                              \
        for (int v = 0; v < 4; v++) {                                                                                  \
          __m256i eight = _mm256_loadu_si256((const __m256i *)(w + v * 32));                                           \
          for (int r = 0; r < ROWS; r++) s[r][v] = _mm256_dpbusd_avx_epi32(s[r][v], eight, x[r]);                      \
        }                                                                                                              \
      }                                                                                                                \
      for (int r = 0; r < ROWS; r++)                                                                                   \
        for (int v = 0; v < 4; v++) _mm256_storeu_si256((__m256i *)(sums + r * PANEL + half * 32 + v * 8), s[r][v]);   \
    }                                                                                                                  \
  }
VNNI256_ROWS(1)
VNNI256_ROWS(2)
VNNI256_ROWS(3)
static few_rows *const vnni256[] = {vnni256_1, vnni256_2, vnni256_3};

static void vnni256_block(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, uint32_t *sums) {
  vnni256[rows - 1](p, depth, panel, sums);
}

// The instruction for bytes saturates, so bytes at even and at odd places are multiplied apart, as 16 bits. The weights are split
// once for all rows.
#define AVX2_ROWS(ROWS)                                                                                                \
  __attribute__((target("avx2"))) static void avx2_##ROWS(const int8_t *p, size_t depth, const uint8_t *panel, uint32_t *sums) { \
    for (int half = 0; half < 2; half++) {                                                                             \
      __m256i s[ROWS][4];                                                                                              \
      for (int r = 0; r < ROWS; r++)                                                                                   \
        for (int v = 0; v < 4; v++) s[r][v] = _mm256_setzero_si256();                                                  \
      for (size_t k = 0; k < depth; k += 4) {                                                                          \
        const uint8_t *w = panel + k * PANEL + half * 128;                                                             \
        __m256i even[ROWS], odd[ROWS];                                                                                 \
        for (int r = 0; r < ROWS; r++) {                                                                               \
          int group;                                                                                                   \
          memcpy(&group, p + r * depth + k, 4);                                                                        \
          __m256i x = _mm256_set1_epi32(group);                                                                        \
          even[r] = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);                                                     \
          odd[r] = _mm256_srai_epi16(x, 8);                                                                            \
        }                                                                                                              \
        for (int v = 0; v < 4; v++) {                                                                                  \
          __m256i both = _mm256_loadu_si256((const __m256i *)(w + v * 32));                                            \
          __m256i low = _mm256_and_si256(both, _mm256_set1_epi16(255)), high = _mm256_srli_epi16(both, 8);             \
          for (int r = 0; r < ROWS; r++) {                                                                             \
            s[r][v] = _mm256_add_epi32(s[r][v], _mm256_madd_epi16(low, even[r]));                                      \
            s[r][v] = _mm256_add_epi32(s[r][v], _mm256_madd_epi16(high, odd[r]));                                      \
          }                                                                                                            \
        }                                                                                                              \
      }                                                                                                                \
      for (int r = 0; r < ROWS; r++)                                                                                   \
        for (int v = 0; v < 4; v++) _mm256_storeu_si256((__m256i *)(sums + r * PANEL + half * 32 + v * 8), s[r][v]);   \
    }                                                                                                                  \
  }
AVX2_ROWS(1)
AVX2_ROWS(2)

static void avx2_block(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, uint32_t *sums) {
  (rows == 1 ? avx2_1 : avx2_2)(p, depth, panel, sums);
}

// MARK: AMX

#define AMX __attribute__((target("amx-tile,amx-int8,avx512f")))

// 32 rows at most: half of the columns at a time. Few rows have kernels
// with dots that waste nothing.
AMX static void amx_block(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, uint32_t *sums) {
  if (rows <= 6) return vnni512_block(p, rows, depth, panel, sums);
  size_t upper = rows < 16 ? rows : 16, lower = rows - upper;
  vtok_tile_shapes shapes = vtok_tiles(upper, lower);
  _tile_loadconfig(&shapes);
  const size_t line = PANEL * 4;  // bytes of a group of four along the depth
  for (int half = 0; half < 2; half++) {
    _tile_zero(0);
    _tile_zero(1);
    if (lower) {
      _tile_zero(2);
      _tile_zero(3);
    }
    for (size_t k = 0; k < depth; k += 64) {
      const uint8_t *w = panel + k * PANEL + half * 128;
      _tile_loadd(4, p + k, depth);
      _tile_loadd(6, w, line);
      _tile_loadd(7, w + 64, line);
      _tile_dpbsud(0, 4, 6);
      _tile_dpbsud(1, 4, 7);
      if (lower) {
        _tile_loadd(5, p + 16 * depth + k, depth);
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
      }
    }
    uint32_t *out = sums + half * 32;
    _tile_stored(0, out, PANEL * 4);
    _tile_stored(1, out + 16, PANEL * 4);
    if (lower) {
      _tile_stored(2, out + 16 * PANEL, PANEL * 4);
      _tile_stored(3, out + 16 * PANEL + 16, PANEL * 4);
    }
  }
  _tile_release();
}

static int has_amx(void) { return vtok_has_avx512_vnni() && vtok_has_tiles(VTOK_AMX_INT8); }

const vtok_int8_level vtok_int8_levels[] = {
    {{"amx", has_amx}, amx_block, 32, 0},
    {{"avx512-vnni", vtok_has_avx512_vnni}, vnni512_block, 6, vnni512_whole},
    {{"avx-vnni", vtok_has_avx_vnni}, vnni256_block, 3, 0},
    {{"avx2", vtok_has_avx2}, avx2_block, 2, 0},
    {{"plain", vtok_has_all}, vtok_int8_plain_block, VTOK_INT8_ROWS, 0},
};
const size_t vtok_int8_level_count = 5;
#endif

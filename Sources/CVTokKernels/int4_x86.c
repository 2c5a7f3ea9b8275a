// The blocks of 4-bit products on x86-64.
#include "int4.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define PANEL VTOK_INT4_PANEL
#define GROUP VTOK_INT4_GROUP
#define BYTES VTOK_INT4_BYTES

// MARK: AVX-512 VNNI

#define VNNI512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"), min_vector_width(512)))

// ROWS rows, all 64 columns: sums of groups in 2 * ROWS registers, two of 16 columns at a time, and of floats in 4 * ROWS. The
// codes are unsigned: a group's sum begins at -8 times that of its row.
#define VNNI512_ROWS(ROWS)                                                                                             \
  VNNI512 static void vnni512_##ROWS(const int8_t *p, const float *scales, const int32_t *totals, size_t groups, const uint8_t *panel, float *sums) { \
    const __m512i low = _mm512_set1_epi8(15);                                                                          \
    __m512 f[ROWS][4];                                                                                                 \
    for (int r = 0; r < ROWS; r++)                                                                                     \
      for (int v = 0; v < 4; v++) f[r][v] = _mm512_setzero_ps();                                                       \
    for (size_t g = 0; g < groups; g++) {                                                                              \
      const uint8_t *codes = panel + g * BYTES;                                                                        \
      for (int v = 0; v < 4; v += 2) {                                                                                 \
        __m512i s[ROWS][2];                                                                                            \
        for (int r = 0; r < ROWS; r++) s[r][0] = s[r][1] = _mm512_set1_epi32(-8 * totals[r * groups + g]);             \
        for (int j = 0; j < 4; j++) {                                                                                  \
          __m512i a = _mm512_loadu_si512(codes + j * 256 + v * 64), b = _mm512_loadu_si512(codes + j * 256 + v * 64 + 64); \
          __m512i a0 = _mm512_and_si512(a, low), a1 = _mm512_and_si512(_mm512_srli_epi16(a, 4), low);                  \
          __m512i b0 = _mm512_and_si512(b, low), b1 = _mm512_and_si512(_mm512_srli_epi16(b, 4), low);                  \
          for (int r = 0; r < ROWS; r++) {                                                                             \
            int first, second;                                                                                         \
            memcpy(&first, p + (r * groups + g) * GROUP + 4 * j, 4);                                                   \
            memcpy(&second, p + (r * groups + g) * GROUP + 16 + 4 * j, 4);                                             \
            __m512i x0 = _mm512_set1_epi32(first), x1 = _mm512_set1_epi32(second);                                     \
            s[r][0] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(s[r][0], a0, x0), a1, x1);                               \
            s[r][1] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(s[r][1], b0, x0), b1, x1);                               \
          }                                                                                                            \
        }                                                                                                              \
        for (int u = 0; u < 2; u++) {                                                                                  \
          __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(codes + 1024 + (v + u) * 32)));          \
          for (int r = 0; r < ROWS; r++)                                                                               \
            f[r][v + u] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[r][u]), _mm512_mul_ps(scale, _mm512_set1_ps(scales[r * groups + g])), f[r][v + u]); \
        }                                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
    for (int r = 0; r < ROWS; r++)                                                                                     \
      for (int v = 0; v < 4; v++) _mm512_storeu_ps(sums + r * PANEL + v * 16, f[r][v]);                                \
  }
VNNI512_ROWS(1)
VNNI512_ROWS(2)
VNNI512_ROWS(3)
VNNI512_ROWS(4)

typedef void few_rows(const int8_t *p, const float *scales, const int32_t *totals, size_t groups, const uint8_t *panel, float *sums);
static few_rows *const vnni512[] = {vnni512_1, vnni512_2, vnni512_3, vnni512_4};

static void vnni512_block(const int8_t *p, const float *scales, const int32_t *totals, size_t rows, size_t groups, const uint8_t *panel, float *sums) {
  vnni512[rows - 1](p, scales, totals, groups, panel, sums);
}

// MARK: AVX2

// One row at a time, 8 columns of it. Codes are below 16, so pairs of products stay below 16 bits and the instruction for bytes is exact.
__attribute__((target("avx2,fma,f16c"))) static void avx2_block(const int8_t *p, const float *scales, const int32_t *totals, size_t rows, size_t groups, const uint8_t *panel, float *sums) {
  const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  for (size_t r = 0; r < rows; r++)
    for (int half = 0; half < 2; half++) {
      __m256 f[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
      for (size_t g = 0; g < groups; g++) {
        const uint8_t *codes = panel + g * BYTES;
        const int8_t *x = p + (r * groups + g) * GROUP;
        __m256i pairs[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int j = 0; j < 4; j++) {
          int first, second;
          memcpy(&first, x + 4 * j, 4);
          memcpy(&second, x + 16 + 4 * j, 4);
          __m256i x0 = _mm256_set1_epi32(first), x1 = _mm256_set1_epi32(second);
          for (int v = 0; v < 4; v++) {
            __m256i both = _mm256_loadu_si256((const __m256i *)(codes + j * 256 + half * 128 + v * 32));
            __m256i a = _mm256_maddubs_epi16(_mm256_and_si256(both, low), x0);
            __m256i b = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(both, 4), low), x1);
            pairs[v] = _mm256_add_epi16(pairs[v], _mm256_add_epi16(a, b));  // 16 products of at most 15 * 127
          }
        }
        __m256 scale = _mm256_set1_ps(scales[r * groups + g]);
        __m256i offset = _mm256_set1_epi32(-8 * totals[r * groups + g]);
        for (int v = 0; v < 4; v++) {
          __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(pairs[v], ones), offset);
          __m256 w = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(codes + 1024 + half * 64 + v * 16)));
          f[v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(w, scale), f[v]);
        }
      }
      for (int v = 0; v < 4; v++) _mm256_storeu_ps(sums + r * PANEL + half * 32 + v * 8, f[v]);
    }
}

const vtok_int4_level vtok_int4_levels[] = {
    {{"avx512-vnni", vtok_has_avx512_vnni}, vnni512_block, 4},
    {{"avx2", vtok_has_avx2}, avx2_block, 4},
    {{"plain", vtok_has_all}, vtok_int4_plain_block, VTOK_INT4_ROWS},
};
const size_t vtok_int4_level_count = 3;
#endif

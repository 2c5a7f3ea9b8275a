// Products with the blocks of GGUF files on x86-64: AVX-512 and AVX2 with dot instructions, AVX2 without.
#include "gguf_panel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

// MARK: AVX2

#define AVX2 "avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(AVX2))), apply_to = function)
#include "gguf_256_codes.h"
#include "gguf_pack_x86.h"
#define LEVEL avx2
#define DOT(u, s) _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1))
#define SCALED(sum, u, s, scales) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), scales))
#include "gguf_256.h"
#undef SCALED
#undef DOT

// Registers of eight numbers, as panels take them.
#define WIDTH 8
#define ROWS 3
#define ints __m256i
#define floats __m256
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define LOADF _mm256_loadu_ps
#define STOREF _mm256_storeu_ps
#define SPREAD _mm256_set1_epi32
#define SPREADF _mm256_set1_ps
#define ZERO _mm256_setzero_si256()
#define MULTIPLY _mm256_mullo_epi32
#define ADD _mm256_add_epi32
#define FLOAT _mm256_cvtepi32_ps
#define SCALE _mm256_mul_ps
#define FUSE _mm256_fmadd_ps

// Sums of two products fit 16 bits where codes are below 64; others become signed ones, whose signs move to the other side.
VTOK_INLINE __m256i signed_dot(__m256i sum, __m256i u, __m256i s) {
  __m256i w = _mm256_xor_si256(u, _mm256_set1_epi8((char)0x80));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(s, w)), _mm256_set1_epi16(1)));
}
#define DOT(sum, u, s) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)))
#define WIDE_DOT signed_dot
#define WIDE_OFFSET 0
#define PAIRS(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#include "gguf_panel_level.h"
#undef PAIRS
#undef WIDE_OFFSET
#undef WIDE_DOT
#undef DOT
#undef LEVEL
#pragma clang attribute pop

// MARK: AVX-VNNI

#pragma clang attribute push(__attribute__((target(AVX2 ",avxvnni"))), apply_to = function)
#define LEVEL avxvnni
#define DOT(u, s) _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), u, s)
#define SCALED(sum, u, s, scales) _mm256_dpwssd_avx_epi32(sum, _mm256_maddubs_epi16(u, s), scales)
#include "gguf_256.h"
#undef SCALED
#undef DOT
#define DOT _mm256_dpbusd_avx_epi32
#define WIDE_DOT DOT
#define WIDE_OFFSET 128
#define PAIRS _mm256_dpwssd_avx_epi32
#include "gguf_panel_level.h"
#undef PAIRS
#undef WIDE_OFFSET
#undef WIDE_DOT
#undef DOT
#undef LEVEL
#undef WIDTH
#undef ROWS
#undef ints
#undef floats
#undef LOAD
#undef LOADF
#undef STOREF
#undef SPREAD
#undef SPREADF
#undef ZERO
#undef MULTIPLY
#undef ADD
#undef FLOAT
#undef SCALE
#undef FUSE
#pragma clang attribute pop

// MARK: AVX-512 VNNI

#define AVX512 AVX2 ",avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#pragma clang attribute push(__attribute__((target(AVX512), min_vector_width(512))), apply_to = function)
#define LEVEL avx512
#define DOT(u, s) _mm256_dpbusd_epi32(_mm256_setzero_si256(), u, s)
#define SCALED(sum, u, s, scales) _mm256_dpwssd_epi32(sum, _mm256_maddubs_epi16(u, s), scales)
#include "gguf_256.h"
#undef SCALED
#undef DOT
#include "gguf_512.h"
#include "gguf_sixteen_512.h"
#define WIDTH 16
#define ROWS 6
#define ints __m512i
#define floats __m512
#define LOAD(p) _mm512_loadu_si512(p)
#define LOADF _mm512_loadu_ps
#define STOREF _mm512_storeu_ps
#define SPREAD _mm512_set1_epi32
#define SPREADF _mm512_set1_ps
#define ZERO _mm512_setzero_si512()
#define MULTIPLY _mm512_mullo_epi32
#define ADD _mm512_add_epi32
#define FLOAT _mm512_cvtepi32_ps
#define SCALE _mm512_mul_ps
#define FUSE _mm512_fmadd_ps
#define DOT _mm512_dpbusd_epi32
#define WIDE_DOT DOT
#define WIDE_OFFSET 128
#define PAIRS _mm512_dpwssd_epi32
#include "gguf_panel_level.h"
#pragma clang attribute pop

const vtok_gguf_level vtok_gguf_levels[] = {
    {{"avx512-vnni", vtok_has_avx512_vnni}, wide_dot_of, sixteen_dot_of, avx2_pack, avx512_panel_rows},
    {{"avx-vnni", vtok_has_avx_vnni}, avxvnni_dot_of, NULL, avx2_pack, avxvnni_panel_rows},
    {{"avx2", vtok_has_avx2}, avx2_dot_of, NULL, avx2_pack, avx2_panel_rows},
    {{"plain", vtok_has_all}, vtok_gguf_plain_dot, NULL, vtok_gguf_plain_pack, vtok_gguf_plain_rows},
};
const size_t vtok_gguf_level_count = 4;
#endif

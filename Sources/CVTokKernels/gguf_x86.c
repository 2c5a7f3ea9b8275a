// Products with the blocks of GGUF files on x86-64: AVX-512 and AVX2 with dot instructions, AVX2 without.
#include "gguf.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

// MARK: AVX2

#define AVX2 "avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(AVX2))), apply_to = function)
#include "gguf_256_codes.h"
#define LEVEL avx2
#define DOT(u, s) _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1))
#define SCALED(sum, u, s, scales) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), scales))
#include "gguf_256.h"
#undef SCALED
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
#undef LEVEL
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
#undef LEVEL
#include "gguf_512.h"
#pragma clang attribute pop

const vtok_gguf_level vtok_gguf_levels[] = {
    {{"avx512-vnni", vtok_has_avx512_vnni}, wide_dot_of},
    {{"avx-vnni", vtok_has_avx_vnni}, avxvnni_dot_of},
    {{"avx2", vtok_has_avx2}, avx2_dot_of},
    {{"plain", vtok_has_all}, vtok_gguf_plain_dot},
};
const size_t vtok_gguf_level_count = 4;
#endif

// Products with the blocks of GGUF files on x86-64: AVX-512 and AVX2 with dot instructions, AVX2 without.
#include "gguf.h"

#if defined(__x86_64__)
#include <cpuid.h>
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

static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); }

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

static int has_avxvnni(void) {
  unsigned a, b, c, d;
  return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

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

static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

const vtok_gguf_level vtok_gguf_levels[] = {
    {"avx512-vnni", has_avx512, wide_dot_of},
    {"avx-vnni", has_avxvnni, avxvnni_dot_of},
    {"avx2", has_avx2, avx2_dot_of},
};
const size_t vtok_gguf_level_count = 3;
#else
const vtok_gguf_level vtok_gguf_levels[1];
const size_t vtok_gguf_level_count = 0;
#endif

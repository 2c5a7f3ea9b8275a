// Two common types with registers of 64 bytes; the others take the bodies of gguf_256.h. Included by gguf_x86.c.

VTOK_INLINE __m512i two(__m256i low, __m256i high) { return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1); }

// Elements 64 t ..< 64 t + 64.
typedef __m512i code_64(const uint8_t *w, int t);

VTOK_INLINE __m512i wide_codes_q4_k(const uint8_t *w, int t) {
  __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(w + 16 + 32 * t)));
  const __m512i shifts = _mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0);
  return _mm512_and_si512(_mm512_srlv_epi64(both, shifts), _mm512_set1_epi8(15));
}

VTOK_INLINE __m512i wide_codes_q6_k(const uint8_t *w, int t) {
  int half = t / 2;
  __m512i low = _mm512_loadu_si512(w + 64 * half);
  __m512i four = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(w + 128 + 32 * half)));
  if (t % 2) {
    low = _mm512_srli_epi16(low, 4);
    four = _mm512_srlv_epi64(four, _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0));
  } else {
    four = _mm512_sllv_epi64(four, _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4));
  }
  // (low & 15) | (four & 48)
  return _mm512_ternarylogic_epi32(_mm512_and_si512(low, _mm512_set1_epi8(15)), four, _mm512_set1_epi8(48), 0xf8);
}

// Scales lie as in block_256: those of even groups in the lower half, of odd groups in the upper. Groups 4 t ..< 4 t + 4 go to one
// quarter each.
VTOK_INLINE __m512i scales_of_groups(__m256i scales, int t) {
  __m512i spread = _mm512_permutexvar_epi64(_mm512_set_epi64(3, 2, 1, 0, 3, 2, 1, 0), _mm512_castsi256_si512(scales));
  const __m512i places = two(_mm256_set1_epi16((short)((4 * t + 1) << 8 | 4 * t)), _mm256_set1_epi16((short)((4 * t + 3) << 8 | (4 * t + 2))));
  return _mm512_shuffle_epi8(spread, places);
}

VTOK_INLINE void wide_256(int n, parts_256 *parts, code_64 *codes, size_t size, kind_256 kind, const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, float *out) {
  for (int i = 0; i < n; i++) out[i] = 0;
  for (size_t b = 0; b < blocks; b++, w += size) {
    block_256 part;
    parts(w, &part);
    __m512i total[VTOK_GGUF_ROWS];
    for (int i = 0; i < n; i++) total[i] = _mm512_setzero_si512();
#pragma clang loop unroll(full)
    for (int t = 0; t < 4; t++) {
      __m512i q = codes(w, t), scale = scales_of_groups(part.scales, t);
      for (int i = 0; i < n; i++) {
        __m512i a = _mm512_loadu_si512(x->quants + ((first + (size_t)i) * blocks + b) * 256 + 64 * t);
        total[i] = _mm512_dpwssd_epi32(total[i], _mm512_maddubs_epi16(q, a), scale);
      }
    }
    for (int i = 0; i < n; i++) {
      size_t place = (first + (size_t)i) * blocks + b;
      __m256i less = _mm256_madd_epi16(part.minima, _mm256_loadu_si256((const __m256i *)(x->groups + place * 16)));
      __m256i sum = _mm256_add_epi32(_mm512_castsi512_si256(total[i]), _mm512_extracti64x4_epi64(total[i], 1));
      if (kind == OFFSET) sum = _mm256_sub_epi32(sum, less);
      out[i] = fused(part.d * x->scales[place], sum_of(sum), out[i]);
      if (kind == MINIMUM) out[i] = fused(part.m * -x->scales[place], sum_of(less), out[i]);
    }
  }
}

// MARK: Types

ROWS_OF(wide_q4_k, wide_256, parts_q4_k, wide_codes_q4_k, 144, MINIMUM)
ROWS_OF(wide_q6_k, wide_256, parts_q6_k, wide_codes_q6_k, 210, OFFSET)

static vtok_gguf_dot *wide_dot_of(uint32_t type) {
  switch (type) {
  case Q4_K: return wide_q4_k;
  case Q6_K: return wide_q6_k;
  default: return avx512_dot_of(type);
  }
}

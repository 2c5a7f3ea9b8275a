// The most common types with registers of 64 bytes; the others take the bodies of gguf_256.h. Included by gguf_x86.c.

// MARK: Blocks of 32, two at a time

VTOK_INLINE __m512i two(__m256i low, __m256i high) { return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1); }

// Codes of two blocks as 64 bytes; the second of a last odd one is the first again.
typedef __m512i code_2x32(const uint8_t *a, const uint8_t *b);

VTOK_INLINE __m512i pair_q4_0(const uint8_t *a, const uint8_t *b) {  // 8 too large
  __m256i first = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(a + 2)));
  __m256i second = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(b + 2)));
  const __m512i shifts = _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0);
  return _mm512_and_si512(_mm512_srlv_epi64(two(first, second), shifts), _mm512_set1_epi8(15));
}
VTOK_INLINE __m512i pair_q8_0(const uint8_t *a, const uint8_t *b) { return two(codes_q8_0(a), codes_q8_0(b)); }

// Sums of four products each, of codes that are `offset` too large, or, without one, of signed ones.
VTOK_INLINE __m512i products(__m512i q, __m512i a, int offset) {
  const __m512i zero = _mm512_setzero_si512();
  if (offset) {
    __m512i more = _mm512_dpbusd_epi32(zero, _mm512_set1_epi8((char)offset), a);
    return _mm512_sub_epi32(_mm512_dpbusd_epi32(zero, q, a), more);
  }
  return _mm512_dpbusd_epi32(zero, _mm512_abs_epi8(q), _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(q), zero, a));
}

// The scales of up to eight blocks; those beyond count are zero.
VTOK_INLINE __m256 scales_of(const uint8_t *w, size_t size, size_t count) {
  short h[8];
#pragma clang loop unroll(full)
  for (size_t k = 0; k < 8; k++) h[k] = k < count ? (short)vtok_u16(w + k * size) : 0;
  return _mm256_cvtph_ps(_mm_set_epi16(h[7], h[6], h[5], h[4], h[3], h[2], h[1], h[0]));
}

// `count` blocks, at most eight: their scales are multiplied together, then handed to the lanes of each.
VTOK_INLINE void add_eight(int n, size_t count, code_2x32 *codes, size_t size, int offset, const uint8_t *w, size_t block, size_t blocks, const vtok_gguf_rows *x, size_t first, __m512 *sum) {
  __m256 d = scales_of(w, size, count);
  __m512 scales[VTOK_GGUF_ROWS];
  for (int i = 0; i < n; i++) {
    const float *from = x->scales + (first + (size_t)i) * blocks + block;
    __m256 own = count == 8 ? _mm256_loadu_ps(from) : _mm256_maskz_loadu_ps((__mmask8)((1u << count) - 1), from);
    scales[i] = _mm512_castps256_ps512(_mm256_mul_ps(d, own));
  }
  __m512i lanes = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  for (size_t k = 0; k < count; k += 2, w += 2 * size) {
    int single = k + 1 == count;
    __m512i q = codes(w, single ? w : w + size);
    for (int i = 0; i < n; i++) {
      const int8_t *from = x->quants + ((first + (size_t)i) * blocks + block + k) * 32;
      __m512i a = _mm512_maskz_loadu_epi8(single ? 0xffffffffu : ~(__mmask64)0, from);
      __m512 scale = _mm512_permutexvar_ps(lanes, scales[i]);
      sum[i] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(products(q, a, offset)), sum[i]);
    }
    lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(2));
  }
}

VTOK_INLINE void wide_32(int n, code_2x32 *codes, size_t size, int offset, const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, float *out) {
  __m512 sum[VTOK_GGUF_ROWS];
  for (int i = 0; i < n; i++) sum[i] = _mm512_setzero_ps();
  size_t b = 0;
  for (; b + 8 <= blocks; b += 8) add_eight(n, 8, codes, size, offset, w + b * size, b, blocks, x, first, sum);
  if (b < blocks) add_eight(n, blocks - b, codes, size, offset, w + b * size, b, blocks, x, first, sum);
  for (int i = 0; i < n; i++) out[i] = _mm512_reduce_add_ps(sum[i]);
}

// MARK: Blocks of 256

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
  __m512 sum[VTOK_GGUF_ROWS];
  __m256 minima[VTOK_GGUF_ROWS];
  for (int i = 0; i < n; i++) {
    sum[i] = _mm512_setzero_ps();
    minima[i] = _mm256_setzero_ps();
  }
  for (size_t b = 0; b < blocks; b++, w += size) {
    block_256 part;
    parts(w, &part);
    __m512i total[VTOK_GGUF_ROWS];
    for (int i = 0; i < n; i++) {
      total[i] = _mm512_setzero_si512();
      size_t place = (first + (size_t)i) * blocks + b;
      __m256i groups = _mm256_loadu_si256((const __m256i *)(x->groups + place * 16));
      __m256i less = _mm256_madd_epi16(part.minima, groups);
      if (kind == OFFSET) total[i] = _mm512_sub_epi32(total[i], _mm512_zextsi256_si512(less));
      else minima[i] = _mm256_fmadd_ps(_mm256_set1_ps(part.m * x->scales[place]), _mm256_cvtepi32_ps(less), minima[i]);
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < 4; t++) {
      __m512i q = codes(w, t), scale = scales_of_groups(part.scales, t);
      for (int i = 0; i < n; i++) {
        __m512i a = _mm512_loadu_si512(x->quants + ((first + (size_t)i) * blocks + b) * 256 + 64 * t);
        total[i] = _mm512_dpwssd_epi32(total[i], _mm512_maddubs_epi16(q, a), scale);
      }
    }
    for (int i = 0; i < n; i++) {
      __m512 scale = _mm512_set1_ps(part.d * x->scales[(first + (size_t)i) * blocks + b]);
      sum[i] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(total[i]), sum[i]);
    }
  }
  for (int i = 0; i < n; i++) out[i] = _mm512_reduce_add_ps(sum[i]) - (kind == MINIMUM ? sum_of(minima[i]) : 0);
}

// MARK: Types

ROWS_OF(wide_q4_0, wide_32, pair_q4_0, 18, 8)
ROWS_OF(wide_q8_0, wide_32, pair_q8_0, 34, 0)
ROWS_OF(wide_q4_k, wide_256, parts_q4_k, wide_codes_q4_k, 144, MINIMUM)
ROWS_OF(wide_q6_k, wide_256, parts_q6_k, wide_codes_q6_k, 210, OFFSET)

static vtok_gguf_dot *wide_dot_of(uint32_t type) {
  switch (type) {
  case Q4_0: return wide_q4_0;
  case Q8_0: return wide_q8_0;
  case Q4_K: return wide_q4_k;
  case Q6_K: return wide_q6_k;
  default: return avx512_dot_of(type);
  }
}

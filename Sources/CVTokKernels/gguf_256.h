// The bodies of gguf_x86.c for one instruction set with registers of 32 bytes: LEVEL, DOT and SCALED are set by the includer.
//   DOT(u, s): eight sums of four products of unsigned and signed bytes
//   SCALED(sum, u, s, scales): the same products, each times the scale (16 bits) of its neighbours, added to `sum`
// Sums of two products fit 16 bits: unsigned sides are below 64, or magnitudes whose signs have moved to the other side.
#define NAME(name) JOIN(LEVEL, name)

VTOK_INLINE __m256i NAME(signed_dot)(__m256i w, __m256i x) { return DOT(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)); }

// MARK: Blocks of 32

VTOK_INLINE void NAME(add_32)(int n, code_32 *codes, size_t size, int minimum, const uint8_t *w, size_t block, size_t blocks, const vtok_gguf_rows *x, size_t first, __m256 *sum, float *minima) {
  const uint8_t *at = w + block * size;
  __m256i q = codes(at);
  float d = half_at(at), m = minimum ? half_at(at + 2) : 0;
  for (int i = 0; i < n; i++) {
    size_t place = (first + (size_t)i) * blocks + block;
    __m256i a = _mm256_loadu_si256((const __m256i *)(x->quants + place * 32));
    __m256i products = minimum ? DOT(q, a) : NAME(signed_dot)(q, a);
    sum[i] = _mm256_fmadd_ps(_mm256_set1_ps(d * x->scales[place]), _mm256_cvtepi32_ps(products), sum[i]);
    if (minimum) minima[i] += m * x->sums[place];
  }
}

// Two sums a row, so that an addition need not wait for the one before it.
VTOK_INLINE void NAME(dot_32)(int n, code_32 *codes, size_t size, int minimum, const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, float *out) {
  __m256 even[VTOK_GGUF_ROWS], odd[VTOK_GGUF_ROWS];
  float minima[VTOK_GGUF_ROWS] = {0};
  for (int i = 0; i < n; i++) even[i] = odd[i] = _mm256_setzero_ps();
  size_t b = 0;
  for (; b + 2 <= blocks; b += 2) {
    NAME(add_32)(n, codes, size, minimum, w, b, blocks, x, first, even, minima);
    NAME(add_32)(n, codes, size, minimum, w, b + 1, blocks, x, first, odd, minima);
  }
  if (b < blocks) NAME(add_32)(n, codes, size, minimum, w, b, blocks, x, first, even, minima);
  for (int i = 0; i < n; i++) out[i] = sum_of(_mm256_add_ps(even[i], odd[i])) + minima[i];
}

// MARK: Blocks of 256

VTOK_INLINE void NAME(dot_256)(int n, parts_256 *parts, code_256 *codes, size_t size, kind_256 kind, const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, float *out) {
  __m256 sum[VTOK_GGUF_ROWS], minima[VTOK_GGUF_ROWS];
  for (int i = 0; i < n; i++) sum[i] = minima[i] = _mm256_setzero_ps();
  for (size_t b = 0; b < blocks; b++, w += size) {
    block_256 part;
    parts(w, &part);
    __m256i total[VTOK_GGUF_ROWS];
    for (int i = 0; i < n; i++) total[i] = _mm256_setzero_si256();
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) {
      __m256i q = codes(w, j), scale = _mm256_shuffle_epi8(part.scales, _mm256_set1_epi16((short)((2 * j + 1) << 8 | 2 * j)));
      __m256i u = kind == SIGNED ? _mm256_abs_epi8(q) : q;
      for (int i = 0; i < n; i++) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(x->quants + ((first + (size_t)i) * blocks + b) * 256 + 32 * j));
        total[i] = SCALED(total[i], u, kind == SIGNED ? _mm256_sign_epi8(a, q) : a, scale);
      }
    }
    for (int i = 0; i < n; i++) {
      size_t place = (first + (size_t)i) * blocks + b;
      float d = x->scales[place];
      if (kind != SIGNED) {
        __m256i groups = _mm256_loadu_si256((const __m256i *)(x->groups + place * 16));
        __m256i less = _mm256_madd_epi16(part.minima, groups);
        if (kind == OFFSET) total[i] = _mm256_sub_epi32(total[i], less);
        else minima[i] = _mm256_fmadd_ps(_mm256_set1_ps(part.m * d), _mm256_cvtepi32_ps(less), minima[i]);
      }
      sum[i] = _mm256_fmadd_ps(_mm256_set1_ps(part.d * d), _mm256_cvtepi32_ps(total[i]), sum[i]);
    }
  }
  for (int i = 0; i < n; i++) out[i] = sum_of(kind == MINIMUM ? _mm256_sub_ps(sum[i], minima[i]) : sum[i]);
}

// MARK: Types

ROWS_OF(NAME(q4_0), NAME(dot_32), codes_q4_0, 18, 0)
ROWS_OF(NAME(q4_1), NAME(dot_32), codes_q4_1, 20, 1)
ROWS_OF(NAME(q5_0), NAME(dot_32), codes_q5_0, 22, 0)
ROWS_OF(NAME(q5_1), NAME(dot_32), codes_q5_1, 24, 1)
ROWS_OF(NAME(q8_0), NAME(dot_32), codes_q8_0, 34, 0)
ROWS_OF(NAME(iq4_nl), NAME(dot_32), codes_iq4_nl, 18, 0)
ROWS_OF(NAME(q2_k), NAME(dot_256), parts_q2_k, codes_q2_k, 84, MINIMUM)
ROWS_OF(NAME(q3_k), NAME(dot_256), parts_q3_k, codes_q3_k, 110, OFFSET)
ROWS_OF(NAME(q4_k), NAME(dot_256), parts_q4_k, codes_q4_k, 144, MINIMUM)
ROWS_OF(NAME(q5_k), NAME(dot_256), parts_q4_k, codes_q5_k, 176, MINIMUM)
ROWS_OF(NAME(q6_k), NAME(dot_256), parts_q6_k, codes_q6_k, 210, OFFSET)
ROWS_OF(NAME(iq4_xs), NAME(dot_256), parts_iq4_xs, codes_iq4_xs, 136, SIGNED)

static vtok_gguf_dot *NAME(dot_of)(uint32_t type) {
  switch (type) {
  case Q4_0: return NAME(q4_0);
  case Q4_1: return NAME(q4_1);
  case Q5_0: return NAME(q5_0);
  case Q5_1: return NAME(q5_1);
  case Q8_0: return NAME(q8_0);
  case IQ4_NL: return NAME(iq4_nl);
  case Q2_K: return NAME(q2_k);
  case Q3_K: return NAME(q3_k);
  case Q4_K: return NAME(q4_k);
  case Q5_K: return NAME(q5_k);
  case Q6_K: return NAME(q6_k);
  case IQ4_XS: return NAME(iq4_xs);
  default: return NULL;
  }
}
#undef NAME

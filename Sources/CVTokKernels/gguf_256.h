// A few rows of activations times a row of W as it lies, for one instruction set with registers of 32 bytes: LEVEL, DOT and SCALED are set
// by the includer.
//   DOT(u, s): eight sums of four products of unsigned and signed bytes
//   SCALED(sum, u, s, scales): products of unsigned and signed bytes, each times the scale (16 bits) of its neighbours, added to `sum`
// Sums of two products fit 16 bits: unsigned sides are below 64, or magnitudes whose signs have moved to the other side.
#define NAME(name) JOIN(LEVEL, name)

VTOK_INLINE __m256i NAME(whole)(__m256i u, __m256i s, int offset) {
  if (offset < 128) return DOT(u, s);  // signed ones give their signs to the other side
  __m256i w = above_128(u);
  return DOT(_mm256_abs_epi8(w), _mm256_sign_epi8(s, w));
}

// The sums of eight registers of eight.
VTOK_INLINE __m256i NAME(eight)(const __m256i s[8]) {
  __m256i two[4], four[2];
  for (int i = 0; i < 4; i++) two[i] = _mm256_add_epi32(_mm256_unpacklo_epi32(s[2 * i], s[2 * i + 1]), _mm256_unpackhi_epi32(s[2 * i], s[2 * i + 1]));
  for (int i = 0; i < 2; i++) four[i] = _mm256_add_epi32(_mm256_unpacklo_epi64(two[2 * i], two[2 * i + 1]), _mm256_unpackhi_epi64(two[2 * i], two[2 * i + 1]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(four[0], four[1], 0x20), _mm256_permute2x128_si256(four[0], four[1], 0x31));
}

// `count` blocks of 32, at most eight.
VTOK_INLINE void NAME(add_eight)(int n, size_t count, code_32 *codes, size_t size, int minimum, int offset, const uint8_t *w, size_t block, size_t blocks, const vtok_gguf_rows *x, size_t first, float *out) {
  float minima[8];
  __m256 d = halves(w, size, count);
  if (minimum) _mm256_storeu_ps(minima, halves(w + 2, size, count));
  __m256i q[8];
#pragma clang loop unroll(full)
  for (size_t k = 0; k < 8; k++) q[k] = k < count ? codes(w + k * size) : _mm256_setzero_si256();
  for (int i = 0; i < n; i++) {
    size_t place = (first + (size_t)i) * blocks + block;
    __m256i sums[8];
#pragma clang loop unroll(full)
    for (size_t k = 0; k < 8; k++) {
      __m256i a = k < count ? _mm256_loadu_si256((const __m256i *)(x->quants + (place + k) * 32)) : _mm256_setzero_si256();
      sums[k] = NAME(whole)(q[k], a, offset);
    }
    __m256i whole = NAME(eight)(sums);
    if (offset && offset < 128) whole = _mm256_sub_epi32(whole, _mm256_mullo_epi32(totals(x->groups + 2 * place, count), _mm256_set1_epi32(offset)));
    __m256 own = count == 8 ? _mm256_loadu_ps(x->scales + place) : _mm256_setzero_ps();
    if (count < 8) memcpy(&own, x->scales + place, count * 4);
    out[i] = added(out[i], count, _mm256_mul_ps(d, own), whole, minimum ? minima : NULL, x->sums + place);
  }
}

VTOK_INLINE void NAME(dot_32)(int n, code_32 *codes, size_t size, int minimum, int offset, const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, float *out) {
  for (int i = 0; i < n; i++) out[i] = 0;
  size_t b = 0;
  for (; b + 8 <= blocks; b += 8) NAME(add_eight)(n, 8, codes, size, minimum, offset, w + b * size, b, blocks, x, first, out);
  if (b < blocks) NAME(add_eight)(n, blocks - b, codes, size, minimum, offset, w + b * size, b, blocks, x, first, out);
}

VTOK_INLINE void NAME(dot_256)(int n, parts_256 *parts, code_256 *codes, size_t size, kind_256 kind, const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, float *out) {
  for (int i = 0; i < n; i++) out[i] = 0;
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
      __m256i less = _mm256_setzero_si256();
      if (kind != SIGNED) less = _mm256_madd_epi16(part.minima, _mm256_loadu_si256((const __m256i *)(x->groups + place * 16)));
      if (kind == OFFSET) total[i] = _mm256_sub_epi32(total[i], less);
      out[i] = fused(part.d * x->scales[place], sum_of(total[i]), out[i]);
      if (kind == MINIMUM) out[i] = fused(part.m * -x->scales[place], sum_of(less), out[i]);
    }
  }
}

// MARK: Types

ROWS_OF(NAME(q4_0), NAME(dot_32), codes_q4_0, 18, 0, 8)
ROWS_OF(NAME(q4_1), NAME(dot_32), codes_q4_1, 20, 1, 0)
ROWS_OF(NAME(q5_0), NAME(dot_32), codes_q5_0, 22, 0, 16)
ROWS_OF(NAME(q5_1), NAME(dot_32), codes_q5_1, 24, 1, 0)
ROWS_OF(NAME(q8_0), NAME(dot_32), codes_q8_0, 34, 0, 128)
ROWS_OF(NAME(iq4_nl), NAME(dot_32), codes_iq4_nl, 18, 0, 128)
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

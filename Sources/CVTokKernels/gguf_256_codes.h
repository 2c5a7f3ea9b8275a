// Blocks of every type as bytes in registers of 32: shared by all levels of gguf_x86.c that have AVX2.

// (_cvtsh_ss leaves the rest of its register as it was, and so waits for whoever wrote it.)
VTOK_INLINE float half_at(const uint8_t *p) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(vtok_u16(p)))); }

VTOK_INLINE int sum_of(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

VTOK_INLINE float fused(float scale, int whole, float sum) { return __builtin_fmaf(scale, (float)whole, sum); }

// The function `name` (vtok_gguf_dot): `body` with constant numbers of rows, which keep the sums in registers.
#define ROWS_OF(name, body, ...)                                                                                       \
  static void name(const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, size_t n, float *out) {     \
    switch (n) {                                                                                                       \
    case 1: body(1, __VA_ARGS__, w, blocks, x, first, out); break;                                                     \
    case 2: body(2, __VA_ARGS__, w, blocks, x, first, out); break;                                                     \
    case 3: body(3, __VA_ARGS__, w, blocks, x, first, out); break;                                                     \
    default: body(4, __VA_ARGS__, w, blocks, x, first, out);                                                           \
    }                                                                                                                  \
  }

// MARK: Blocks of 32, in the order of their elements, as unsigned as in panels

typedef __m256i code_32(const uint8_t *w);

VTOK_INLINE __m256i nibbles_at(const uint8_t *codes) {
  __m128i both = _mm_loadu_si128((const __m128i *)codes);
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(both, 4), both), _mm256_set1_epi8(15));
}

// All ones where a bit is set: bit e for byte e.
VTOK_INLINE __m256i spread(const uint8_t *bits) {
  const __m256i places = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
  __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)vtok_u32(bits)), places);
  const __m256i one = _mm256_set1_epi64x((long long)0x8040201008040201u);
  return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, one), one);
}

VTOK_INLINE __m256i looked_up(const uint8_t *codes) {
  __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)vtok_gguf_iq4));
  return _mm256_shuffle_epi8(table, nibbles_at(codes));
}

VTOK_INLINE __m256i five_bits(const uint8_t *high, const uint8_t *codes) {
  return _mm256_or_si256(nibbles_at(codes), _mm256_and_si256(spread(high), _mm256_set1_epi8(16)));
}
VTOK_INLINE __m256i codes_q5_0(const uint8_t *w) { return five_bits(w + 2, w + 6); }
VTOK_INLINE __m256i codes_q5_1(const uint8_t *w) { return five_bits(w + 4, w + 8); }
VTOK_INLINE __m256i codes_q4_0(const uint8_t *w) { return nibbles_at(w + 2); }
VTOK_INLINE __m256i codes_q4_1(const uint8_t *w) { return nibbles_at(w + 4); }
VTOK_INLINE __m256i above_128(__m256i codes) { return _mm256_xor_si256(codes, _mm256_set1_epi8((char)0x80)); }
VTOK_INLINE __m256i codes_q8_0(const uint8_t *w) { return above_128(_mm256_loadu_si256((const __m256i *)(w + 2))); }
VTOK_INLINE __m256i codes_iq4_nl(const uint8_t *w) { return above_128(looked_up(w + 2)); }

// Halves that lie `size` bytes apart, of up to eight blocks; those beyond count are zero.
VTOK_INLINE __m256 halves(const uint8_t *w, size_t size, size_t count) {
  short h[8];
#pragma clang loop unroll(full)
  for (size_t k = 0; k < 8; k++) h[k] = k < count ? (short)vtok_u16(w + k * size) : 0;
  return _mm256_cvtph_ps(_mm_set_epi16(h[7], h[6], h[5], h[4], h[3], h[2], h[1], h[0]));
}

// The sums of eight groups of 32 quants; those beyond count are any.
VTOK_INLINE __m256i totals(const int16_t *groups, size_t count) {
  __m256i pairs = count == 8 ? _mm256_loadu_si256((const __m256i *)groups) : _mm256_setzero_si256();
  if (count < 8) memcpy(&pairs, groups, count * 4);
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// Adds up to eight blocks in their order: their scales times their whole sums, and minima times sums of x.
VTOK_INLINE float added(float sum, size_t count, __m256 scales, __m256i whole, const float *minima, const float *sums) {
  float d[8], f[8], part = 0;
  _mm256_storeu_ps(d, scales);
  _mm256_storeu_ps(f, _mm256_cvtepi32_ps(whole));
  for (size_t k = 0; k < count; k++) {
    part = __builtin_fmaf(d[k], f[k], part);
    if (minima) part = __builtin_fmaf(minima[k], sums[k], part);
  }
  return sum + part;
}

// MARK: Blocks of 256

// MINIMUM: the sums of groups times `minima` times m are taken off. OFFSET: codes are unsigned, and what they are too large by, times
// the scales, is in `minima`. SIGNED: neither.
typedef enum { MINIMUM, OFFSET, SIGNED } kind_256;
typedef struct {
  float d, m;
  __m256i scales;  // 16 bits each: of even groups in the lower half, of odd groups in the upper
  __m256i minima;  // 16 bits each, in the order of the groups
} block_256;
typedef void parts_256(const uint8_t *w, block_256 *part);
typedef __m256i code_256(const uint8_t *w, int j);  // elements 32 j ..< 32 j + 32

VTOK_INLINE __m128i evens_then_odds(__m128i bytes) {
  return _mm_shuffle_epi8(bytes, _mm_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0));
}

VTOK_INLINE void parts_q2_k(const uint8_t *w, block_256 *part) {
  __m128i both = _mm_loadu_si128((const __m128i *)w), mask = _mm_set1_epi8(15);
  part->d = half_at(w + 80);
  part->m = half_at(w + 82);
  part->scales = _mm256_cvtepu8_epi16(evens_then_odds(_mm_and_si128(both, mask)));
  part->minima = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), mask));
}
VTOK_INLINE __m256i codes_q2_k(const uint8_t *w, int j) {
  __m256i four = _mm256_loadu_si256((const __m256i *)(w + 16 + 32 * (j / 4)));
  return _mm256_and_si256(_mm256_srli_epi16(four, 2 * (j % 4)), _mm256_set1_epi8(3));
}

VTOK_INLINE void parts_q3_k(const uint8_t *w, block_256 *part) {
  uint32_t s[4];
  vtok_gguf_scales_q3(w + 96, s);
  __m128i scales = _mm_sub_epi8(_mm_set_epi32((int)s[3], (int)s[2], (int)s[1], (int)s[0]), _mm_set1_epi8(32));
  part->d = half_at(w + 108);
  part->m = 0;
  part->scales = _mm256_cvtepi8_epi16(evens_then_odds(scales));
  part->minima = _mm256_slli_epi16(_mm256_cvtepi8_epi16(scales), 2);
}
VTOK_INLINE __m256i codes_q3_k(const uint8_t *w, int j) {
  __m256i four = _mm256_loadu_si256((const __m256i *)(w + 32 + 32 * (j / 4))), high = _mm256_loadu_si256((const __m256i *)w);
  __m256i low = _mm256_and_si256(_mm256_srli_epi16(four, 2 * (j % 4)), _mm256_set1_epi8(3));
  high = j < 2 ? _mm256_slli_epi16(high, 2 - j) : _mm256_srli_epi16(high, j - 2);
  return _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(4)));
}

VTOK_INLINE void parts_q4_k(const uint8_t *w, block_256 *part) {
  uint64_t scales, minima;
  vtok_gguf_scales_k(w + 4, &scales, &minima);
  __m128i m = _mm_cvtsi64_si128((long long)minima);
  part->d = half_at(w);
  part->m = half_at(w + 2);
  part->scales = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)scales)));
  part->minima = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(m, m));
}
VTOK_INLINE __m256i codes_q4_k(const uint8_t *w, int j) {
  __m256i two = _mm256_loadu_si256((const __m256i *)(w + 16 + 32 * (j / 2)));
  return _mm256_and_si256(_mm256_srli_epi16(two, 4 * (j % 2)), _mm256_set1_epi8(15));
}
VTOK_INLINE __m256i codes_q5_k(const uint8_t *w, int j) {
  __m256i high = _mm256_loadu_si256((const __m256i *)(w + 16));
  high = j < 4 ? _mm256_slli_epi16(high, 4 - j) : _mm256_srli_epi16(high, j - 4);
  return _mm256_or_si256(codes_q4_k(w + 32, j), _mm256_and_si256(high, _mm256_set1_epi8(16)));
}

VTOK_INLINE void parts_q6_k(const uint8_t *w, block_256 *part) {
  __m128i scales = _mm_loadu_si128((const __m128i *)(w + 192));
  part->d = half_at(w + 208);
  part->m = 0;
  part->scales = _mm256_cvtepi8_epi16(evens_then_odds(scales));
  part->minima = _mm256_slli_epi16(_mm256_cvtepi8_epi16(scales), 5);
}
VTOK_INLINE __m256i codes_q6_k(const uint8_t *w, int j) {
  int half = j / 4, k = j % 4;
  __m256i two = _mm256_loadu_si256((const __m256i *)(w + 64 * half + 32 * (k % 2)));
  __m256i four = _mm256_loadu_si256((const __m256i *)(w + 128 + 32 * half));
  __m256i low = _mm256_and_si256(_mm256_srli_epi16(two, 4 * (k / 2)), _mm256_set1_epi8(15));
  __m256i high = k < 2 ? _mm256_slli_epi16(four, 4 - 2 * k) : _mm256_srli_epi16(four, 2 * k - 4);
  return _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(48)));
}

VTOK_INLINE void parts_iq4_xs(const uint8_t *w, block_256 *part) {
  uint64_t low = vtok_u32(w + 4), high = vtok_u16(w + 2), scales = 0;
  for (int j = 0; j < 8; j++) scales |= ((low >> 4 * j & 15) | (high >> 2 * j & 3) << 4) << 8 * j;
  __m128i s = _mm_sub_epi8(_mm_cvtsi64_si128((long long)scales), _mm_set1_epi8(32));
  part->d = half_at(w);
  part->m = 0;
  part->scales = _mm256_broadcastsi128_si256(_mm_cvtepi8_epi16(s));
  part->minima = _mm256_setzero_si256();
}
VTOK_INLINE __m256i codes_iq4_xs(const uint8_t *w, int j) { return looked_up(w + 8 + 16 * j); }  // signed

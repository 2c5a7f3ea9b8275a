// Codes of panels (gguf_panel.h) with AVX2: four bytes of a row stay together, and rows come to lie side by side. Included by
// gguf_x86.c behind gguf_256_codes.h.

// Dword j of eight rows of 32 bytes becomes register j.
VTOK_INLINE void across(__m256i r[8]) {
  __m256i a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int k = 0; k < 2; k++) {
      b[i + 2 * k] = _mm256_unpacklo_epi64(a[i + k], a[i + 2 + k]);
      b[i + 2 * k + 1] = _mm256_unpackhi_epi64(a[i + k], a[i + 2 + k]);
    }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

VTOK_INLINE void put(vtok_gguf_panel *panel, size_t step, size_t column, __m256i codes) {
  _mm256_storeu_si256((__m256i *)panel->codes[step][column], codes);
}

VTOK_INLINE __m256i low_half(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
VTOK_INLINE __m256i high_half(__m256i v) { return low_half(_mm256_srli_epi16(v, 4)); }

// Eight columns from `column` on: `w` has their rows.
typedef void pack_eight(const uint8_t *const w[8], size_t blocks, size_t column, vtok_gguf_panel *panel);

// Blocks of 32 whose codes are 16 bytes of two halves each, which need no more: they change places as they are.
VTOK_INLINE void pack_halves(const uint8_t *const w[8], size_t at, size_t size, size_t blocks, size_t column, vtok_gguf_panel *panel) {
  for (size_t b = 0; b < blocks; b++) {
    __m256i r[4], a[4];
    for (int i = 0; i < 4; i++)
      r[i] = _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(w[i + 4] + b * size + at)), _mm_loadu_si128((const __m128i *)(w[i] + b * size + at)));
    a[0] = _mm256_unpacklo_epi32(r[0], r[1]);
    a[1] = _mm256_unpackhi_epi32(r[0], r[1]);
    a[2] = _mm256_unpacklo_epi32(r[2], r[3]);
    a[3] = _mm256_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm256_unpacklo_epi64(a[0], a[2]);
    r[1] = _mm256_unpackhi_epi64(a[0], a[2]);
    r[2] = _mm256_unpacklo_epi64(a[1], a[3]);
    r[3] = _mm256_unpackhi_epi64(a[1], a[3]);
    for (size_t j = 0; j < 4; j++) {
      put(panel, 8 * b + j, column, low_half(r[j]));
      put(panel, 8 * b + 4 + j, column, high_half(r[j]));
    }
  }
}
static void pack_q4_0(const uint8_t *const w[8], size_t blocks, size_t column, vtok_gguf_panel *panel) { pack_halves(w, 2, 18, blocks, column, panel); }
static void pack_q4_1(const uint8_t *const w[8], size_t blocks, size_t column, vtok_gguf_panel *panel) { pack_halves(w, 4, 20, blocks, column, panel); }

// Of each 64 elements 32 bytes, the lower halves first.
static void pack_q4_k(const uint8_t *const w[8], size_t blocks, size_t column, vtok_gguf_panel *panel) {
  (void)blocks;
  for (size_t t = 0; t < 4; t++) {
    __m256i r[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_si256((const __m256i *)(w[i] + 16 + 32 * t));
    across(r);
    for (size_t j = 0; j < 8; j++) {
      put(panel, 16 * t + j, column, low_half(r[j]));
      put(panel, 16 * t + 8 + j, column, high_half(r[j]));
    }
  }
}

// The others are taken apart row by row.
VTOK_INLINE void pack_32(code_32 *codes, size_t size, const uint8_t *const w[8], size_t blocks, size_t column, vtok_gguf_panel *panel) {
  for (size_t b = 0; b < blocks; b++) {
    __m256i r[8];
    for (int i = 0; i < 8; i++) r[i] = codes(w[i] + b * size);
    across(r);
    for (size_t j = 0; j < 8; j++) put(panel, 8 * b + j, column, r[j]);
  }
}
VTOK_INLINE void pack_256(code_256 *codes, int is_signed, const uint8_t *const w[8], size_t column, vtok_gguf_panel *panel) {
#pragma clang loop unroll(full)
  for (int t = 0; t < 8; t++) {
    __m256i r[8];
    for (int i = 0; i < 8; i++) r[i] = is_signed ? above_128(codes(w[i], t)) : codes(w[i], t);
    across(r);
    for (size_t j = 0; j < 8; j++) put(panel, 8 * (size_t)t + j, column, r[j]);
  }
}
#define PACK_32(name, size) \
  static void pack_##name(const uint8_t *const w[8], size_t blocks, size_t column, vtok_gguf_panel *panel) { pack_32(codes_##name, size, w, blocks, column, panel); }
#define PACK_256(name, is_signed) \
  static void pack_##name(const uint8_t *const w[8], size_t blocks, size_t column, vtok_gguf_panel *panel) { (void)blocks, pack_256(codes_##name, is_signed, w, column, panel); }
PACK_32(q5_0, 22)
PACK_32(q5_1, 24)
PACK_32(q8_0, 34)
PACK_32(iq4_nl, 18)
PACK_256(q2_k, 0)
PACK_256(q3_k, 0)
PACK_256(q5_k, 0)
PACK_256(q6_k, 0)
PACK_256(iq4_xs, 1)

static pack_eight *pack_of(uint32_t type) {
  switch (type) {
  case Q4_0: return pack_q4_0;
  case Q4_1: return pack_q4_1;
  case Q5_0: return pack_q5_0;
  case Q5_1: return pack_q5_1;
  case Q8_0: return pack_q8_0;
  case IQ4_NL: return pack_iq4_nl;
  case Q2_K: return pack_q2_k;
  case Q3_K: return pack_q3_k;
  case Q4_K: return pack_q4_k;
  case Q5_K: return pack_q5_k;
  case Q6_K: return pack_q6_k;
  default: return pack_iq4_xs;
  }
}

static void avx2_pack(uint32_t type, const uint8_t *w, size_t stride, size_t count, size_t blocks, vtok_gguf_panel *panel) {
  pack_eight *pack = pack_of(type);
  vtok_gguf_pack_scales(type, w, stride, count, blocks, panel);
  for (size_t c = 0; c < VTOK_PANEL; c += 8) {
    const uint8_t *rows[8];
    for (size_t i = 0; i < 8; i++) rows[i] = w + (c + i < count ? c + i : count - 1) * stride;
    pack(rows, blocks, c, panel);
  }
}

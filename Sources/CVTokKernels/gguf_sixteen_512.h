// Sixteen rows of W side by side, for a few rows of activations: blocks of 32 change places in registers, four bytes at a time, so that
// a register holds the same elements of all rows. Nothing is written down, and what comes next is asked for in the order in which
// it lies: memory is what decoding waits for. Included by gguf_x86.c.

// Sixteen bytes of each of sixteen rows: register j gets bytes 4 j ..< 4 j + 4 of all, row by row.
VTOK_INLINE void sixteen(const uint8_t *w, size_t stride, __m512i r[4]) {
  __m512i a[4];
  for (size_t i = 0; i < 4; i++) {
    const uint8_t *p = w + i * stride;
    r[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p));
    r[i] = _mm512_mask_broadcast_i32x4(r[i], 0x00f0, _mm_loadu_si128((const __m128i *)(p + 4 * stride)));
    r[i] = _mm512_mask_broadcast_i32x4(r[i], 0x0f00, _mm_loadu_si128((const __m128i *)(p + 8 * stride)));
    r[i] = _mm512_mask_broadcast_i32x4(r[i], 0xf000, _mm_loadu_si128((const __m128i *)(p + 12 * stride)));
  }
  a[0] = _mm512_unpacklo_epi32(r[0], r[1]);
  a[1] = _mm512_unpackhi_epi32(r[0], r[1]);
  a[2] = _mm512_unpacklo_epi32(r[2], r[3]);
  a[3] = _mm512_unpackhi_epi32(r[2], r[3]);
  r[0] = _mm512_unpacklo_epi64(a[0], a[2]);
  r[1] = _mm512_unpackhi_epi64(a[0], a[2]);
  r[2] = _mm512_unpacklo_epi64(a[1], a[3]);
  r[3] = _mm512_unpackhi_epi64(a[1], a[3]);
}

// The codes of a block of sixteen rows, as unsigned as in panels: elements 4 j ..< 4 j + 4 in register j.
typedef void code_sixteen(const uint8_t *w, size_t stride, __m512i codes[8]);

VTOK_INLINE void sixteen_q4_0(const uint8_t *w, size_t stride, __m512i codes[8]) {
  const __m512i low = _mm512_set1_epi8(15);
  __m512i r[4];
  sixteen(w + 2, stride, r);
  for (int j = 0; j < 4; j++) {
    codes[j] = _mm512_and_si512(r[j], low);
    codes[j + 4] = _mm512_and_si512(_mm512_srli_epi16(r[j], 4), low);
  }
}

VTOK_INLINE void sixteen_q8_0(const uint8_t *w, size_t stride, __m512i codes[8]) {
  sixteen(w + 2, stride, codes);
  sixteen(w + 18, stride, codes + 4);
  for (int j = 0; j < 8; j++) codes[j] = _mm512_xor_si512(codes[j], _mm512_set1_epi8((char)0x80));
}

VTOK_INLINE __m512 sixteen_scales(const uint8_t *w, size_t stride) {
  __m128i half[2];
  for (size_t i = 0; i < 2; i++) {
    const uint8_t *p = w + 8 * i * stride;
    __m128i h = _mm_cvtsi32_si128(vtok_u16(p));
    h = _mm_insert_epi16(h, vtok_u16(p + stride), 1);
    h = _mm_insert_epi16(h, vtok_u16(p + 2 * stride), 2);
    h = _mm_insert_epi16(h, vtok_u16(p + 3 * stride), 3);
    h = _mm_insert_epi16(h, vtok_u16(p + 4 * stride), 4);
    h = _mm_insert_epi16(h, vtok_u16(p + 5 * stride), 5);
    h = _mm_insert_epi16(h, vtok_u16(p + 6 * stride), 6);
    half[i] = _mm_insert_epi16(h, vtok_u16(p + 7 * stride), 7);
  }
  return _mm512_cvtph_ps(_mm256_set_m128i(half[1], half[0]));
}

VTOK_INLINE __m512i four_to_all(const int8_t *p) {
  int value;
  memcpy(&value, p, 4);
  return _mm512_set1_epi32(value);
}

// out[i][c] for n rows of x and the sixteen rows of W. `offset` is what codes are too large by.
VTOK_INLINE void sixteen_rows(int n, code_sixteen *codes, size_t size, int offset, const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, float *out) {
  const size_t far = 8192;  // bytes beyond the next sixteen rows
  size_t stride = blocks * size, step = 16 * size;
  const char *next = (const char *)w + 16 * stride + far, *asked = next;
  __m512 sum[VTOK_GGUF_ROWS], part[VTOK_GGUF_ROWS];
  for (int i = 0; i < n; i++) sum[i] = part[i] = _mm512_setzero_ps();
  for (size_t b = 0; b < blocks; b++, w += size) {
    __m512i q[8];
    codes(w, stride, q);
    for (next += step; asked < next; asked += 64) _mm_prefetch(asked, _MM_HINT_T1);
    __m512 d = sixteen_scales(w, stride);
    for (int i = 0; i < n; i++) {
      size_t place = (first + (size_t)i) * blocks + b;
      const int8_t *p = x->quants + place * 32;
      __m512i even = _mm512_set1_epi32(-offset * (x->groups[2 * place] + x->groups[2 * place + 1])), odd = _mm512_setzero_si512();
      for (int j = 0; j < 8; j += 2) {
        even = _mm512_dpbusd_epi32(even, q[j], four_to_all(p + 4 * j));
        odd = _mm512_dpbusd_epi32(odd, q[j + 1], four_to_all(p + 4 * j + 4));
      }
      __m512 whole = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
      part[i] = _mm512_fmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(x->scales[place])), whole, part[i]);
    }
    if ((b + 1) % VTOK_PANEL_BLOCKS == 0 || b + 1 == blocks)
      for (int i = 0; i < n; i++) {
        sum[i] = _mm512_add_ps(sum[i], part[i]);
        part[i] = _mm512_setzero_ps();
      }
  }
  for (int i = 0; i < n; i++) _mm512_storeu_ps(out + 16 * i, sum[i]);
}

ROWS_OF(sixteen_dot_q4_0, sixteen_rows, sixteen_q4_0, 18, 8)
ROWS_OF(sixteen_dot_q8_0, sixteen_rows, sixteen_q8_0, 34, 128)

static vtok_gguf_dot *sixteen_dot_of(uint32_t type) {
  switch (type) {
  case Q4_0: return sixteen_dot_q4_0;
  case Q8_0: return sixteen_dot_q8_0;
  default: return NULL;
  }
}

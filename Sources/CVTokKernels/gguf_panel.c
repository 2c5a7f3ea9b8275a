// Panels of weights (gguf_panel.h): their scales, which are taken apart one by one at every level, and the plain path.
#include "gguf_panel.h"
#include "gguf_unpack.h"

static const vtok_gguf_form forms[] = {
    [Q4_0] = {32, 32, 0, 8}, [Q4_1] = {32, 32, 1, 0}, [Q5_0] = {32, 32, 0, 16}, [Q5_1] = {32, 32, 1, 0},
    [Q8_0] = {32, 32, 0, 128}, [IQ4_NL] = {32, 32, 0, 128}, [Q2_K] = {256, 16, 1, 0}, [Q3_K] = {256, 16, 0, 4},
    [Q4_K] = {256, 32, 1, 0}, [Q5_K] = {256, 32, 1, 0}, [Q6_K] = {256, 16, 0, 32}, [IQ4_XS] = {256, 32, 0, 128},
};

vtok_gguf_form vtok_gguf_form_of(uint32_t type) { return forms[type]; }

// MARK: Scales

// Where the scale of a block lies, and its minimum.
static size_t scale_at(uint32_t type) {
  switch (type) {
  case Q2_K: return 80;
  case Q3_K: return 108;
  case Q6_K: return 208;
  default: return 0;
  }
}

// Whole scales of 16 groups, or of 8, and as many minima, of column c.
VTOK_INLINE void whole_scales(uint32_t type, const uint8_t *w, size_t c, vtok_gguf_panel *panel) {
  uint64_t scales = 0, minima = 0;
  uint32_t s[4];
  switch (type) {
  case Q2_K:
    for (size_t g = 0; g < 16; g++) {
      panel->scales[g][c] = w[g] & 15;
      panel->minima[g / 2][c][g % 2] = w[g] >> 4;
    }
    break;
  case Q3_K:
    vtok_gguf_scales_q3(w + 96, s);
    for (size_t g = 0; g < 16; g++) panel->scales[g][c] = (int32_t)(s[g / 4] >> 8 * (g % 4) & 63) - 32;
    break;
  case Q4_K:
  case Q5_K:
    vtok_gguf_scales_k(w + 4, &scales, &minima);
    for (size_t g = 0; g < 8; g++) {
      panel->scales[g][c] = (int32_t)(scales >> 8 * g & 255);
      panel->minima[g][c][0] = panel->minima[g][c][1] = (int16_t)(minima >> 8 * g & 255);
    }
    break;
  case Q6_K:
    for (size_t g = 0; g < 16; g++) panel->scales[g][c] = (int8_t)w[192 + g];
    break;
  case IQ4_XS:
    for (size_t g = 0; g < 8; g++)
      panel->scales[g][c] = ((w[4 + g / 2] >> 4 * (g % 2) & 15) | (vtok_u16(w + 2) >> 2 * g & 3) << 4) - 32;
    break;
  }
}

// Halves at `at` in blocks of `bytes`, a row of W a column.
VTOK_INLINE void halves(const uint8_t *w, size_t stride, size_t count, size_t blocks, size_t bytes, size_t at, float out[][VTOK_PANEL]) {
  uint16_t h[VTOK_PANEL_BLOCKS][VTOK_PANEL];
  for (size_t c = 0; c < VTOK_PANEL; c++) {
    const uint8_t *half = w + (c < count ? c : count - 1) * stride + at;
    for (size_t b = 0; b < blocks; b++) h[b][c] = vtok_u16(half + b * bytes);
  }
  vtok_widen_f16(h[0], blocks * VTOK_PANEL, out[0]);
}

// The most common numbers of blocks as constants.
static void all_halves(const uint8_t *w, size_t stride, size_t count, size_t blocks, size_t bytes, size_t at, float out[][VTOK_PANEL]) {
  if (blocks == VTOK_PANEL_BLOCKS) halves(w, stride, count, VTOK_PANEL_BLOCKS, bytes, at, out);
  else if (blocks == 1) halves(w, stride, count, 1, bytes, at, out);
  else halves(w, stride, count, blocks, bytes, at, out);
}

void vtok_gguf_pack_scales(uint32_t type, const uint8_t *w, size_t stride, size_t count, size_t blocks, vtok_gguf_panel *panel) {
  vtok_gguf_form form = forms[type];
  size_t bytes = vtok_gguf_bytes(type), at = scale_at(type);
  all_halves(w, stride, count, blocks, bytes, at, panel->d);
  if (form.minimum) all_halves(w, stride, count, blocks, bytes, at + 2, panel->m);
  for (size_t c = 0; c < VTOK_PANEL && form.elements == 256; c++) whole_scales(type, w + (c < count ? c : count - 1) * stride, c, panel);
}

// MARK: The plain path

VTOK_INLINE void unpack(uint32_t type, const uint8_t *w, vtok_gguf_block *b) {
  switch (type) {
  case Q4_0: unpack_q4_0(w, b); break;
  case Q4_1: unpack_q4_1(w, b); break;
  case Q5_0: unpack_q5_0(w, b); break;
  case Q5_1: unpack_q5_1(w, b); break;
  case Q8_0: unpack_q8_0(w, b); break;
  case IQ4_NL: unpack_iq4_nl(w, b); break;
  case Q2_K: unpack_q2_k(w, b); break;
  case Q3_K: unpack_q3_k(w, b); break;
  case Q4_K: unpack_q4_k(w, b); break;
  case Q5_K: unpack_q5_k(w, b); break;
  case Q6_K: unpack_q6_k(w, b); break;
  case IQ4_XS: unpack_iq4_xs(w, b); break;
  }
}

void vtok_gguf_plain_pack(uint32_t type, const uint8_t *w, size_t stride, size_t count, size_t blocks, vtok_gguf_panel *panel) {
  vtok_gguf_form form = forms[type];
  size_t bytes = vtok_gguf_bytes(type), elements = (size_t)form.elements;
  vtok_gguf_pack_scales(type, w, stride, count, blocks, panel);
  for (size_t c = 0; c < VTOK_PANEL; c++)
    for (size_t b = 0; b < blocks; b++) {
      vtok_gguf_block block;
      unpack(type, w + (c < count ? c : count - 1) * stride + b * bytes, &block);
      for (size_t e = 0; e < elements; e++)
        panel->codes[(b * elements + e) / 4][c][e % 4] = (uint8_t)(block.q[e] + form.offset);
    }
}

// sums[c] = 4 * `steps` products of column c.
VTOK_INLINE void steps(const vtok_gguf_panel *panel, size_t from, size_t steps, const int8_t *q, int32_t sums[VTOK_PANEL]) {
  for (size_t k = 0; k < steps; k++)
    for (size_t c = 0; c < VTOK_PANEL; c++)
      for (size_t i = 0; i < 4; i++) sums[c] += panel->codes[from / 4 + k][c][i] * q[4 * k + i];
}

VTOK_INLINE void start(int offset, const int16_t *groups, size_t n, int32_t sums[VTOK_PANEL]) {
  int total = n == 1 ? groups[0] : groups[0] + groups[1];
  for (size_t c = 0; c < VTOK_PANEL; c++) sums[c] = -offset * total;
}

VTOK_INLINE void plain_32(vtok_gguf_form form, const vtok_gguf_panel *panel, size_t place, size_t blocks, const vtok_gguf_rows *x, float *sums) {
  float part[VTOK_PANEL] = {0};
  for (size_t b = 0; b < blocks; b++) {
    int32_t whole[VTOK_PANEL];
    start(form.offset, x->groups + 2 * (place + b), 2, whole);
    steps(panel, 32 * b, 8, x->quants + 32 * (place + b), whole);
    for (size_t c = 0; c < VTOK_PANEL; c++) {
      part[c] = __builtin_fmaf(panel->d[b][c] * x->scales[place + b], (float)whole[c], part[c]);
      if (form.minimum) part[c] = __builtin_fmaf(panel->m[b][c], x->sums[place + b], part[c]);
    }
  }
  for (size_t c = 0; c < VTOK_PANEL; c++) sums[c] += part[c];
}

VTOK_INLINE void plain_256(vtok_gguf_form form, const vtok_gguf_panel *panel, size_t place, const vtok_gguf_rows *x, float *sums) {
  int32_t total[VTOK_PANEL] = {0}, less[VTOK_PANEL] = {0};
  const int16_t *groups = x->groups + 16 * place;
  size_t group = (size_t)form.group;
  for (size_t g = 0; g < 256 / group; g++) {
    int32_t whole[VTOK_PANEL];
    start(form.offset, groups + g * group / 16, group / 16, whole);
    steps(panel, g * group, group / 4, x->quants + 256 * place + g * group, whole);
    for (size_t c = 0; c < VTOK_PANEL; c++) total[c] += whole[c] * panel->scales[g][c];
  }
  for (size_t p = 0; p < VTOK_PANEL_GROUPS / 2 && form.minimum; p++)
    for (size_t c = 0; c < VTOK_PANEL; c++)
      less[c] += panel->minima[p][c][0] * groups[2 * p] + panel->minima[p][c][1] * groups[2 * p + 1];
  for (size_t c = 0; c < VTOK_PANEL; c++) {
    sums[c] = __builtin_fmaf(panel->d[0][c] * x->scales[place], (float)total[c], sums[c]);
    if (form.minimum) sums[c] = __builtin_fmaf(panel->m[0][c] * -x->scales[place], (float)less[c], sums[c]);
  }
}

VTOK_CLONES void vtok_gguf_plain_rows(vtok_gguf_form form, const vtok_gguf_panel *panel, size_t block, size_t blocks, const vtok_gguf_rows *x, size_t first, size_t n, float *sums) {
  size_t all = x->columns / (size_t)form.elements;
  for (size_t i = 0; i < n; i++, sums += VTOK_PANEL) {
    size_t place = (first + i) * all + block;
    if (form.elements == 32) plain_32(form, panel, place, blocks, x, sums);
    else plain_256(form, panel, place, x, sums);
  }
}

// The blocks of 8-bit products on ARM: with the dot instructions of ARMv8.2, where the processor has them.
#include "int8.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#define PANEL VTOK_INT8_PANEL

// sdot takes signed bytes: q is q + 128 with its highest bit turned, and the 128 comes back with the sum of the row.
__attribute__((target("dotprod"))) static void dot_block(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, uint32_t *sums) {
  for (size_t quarter = 0; quarter < 4; quarter++) {
    int32x4_t s[4][4];
    int32_t total[4] = {0};
    for (size_t r = 0; r < rows; r++)
      for (int v = 0; v < 4; v++) s[r][v] = vdupq_n_s32(0);
    for (size_t k = 0; k < depth; k += 4) {
      int8x16_t w[4];
      for (int v = 0; v < 4; v++)
        w[v] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(panel + k * PANEL + quarter * 64 + v * 16), vdupq_n_u8(128)));
      for (size_t r = 0; r < rows; r++) {
        int32_t group;
        memcpy(&group, p + r * depth + k, 4);
        int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(group));
        for (int v = 0; v < 4; v++) s[r][v] = vdotq_s32(s[r][v], w[v], x);
        for (int i = 0; i < 4; i++) total[r] += p[r * depth + k + i];
      }
    }
    for (size_t r = 0; r < rows; r++)
      for (int v = 0; v < 4; v++)
        vst1q_u32(sums + r * PANEL + quarter * 16 + v * 4, vaddq_u32(vreinterpretq_u32_s32(s[r][v]), vdupq_n_u32((uint32_t)total[r] * 128u)));
  }
}

static int has_dot(void) {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) >> 20) & 1;
#else
  return 1;
#endif
}

const vtok_int8_level vtok_int8_levels[] = {
    {{"neon-dot", has_dot}, dot_block, 4, 0},
    {{"plain", vtok_has_all}, vtok_int8_plain_block, VTOK_INT8_ROWS, 0},
};
const size_t vtok_int8_level_count = 2;
#endif

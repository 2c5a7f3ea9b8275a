#include "bf16.h"
#include "gguf_panel.h"
#include "int8.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const vtok_level *level(vtok_product_kind kind, size_t index) {
  switch (kind) {
  case VTOK_BF16_PRODUCT: return &vtok_bf16_levels[index].level;
  case VTOK_GGUF_PRODUCT: return &vtok_gguf_levels[index].level;
  default: return &vtok_int8_levels[index].level;
  }
}

size_t vtok_level_count(vtok_product_kind kind) {
  switch (kind) {
  case VTOK_BF16_PRODUCT: return vtok_bf16_level_count;
  case VTOK_GGUF_PRODUCT: return vtok_gguf_level_count;
  default: return vtok_int8_level_count;
  }
}

const char *vtok_level_name(vtok_product_kind kind, size_t index) { return level(kind, index)->name; }
int vtok_level_runs(vtok_product_kind kind, size_t index) { return level(kind, index)->runs(); }

size_t vtok_best_level(vtok_product_kind kind) {
  size_t index = 0;
  while (!vtok_level_runs(kind, index)) index++;
  return index;
}

// MARK: Processors

int vtok_has_all(void) { return 1; }

#if defined(__x86_64__)
int vtok_has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

int vtok_has_avx_vnni(void) {
  unsigned a, b, c, d;
  return vtok_has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

int vtok_has_avx512(void) {
  return vtok_has_avx2() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

int vtok_has_avx512_vnni(void) { return vtok_has_avx512() && __builtin_cpu_supports("avx512vnni"); }
int vtok_has_avx512_bf16(void) { return vtok_has_avx512() && __builtin_cpu_supports("avx512bf16"); }
#endif

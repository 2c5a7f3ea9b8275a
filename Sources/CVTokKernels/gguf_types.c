// Tensor types of GGUF files: sizes of blocks, and the exact value of every element. All products below are exact in float32, so
// neither fused multiply-add nor the order nor the instruction set can change a value.
#include "gguf_unpack.h"

const int8_t vtok_gguf_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

typedef struct {
  uint16_t elements, bytes, activation;
} type_size;

static const type_size sizes[] = {
    [VTOK_GGUF_F32] = {1, 4, 0}, [VTOK_GGUF_F16] = {1, 2, 0}, [VTOK_GGUF_BF16] = {1, 2, 0},
    [Q4_0] = {32, 18, Q8_0}, [Q4_1] = {32, 20, Q8_1}, [Q5_0] = {32, 22, Q8_0}, [Q5_1] = {32, 24, Q8_1},
    [Q8_0] = {32, 34, Q8_0}, [Q2_K] = {256, 84, Q8_K}, [Q3_K] = {256, 110, Q8_K}, [Q4_K] = {256, 144, Q8_K},
    [Q5_K] = {256, 176, Q8_K}, [Q6_K] = {256, 210, Q8_K}, [IQ4_NL] = {32, 18, Q8_0}, [IQ4_XS] = {256, 136, Q8_K},
};

static type_size size_of(uint32_t type) {
  return type < sizeof sizes / sizeof *sizes ? sizes[type] : (type_size){0, 0, 0};
}

size_t vtok_gguf_elements(uint32_t type) { return size_of(type).elements; }
size_t vtok_gguf_bytes(uint32_t type) { return size_of(type).bytes; }
uint32_t vtok_gguf_activation(uint32_t type) { return size_of(type).activation; }

VTOK_INLINE void values_of_32(const vtok_gguf_block *b, int has_minimum, float *out) {
  for (int e = 0; e < 32; e++) out[e] = has_minimum ? b->d * (float)b->q[e] + b->m : b->d * (float)b->q[e];
}

VTOK_INLINE void values_of_256(const vtok_gguf_block *b, int has_minimum, float *out) {
  for (int g = 0; g < 16; g++) {
    float scale = b->d * (float)b->scales[g], minimum = has_minimum ? b->m * (float)b->minima[g] : 0;
    for (int e = 16 * g; e < 16 * g + 16; e++)
      out[e] = has_minimum ? scale * (float)b->q[e] - minimum : scale * (float)b->q[e];
  }
}

#define BLOCKS(elements, has_minimum, name)                                   \
  for (size_t i = 0; i < n; i += elements, w += size) {                       \
    vtok_gguf_block b;                                                        \
    unpack_##name(w, &b);                                                     \
    values_of_##elements(&b, has_minimum, out + i);                           \
  }                                                                           \
  break

VTOK_CLONES static void dequantise_blocks(uint32_t type, const uint8_t *w, size_t size, size_t n, float *out) {
  switch (type) {
  case Q4_0: BLOCKS(32, 0, q4_0);
  case Q4_1: BLOCKS(32, 1, q4_1);
  case Q5_0: BLOCKS(32, 0, q5_0);
  case Q5_1: BLOCKS(32, 1, q5_1);
  case Q8_0: BLOCKS(32, 0, q8_0);
  case IQ4_NL: BLOCKS(32, 0, iq4_nl);
  case Q2_K: BLOCKS(256, 1, q2_k);
  case Q3_K: BLOCKS(256, 0, q3_k);
  case Q4_K: BLOCKS(256, 1, q4_k);
  case Q5_K: BLOCKS(256, 1, q5_k);
  case Q6_K: BLOCKS(256, 0, q6_k);
  case IQ4_XS: BLOCKS(256, 0, iq4_xs);
  }
}

void vtok_gguf_dequantise(uint32_t type, const void *blocks, size_t n, float *out) {
  switch (type) {
  case VTOK_GGUF_F32: memcpy(out, blocks, n * sizeof(float)); break;
  case VTOK_GGUF_F16:
  case VTOK_GGUF_BF16:
    for (size_t i = 0; i < n; i += 256) {  // rows may start at any byte
      uint16_t part[256];
      size_t count = n - i < 256 ? n - i : 256;
      memcpy(part, (const uint8_t *)blocks + 2 * i, 2 * count);
      if (type == VTOK_GGUF_F16) vtok_widen_f16(part, count, out + i);
      else vtok_widen_bf16(part, count, out + i);
    }
    break;
  default: dequantise_blocks(type, blocks, vtok_gguf_bytes(type), n, out);
  }
}

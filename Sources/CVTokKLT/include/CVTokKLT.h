#ifndef VTOK_KLT_H
#define VTOK_KLT_H
#include <stddef.h>

// What Benchmarks/fit-klt.py wrote for the tokenizer `klt`: klt.safetensors, 64-byte aligned, inside the binary.
const void *vtok_klt(size_t *size);

#endif

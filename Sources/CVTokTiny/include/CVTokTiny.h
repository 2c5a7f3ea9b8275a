#ifndef VTOK_TINY_H
#define VTOK_TINY_H
#include <stddef.h>

// The embedded classifier `vtok-tiny`: its two published files, byte for byte, inside the binary.
const void *vtok_tiny_weights(size_t *size);  // model.safetensors, 64-byte aligned
const void *vtok_tiny_config(size_t *size);   // config.json

#endif

#ifndef VTOK_TINY_H
#define VTOK_TINY_H
#include <stddef.h>

// The embedded classifier `vtok-tiny`: its two published files, byte for byte, inside the binary.
extern const unsigned char vtok_tiny_weights[];  // model.safetensors, 8-byte aligned
extern const size_t vtok_tiny_weights_size;
extern const unsigned char vtok_tiny_config[];  // config.json
extern const size_t vtok_tiny_config_size;

#endif

#include "CVTokTiny.h"

// #embed is C23; clang accepts it in earlier modes too and only remarks on that.
#pragma clang diagnostic ignored "-Wc23-extensions"

static _Alignas(64) const unsigned char weights[] = {
#embed "model.safetensors"
};

static const unsigned char config[] = {
#embed "config.json"
};

const void *vtok_tiny_weights(size_t *size) {
  *size = sizeof weights;
  return weights;
}

const void *vtok_tiny_config(size_t *size) {
  *size = sizeof config;
  return config;
}

#include "CVTokTiny.h"

// #embed is C23; clang accepts it in earlier modes too and only remarks on that.
#pragma clang diagnostic ignored "-Wc23-extensions"

_Alignas(64) const unsigned char vtok_tiny_weights[] = {
#embed "model.safetensors"
};
const size_t vtok_tiny_weights_size = sizeof vtok_tiny_weights;

const unsigned char vtok_tiny_config[] = {
#embed "config.json"
};
const size_t vtok_tiny_config_size = sizeof vtok_tiny_config;

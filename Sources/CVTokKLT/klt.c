#include "CVTokKLT.h"

// #embed is C23; clang accepts it in earlier modes too and only remarks on that.
#pragma clang diagnostic ignored "-Wc23-extensions"

static _Alignas(64) const unsigned char basis[] = {
#embed "klt.safetensors"
};

const void *vtok_klt(size_t *size) {
  *size = sizeof basis;
  return basis;
}

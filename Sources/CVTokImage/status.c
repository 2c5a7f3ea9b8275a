#include "common.h"

void vtok_fail(vtok_image_status *status, int32_t code, const char *message) {
  status->code = code;
  snprintf(status->message, sizeof status->message, "%s", message);
}

int32_t vtok_can_allocate(size_t count) {
  void *volatile probe = malloc(count ? count : 1);  // volatile, or the compiler removes the pair
  bool got = probe != NULL;
  free(probe);
  return got;
}

void vtok_on_white(const uint8_t *rgba, size_t count, uint8_t *rgb) {
  for (size_t i = 0; i < count; i++) {
    unsigned alpha = rgba[i * 4 + 3];
    for (size_t c = 0; c < 3; c++) rgb[i * 3 + c] = (uint8_t)vtok_over_255(alpha * rgba[i * 4 + c] + (255 - alpha) * 255);
  }
}

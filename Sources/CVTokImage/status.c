#include "common.h"

#include <sys/mman.h>

void vtok_fail(vtok_image_status *status, int32_t code, const char *message) {
  status->code = code;
  snprintf(status->message, sizeof status->message, "%s", message);
}

int32_t vtok_can_allocate(size_t count) {
  // Not malloc: the command ends its run where that fails.
  void *probe = mmap(NULL, count ? count : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) return false;
  munmap(probe, count ? count : 1);
  return true;
}

void vtok_on_white(const uint8_t *rgba, size_t count, uint8_t *rgb) {
  for (size_t i = 0; i < count; i++) {
    unsigned alpha = rgba[i * 4 + 3];
    for (size_t c = 0; c < 3; c++) rgb[i * 3 + c] = (uint8_t)vtok_over_255(alpha * rgba[i * 4 + c] + (255 - alpha) * 255);
  }
}

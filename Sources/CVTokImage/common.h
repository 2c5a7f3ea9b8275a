#ifndef VTOK_IMAGE_COMMON_H
#define VTOK_IMAGE_COMMON_H
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CVTokImage.h"

#define VTOK_HIDDEN __attribute__((visibility("hidden")))

VTOK_HIDDEN void vtok_fail(vtok_image_status *status, int32_t code, const char *message);

// Orientation out of an EXIF block: a TIFF structure, with "Exif\0\0" before it in some files. 1...8, or 1 where it has
// none or is broken.
VTOK_HIDDEN int32_t vtok_exif_orientation(const uint8_t *exif, size_t count);

// sum / 255 rounded, for sums of products of two bytes up to 255 * 255; Pillow's MULDIV255.
static inline unsigned vtok_over_255(unsigned sum) {
  unsigned t = sum + 128;
  return ((t >> 8) + t) >> 8;
}

// `count` pixels of rgba laid on white, each sample a * c + (255 - a) * 255 over 255, rounded.
VTOK_HIDDEN void vtok_on_white(const uint8_t *rgba, size_t count, uint8_t *rgb);

#endif

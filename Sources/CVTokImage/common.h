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

// Orientation out of a TIFF block (what follows "Exif\0\0", or a PNG eXIf chunk): 1...8, or 1 where it has none.
VTOK_HIDDEN int32_t vtok_exif_orientation(const uint8_t *tiff, size_t count);

#endif

#include <webp/decode.h>
#include <webp/encode.h>

#include "common.h"

// libwebp's decoders for other instruction sets are exact: lossy and lossless pixels are the same on every processor.
static void fail(vtok_image_status *status, VP8StatusCode code) {
  switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
      vtok_fail(status, VTOK_IMAGE_NO_MEMORY, "libwebp has no memory for it");
      return;
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      vtok_fail(status, VTOK_IMAGE_UNSUPPORTED, "libwebp does not know a feature that it uses");
      return;
    case VP8_STATUS_NOT_ENOUGH_DATA:
      vtok_fail(status, VTOK_IMAGE_CORRUPT, "the file ends too early");
      return;
    default:
      vtok_fail(status, VTOK_IMAGE_CORRUPT, "its bitstream breaks the rules of the format");
  }
}

static size_t little(const uint8_t *p) {
  return p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

// Of the EXIF chunk. The header of an extended file (VP8X) says by a flag that there is one.
static int32_t find_orientation(const uint8_t *bytes, size_t count) {
  if (count < 30 || memcmp(bytes + 12, "VP8X", 4) != 0 || !(bytes[20] & 0x08)) return 1;
  size_t end = little(bytes + 4) + 8;
  if (end > count) end = count;
  for (size_t at = 12; at + 8 <= end;) {
    size_t length = little(bytes + at + 4);
    if (length > end - at - 8) return 1;
    if (memcmp(bytes + at, "EXIF", 4) == 0) return vtok_exif_orientation(bytes + at + 8, length);
    at += 8 + length + (length & 1);
  }
  return 1;
}

static bool read_features(
    const uint8_t *bytes, size_t count, WebPBitstreamFeatures *features, vtok_image_status *status) {
  *status = (vtok_image_status){0};
  VP8StatusCode code = WebPGetFeatures(bytes, count, features);
  if (code != VP8_STATUS_OK) {
    fail(status, code);
  } else if (features->has_animation) {
    vtok_fail(
        status, VTOK_IMAGE_UNSUPPORTED, "it is animated; take one frame of it, as by: convert 'in.webp[0]' out.png");
  }
  return status->code == VTOK_IMAGE_OK;
}

void vtok_webp_header(const uint8_t *bytes, size_t count, vtok_image_header *header, vtok_image_status *status) {
  WebPBitstreamFeatures features;
  if (!read_features(bytes, count, &features, status)) return;
  header->width = (uint32_t)features.width;
  header->height = (uint32_t)features.height;
  header->orientation = find_orientation(bytes, count);
}

void vtok_webp_decode(const uint8_t *bytes, size_t count, int32_t white, uint8_t *rgb, vtok_image_status *status) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) return vtok_fail(status, VTOK_IMAGE_UNSUPPORTED, "libwebp is another version");
  if (!read_features(bytes, count, &config.input, status)) return;
  size_t pixels = (size_t)config.input.width * (size_t)config.input.height;
  bool blends = white && config.input.has_alpha;
  uint8_t *to = blends ? malloc(pixels * 4) : rgb;
  if (!to) return vtok_fail(status, VTOK_IMAGE_NO_MEMORY, "no memory for its samples");
  config.output.colorspace = blends ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = to;
  config.output.u.RGBA.stride = config.input.width * (blends ? 4 : 3);
  config.output.u.RGBA.size = pixels * (blends ? 4 : 3);
  VP8StatusCode code = WebPDecode(bytes, count, &config);
  if (code != VP8_STATUS_OK) fail(status, code);
  if (code == VP8_STATUS_OK && blends) vtok_on_white(to, pixels, rgb);
  WebPFreeDecBuffer(&config.output);
  if (blends) free(to);
}

void vtok_webp_encode(
    const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **out, size_t *out_count, vtok_image_status *status) {
  *status = (vtok_image_status){0};
  uint8_t *file = NULL;
  size_t count = WebPEncodeLosslessRGB(rgb, (int)width, (int)height, (int)width * 3, &file);
  *out = count ? malloc(count) : NULL;  // libwebp's memory is its own to free
  if (*out) memcpy(*out, file, count);
  if (!*out) vtok_fail(status, VTOK_IMAGE_NO_MEMORY, "no memory for the WebP file");
  *out_count = *out ? count : 0;
  WebPFree(file);
}

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

struct magic {
  const char *name;
  size_t at, count;
  const char *bytes;
};

// Longer and surer signatures first.
static const struct magic known[] = {
    {"WebP", 8, 4, "WEBP"},
    {"AVIF", 4, 8, "ftypavif"},
    {"AVIF", 4, 8, "ftypavis"},
    {"HEIC", 4, 8, "ftypheic"},
    {"HEIC", 4, 8, "ftypheix"},
    {"HEIF", 4, 8, "ftypmif1"},
    {"HEIF", 4, 8, "ftypmsf1"},
    {"JPEG XL", 0, 12, "\0\0\0\x0cJXL \r\n\x87\n"},
    {"JPEG 2000", 0, 12, "\0\0\0\x0cjP  \r\n\x87\n"},
    {"MP4 video", 4, 4, "ftyp"},
    {"GIF", 0, 6, "GIF87a"},
    {"GIF", 0, 6, "GIF89a"},
    {"Radiance HDR", 0, 6, "#?RADI"},
    {"SVG", 0, 4, "<svg"},
    {"XML or SVG", 0, 5, "<?xml"},
    {"PDF", 0, 5, "%PDF-"},
    {"TIFF", 0, 4, "II*\0"},
    {"TIFF", 0, 4, "MM\0*"},
    {"Photoshop", 0, 4, "8BPS"},
    {"QOI", 0, 4, "qoif"},
    {"OpenEXR", 0, 4, "v/1\x01"},
    {"DDS", 0, 4, "DDS "},
    {"ICO", 0, 4, "\0\0\1\0"},
    {"ZIP", 0, 4, "PK\3\4"},
    {"JPEG 2000", 0, 4, "\xff\x4f\xff\x51"},
    {"gzip", 0, 3, "\x1f\x8b\x08"},
    {"JPEG XL", 0, 2, "\xff\x0a"},
    {"BMP", 0, 2, "BM"},
};

int32_t vtok_sniff(const uint8_t *bytes, size_t count, const char **name) {
  // Four bytes of the PNG signature are enough: the other four only show how a transfer damaged the file.
  if (count >= 4 && memcmp(bytes, "\x89PNG", 4) == 0) {
    *name = "PNG";
    return VTOK_FORMAT_PNG;
  }
  if (count >= 2 && memcmp(bytes, "\xff\xd8", 2) == 0) {
    *name = "JPEG";
    return VTOK_FORMAT_JPEG;
  }
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    const struct magic *m = &known[i];
    if (count >= m->at + m->count && memcmp(bytes + m->at, m->bytes, m->count) == 0) {
      *name = m->name;
      return VTOK_FORMAT_OTHER;
    }
  }
  if (count >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' && bytes[2] <= ' ') {
    *name = "PNM";
    return VTOK_FORMAT_OTHER;
  }
  *name = NULL;
  return VTOK_FORMAT_NONE;
}

static uint32_t read_number(const uint8_t *p, int bytes, bool big) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint32_t)p[i] << 8 * (big ? bytes - 1 - i : i);
  return value;
}

// TIFF 6.0 section 2: byte order, 42, offset of the first directory; there 12 bytes an entry: tag, type, count, value.
int32_t vtok_exif_orientation(const uint8_t *tiff, size_t count) {
  if (count < 8) return 1;
  bool big = memcmp(tiff, "MM\0*", 4) == 0;
  if (!big && memcmp(tiff, "II*\0", 4) != 0) return 1;
  size_t at = read_number(tiff + 4, 4, big);
  if (at > count - 2) return 1;
  size_t entries = read_number(tiff + at, 2, big);
  for (at += 2; entries > 0 && at + 12 <= count; entries--, at += 12) {
    if (read_number(tiff + at, 2, big) != 0x0112) continue;
    uint32_t type = read_number(tiff + at + 2, 2, big);
    uint32_t value = read_number(tiff + at + 8, type == 4 ? 4 : 2, big);
    return (type == 3 || type == 4) && value >= 1 && value <= 8 ? (int32_t)value : 1;
  }
  return 1;
}

#include "common.h"

static uint32_t read_number(const uint8_t *p, int bytes, bool big) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint32_t)p[i] << 8 * (big ? bytes - 1 - i : i);
  return value;
}

// TIFF 6.0 section 2: byte order, 42, offset of the first directory; there 12 bytes an entry: tag, type, count, value.
// The value lies in the entry itself, from its first byte on, if it is a short (3) or long (4); Pillow takes no other type.
int32_t vtok_exif_orientation(const uint8_t *tiff, size_t count) {
  while (count >= 6 && memcmp(tiff, "Exif\0\0", 6) == 0) {
    tiff += 6;
    count -= 6;
  }
  if (count < 8) return 1;
  bool big = memcmp(tiff, "MM\0*", 4) == 0;
  if (!big && memcmp(tiff, "II*\0", 4) != 0) return 1;
  size_t at = read_number(tiff + 4, 4, big);
  if (at > count - 2) return 1;
  size_t entries = read_number(tiff + at, 2, big);
  for (at += 2; entries > 0 && at + 12 <= count; entries--, at += 12) {
    if (read_number(tiff + at, 2, big) != 0x0112) continue;
    uint32_t type = read_number(tiff + at + 2, 2, big), values = read_number(tiff + at + 4, 4, big);
    int bytes = type == 3 ? 2 : type == 4 ? 4 : 0;
    if (bytes == 0 || values == 0 || values > 4u / (uint32_t)bytes) return 1;
    uint32_t value = read_number(tiff + at + 8, bytes, big);
    return value >= 1 && value <= 8 ? (int32_t)value : 1;
  }
  return 1;
}

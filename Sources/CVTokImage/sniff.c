#include <strings.h>

#include "common.h"

struct magic {
  const char *name;
  size_t at, count;
  const char *bytes;
  const char *remedy;
};

#define CONVERT(by) "convert it first, for example: " by
#define MAGICK(ending) CONVERT("convert 'in." ending "[0]' out.png")
#define FFMPEG CONVERT("ffmpeg -i in.mp4 -frames:v 1 out.png")
static const char heif[] = CONVERT("heif-convert in.heic out.png");
static const char avif[] = CONVERT("avifdec in.avif out.png");
static const char svg[] = CONVERT("rsvg-convert in.svg -o out.png");
static const char unpack[] = "unpack it first";
static const char download[] = "its download may have failed";

// Longer and surer signatures first.
static const struct magic known[] = {
    {"JPEG XL", 0, 12, "\0\0\0\x0cJXL \r\n\x87\n", CONVERT("djxl in.jxl out.png")},
    {"JPEG 2000", 0, 12, "\0\0\0\x0cjP  \r\n\x87\n", CONVERT("opj_decompress -i in.jp2 -o out.png")},
    {"a Git LFS pointer", 0, 24, "version https://git-lfs.", "fetch the file itself: git lfs pull"},
    {"AVI video", 8, 4, "AVI ", FFMPEG},
    {"WAVE sound", 8, 4, "WAVE", "give an image"},
    {"XCF (GIMP)", 0, 9, "gimp xcf ", MAGICK("xcf")},
    {"MNG", 0, 8, "\x8aMNG\r\n\x1a\n", MAGICK("mng")},
    {"GIF", 0, 6, "GIF87a", MAGICK("gif")},
    {"GIF", 0, 6, "GIF89a", MAGICK("gif")},
    {"Radiance HDR", 0, 6, "#?RADI", MAGICK("hdr")},
    {"7z", 0, 6, "7z\xbc\xaf\x27\x1c", unpack},
    {"PDF", 0, 5, "%PDF-", CONVERT("pdftoppm -png in.pdf out")},
    {"PostScript", 0, 4, "%!PS", MAGICK("ps")},
    {"TIFF", 0, 4, "II*\0", MAGICK("tif")},
    {"TIFF", 0, 4, "MM\0*", MAGICK("tif")},
    {"BigTIFF", 0, 4, "II+\0", MAGICK("tif")},
    {"BigTIFF", 0, 4, "MM\0+", MAGICK("tif")},
    {"JPEG XR", 0, 4, "II\xbc\x01", MAGICK("jxr")},
    {"Photoshop", 0, 4, "8BPS", MAGICK("psd")},
    {"QOI", 0, 4, "qoif", MAGICK("qoi")},
    {"OpenEXR", 0, 4, "v/1\x01", MAGICK("exr")},
    {"DDS", 0, 4, "DDS ", MAGICK("dds")},
    {"ICO", 0, 4, "\0\0\1\0", MAGICK("ico")},
    {"CUR", 0, 4, "\0\0\2\0", MAGICK("cur")},
    {"Matroska or WebM video", 0, 4, "\x1a\x45\xdf\xa3", FFMPEG},
    {"ZIP", 0, 4, "PK\3\4", unpack},
    {"JPEG 2000", 0, 4, "\xff\x4f\xff\x51", CONVERT("opj_decompress -i in.j2k -o out.png")},
    {"gzip", 0, 3, "\x1f\x8b\x08", unpack},
    {"JPEG XL", 0, 2, "\xff\x0a", CONVERT("djxl in.jxl out.png")},
    {"BMP", 0, 2, "BM", MAGICK("bmp")},
};

// Files of ISO base media format begin with a box that lists brands, the main one first, the second number a version.
static const struct magic brands[] = {
    {"AVIF", 0, 4, "avif", avif},   {"AVIF", 0, 4, "avis", avif},
    {"HEIC", 0, 3, "hei", heif},    {"HEIC", 0, 3, "hev", heif},
    {"HEIF", 0, 4, "mif1", heif},   {"HEIF", 0, 4, "msf1", heif},
    {"Canon CR3", 0, 4, "crx ", CONVERT("darktable-cli in.cr3 out.png")},
};
static const struct magic media = {"MP4 or QuickTime video", 4, 4, "ftyp", FFMPEG};

// Texts may begin with a byte order mark and blanks; case does not matter.
static const struct magic texts[] = {
    {"SVG", 0, 4, "<svg", svg},
    {"SVG", 0, 13, "<!doctype svg", svg},
    {"a web page (HTML)", 0, 14, "<!doctype html", download},
    {"a web page (HTML)", 0, 5, "<html", download},
    {"SVG or other XML", 0, 5, "<?xml", svg},
};

static const struct magic *find_media(const uint8_t *bytes, size_t count) {
  if (count < 12 || memcmp(bytes + 4, "ftyp", 4) != 0) return NULL;
  size_t end = (size_t)bytes[2] << 8 | bytes[3];
  if (end > count) end = count;
  // In the order of the table and not of the file, where a general brand may come before the special one.
  for (size_t i = 0; i < sizeof brands / sizeof brands[0]; i++) {
    for (size_t at = 8; at + 4 <= end; at += at == 8 ? 8 : 4) {
      if (memcmp(bytes + at, brands[i].bytes, brands[i].count) == 0) return &brands[i];
    }
  }
  return &media;
}

static const struct magic *find_text(const uint8_t *bytes, size_t count) {
  size_t at = count >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  while (at < count && at < 256 && strchr(" \t\r\n", bytes[at]) && bytes[at]) at++;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    const struct magic *m = &texts[i];
    if (count - at >= m->count && strncasecmp((const char *)bytes + at, m->bytes, m->count) == 0) return m;
  }
  return NULL;
}

static const struct magic *find_other(const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    const struct magic *m = &known[i];
    if (count >= m->at + m->count && memcmp(bytes + m->at, m->bytes, m->count) == 0) return m;
  }
  static const struct magic pnm = {"PNM", 0, 0, "", MAGICK("ppm")};
  if (count >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' && bytes[2] <= ' ') return &pnm;
  const struct magic *found = find_media(bytes, count);
  return found ? found : find_text(bytes, count);
}

int32_t vtok_sniff(const uint8_t *bytes, size_t count, const char **name, const char **remedy) {
  *name = *remedy = NULL;
  // Four bytes of the PNG signature are enough: the other four only show how a transfer damaged the file.
  if (count >= 4 && memcmp(bytes, "\x89PNG", 4) == 0) return VTOK_FORMAT_PNG;
  if (count >= 2 && memcmp(bytes, "\xff\xd8", 2) == 0) return VTOK_FORMAT_JPEG;
  if (count >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0) return VTOK_FORMAT_WEBP;
  const struct magic *other = find_other(bytes, count);
  if (!other) return VTOK_FORMAT_NONE;
  *name = other->name;
  *remedy = other->remedy;
  return VTOK_FORMAT_OTHER;
}

#ifndef CVTOKIMAGE_H
#define CVTOKIMAGE_H
#include <stddef.h>
#include <stdint.h>

// PNG, JPEG and WebP from and to memory, and the two loops of the resize. Errors of libpng and libjpeg leave a decoder by
// longjmp, which Swift cannot express, so everything that can fail stands here and hands back a code and a message.
// Nothing here keeps state between calls, prints or aborts.

enum vtok_image_code {
  VTOK_IMAGE_OK = 0,
  VTOK_IMAGE_UNSUPPORTED,  // a format or a flavour of it that is not read
  VTOK_IMAGE_CORRUPT,      // damaged or cut
  VTOK_IMAGE_NO_MEMORY,
};

enum vtok_image_format {
  VTOK_FORMAT_NONE = 0,  // nothing that is known
  VTOK_FORMAT_PNG,
  VTOK_FORMAT_JPEG,
  VTOK_FORMAT_WEBP,
  VTOK_FORMAT_OTHER,  // known by name, not read
};

typedef struct {
  int32_t code;       // vtok_image_code
  char message[160];  // a clause without full stop, empty when the code is 0
} vtok_image_status;

typedef struct {
  uint32_t width, height;
  int32_t orientation;  // EXIF 1...8; 1 where the file has none
} vtok_image_header;

// The format by its first bytes. For VTOK_FORMAT_OTHER `name` becomes a static string such as "GIF" and `remedy` a clause
// that says what to do with such a file; NULL otherwise.
int32_t vtok_sniff(const uint8_t *bytes, size_t count, const char **name, const char **remedy);

// The header alone: takes no memory in proportion to the picture.
void vtok_png_header(const uint8_t *bytes, size_t count, vtok_image_header *header, vtok_image_status *status);
void vtok_jpeg_header(const uint8_t *bytes, size_t count, vtok_image_header *header, vtok_image_status *status);
void vtok_webp_header(const uint8_t *bytes, size_t count, vtok_image_header *header, vtok_image_status *status);

// All pixels into rgb[height][width][3]; the sizes are those the header function gave for the same bytes. With `white`
// transparent pixels are laid on white, else their colours are taken as they are stored.
// After an error the content of rgb is unspecified.
void vtok_png_decode(const uint8_t *bytes, size_t count, int32_t white, uint8_t *rgb, vtok_image_status *status);
void vtok_jpeg_decode(const uint8_t *bytes, size_t count, uint8_t *rgb, vtok_image_status *status);
void vtok_webp_decode(const uint8_t *bytes, size_t count, int32_t white, uint8_t *rgb, vtok_image_status *status);

// rgb[height][width][3] as a PNG file in *out, which vtok_release frees. NULL after an error.
void vtok_png_encode(
    const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **out, size_t *out_count, vtok_image_status *status);
// The same as a JPEG file: 4:2:0, optimal Huffman tables, quality 1...100 on libjpeg's scale.
void vtok_jpeg_encode(
    const uint8_t *rgb, uint32_t width, uint32_t height, int32_t quality, uint8_t **out, size_t *out_count,
    vtok_image_status *status);
// The same as a lossless WebP file.
void vtok_webp_encode(
    const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **out, size_t *out_count, vtok_image_status *status);
void vtok_release(uint8_t *bytes);

// Whether `count` bytes can be had now. Memory the Swift runtime cannot get ends the process, so ask first.
int32_t vtok_can_allocate(size_t count);

// One pass of a separable resize with 22 fractional bits. Output i is the sum of weights[i * stride + t] *
// in[first[i] + t] over t < taps[i], rounded and clipped to a byte.
// Along a row: pixels first_out..<last_out of out[.][3] from in[.][3].
void vtok_resize_row(
    const uint8_t *in, const int32_t *first, const int32_t *taps, const int32_t *weights, size_t stride,
    size_t first_out, size_t last_out, uint8_t *out);
// Down the columns: one output row of `count` bytes from `taps` rows that are `count` bytes long and lie end to end.
void vtok_resize_column(const uint8_t *rows, size_t count, const int32_t *weights, int32_t taps, uint8_t *out);

#endif

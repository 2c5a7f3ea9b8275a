#include <png.h>

#include "common.h"

// Everything a libpng call may leave by longjmp. It lives in the caller of `guarded`, so no local variable is lost.
struct png_job {
  jmp_buf escape;
  vtok_image_status *status;
  png_structp png;
  png_infop info;
  // Reading.
  const uint8_t *bytes;
  size_t count, at;
  vtok_image_header *header;
  bool white;
  uint8_t *rgb, *rgba;
  // Writing.
  const uint8_t *pixels;
  uint32_t width, height;
  uint8_t *out;
  size_t out_count, out_capacity;
};

static bool guarded(struct png_job *job, void (*work)(struct png_job *)) {
  if (setjmp(job->escape)) return false;
  work(job);
  return true;
}

static void on_error(png_structp png, png_const_charp text) {
  struct png_job *job = png_get_error_ptr(png);
  if (job->status->code == VTOK_IMAGE_OK) {
    bool memory = strstr(text, "emory") != NULL;  // libpng tells only by "Out of memory", "insufficient memory"
    vtok_fail(job->status, memory ? VTOK_IMAGE_NO_MEMORY : VTOK_IMAGE_CORRUPT, text);
  }
  longjmp(job->escape, 1);
}

// libpng warns about oddities (a bad ancillary chunk, extra data) that leave the pixels whole.
static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t count) {
  struct png_job *job = png_get_io_ptr(png);
  if (count > job->count - job->at) png_error(png, "the file ends too early");
  memcpy(to, job->bytes + job->at, count);
  job->at += count;
}

// Metadata and colour management take memory and change pixels; the convention here is raw samples. The last one is read
// where transparency counts.
static const png_byte ignored[] =
    "bKGD\0cHRM\0cICP\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0zTXt\0"
    "tRNS";

static void read_header(struct png_job *job) {
  png_set_read_fn(job->png, job, on_read);
  png_set_user_limits(job->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller judges sizes
  png_set_chunk_malloc_max(job->png, 64u << 20);
  png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, ignored, (int)(sizeof ignored / 5) - job->white);
  png_read_info(job->png, job->info);
  if (job->header) {
    job->header->width = png_get_image_width(job->png, job->info);
    job->header->height = png_get_image_height(job->png, job->info);
  }
}

static void read_pixels(struct png_job *job) {
  read_header(job);
  png_structp png = job->png;
  int colour = png_get_color_type(png, job->info);
  bool blends = job->white && (colour & PNG_COLOR_MASK_ALPHA || png_get_valid(png, job->info, PNG_INFO_tRNS));
  // High byte of 16 bits (a transparent colour is compared by all 16 before), palette looked up, grey repeated.
  if (png_get_bit_depth(png, job->info) == 16) png_set_strip_16(png);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (colour == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
  if (!(colour & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
  if (blends) png_set_tRNS_to_alpha(png);
  if (colour & PNG_COLOR_MASK_ALPHA && !blends) png_set_strip_alpha(png);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, job->info);
  size_t width = png_get_image_width(png, job->info), height = png_get_image_height(png, job->info);
  size_t samples = blends ? 4 : 3;
  if (png_get_rowbytes(png, job->info) != width * samples) png_error(png, "its rows do not become RGB");
  // An interlaced image comes in several passes over all of it, so that no row is ready for white before the last one.
  size_t rows = passes > 1 ? height : 1;
  if (blends) {
    job->rgba = malloc(rows * width * samples);
    if (!job->rgba) png_error(png, "out of memory for its samples");
  }
  for (int pass = 0; pass < passes; pass++) {
    for (size_t y = 0; y < height; y++) {
      uint8_t *rgb = job->rgb + y * width * 3;
      uint8_t *row = blends ? job->rgba + y % rows * width * samples : rgb;
      png_read_row(png, row, NULL);
      if (blends && pass == passes - 1) vtok_on_white(row, width, rgb);
    }
  }
  // All rows are here and libpng has checked the last IDAT. What follows (IEND, garbage) says nothing about them.
}

// CRC-32 over type and data of a chunk (PNG annex D), bit by bit: it is asked of one small chunk a file.
static uint32_t checksum(const uint8_t *bytes, size_t count) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < count; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

// No camera writes more; the checksum of a hostile file would take seconds.
static const size_t most_exif = 16u << 20;

// The chunks are walked here and not by libpng: eXIf may follow the pixels.
static int32_t find_orientation(const uint8_t *bytes, size_t count) {
  for (size_t at = 8; count >= 12 && at <= count - 12;) {
    size_t length = png_get_uint_32(bytes + at);
    if (length > count - 12 - at || memcmp(bytes + at + 4, "IEND", 4) == 0) return 1;
    if (memcmp(bytes + at + 4, "eXIf", 4) == 0) {
      bool whole = length <= most_exif && checksum(bytes + at + 4, length + 4) == png_get_uint_32(bytes + at + 8 + length);
      return whole ? vtok_exif_orientation(bytes + at + 8, length) : 1;
    }
    at += length + 12;
  }
  return 1;
}

static bool read_job(struct png_job *job, void (*work)(struct png_job *)) {
  *job->status = (vtok_image_status){0};
  job->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
  if (job->png) job->info = png_create_info_struct(job->png);
  if (!job->info) vtok_fail(job->status, VTOK_IMAGE_NO_MEMORY, "libpng has no memory for its state");
  bool done = job->info && guarded(job, work);
  png_destroy_read_struct(&job->png, &job->info, NULL);
  free(job->rgba);
  return done;
}

void vtok_png_header(const uint8_t *bytes, size_t count, vtok_image_header *header, vtok_image_status *status) {
  struct png_job job = {.status = status, .bytes = bytes, .count = count, .header = header};
  if (read_job(&job, read_header)) header->orientation = find_orientation(bytes, count);
}

void vtok_png_decode(const uint8_t *bytes, size_t count, int32_t white, uint8_t *rgb, vtok_image_status *status) {
  struct png_job job = {.status = status, .bytes = bytes, .count = count, .white = white != 0, .rgb = rgb};
  read_job(&job, read_pixels);
}

static void on_write(png_structp png, png_bytep from, size_t count) {
  struct png_job *job = png_get_io_ptr(png);
  if (count > job->out_capacity - job->out_count) {
    size_t capacity = job->out_capacity + job->out_capacity / 2 + count + 4096;
    uint8_t *grown = realloc(job->out, capacity);
    if (!grown) png_error(png, "out of memory for the PNG file");
    job->out = grown;
    job->out_capacity = capacity;
  }
  memcpy(job->out + job->out_count, from, count);
  job->out_count += count;
}

static void on_flush(png_structp png) { (void)png; }

static void write_pixels(struct png_job *job) {
  png_structp png = job->png;
  png_set_write_fn(png, job, on_write, on_flush);
  png_set_compression_level(png, 6);
  png_set_IHDR(
      png, job->info, job->width, job->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE,
      PNG_FILTER_TYPE_BASE);
  png_write_info(png, job->info);
  for (size_t y = 0; y < job->height; y++) png_write_row(png, job->pixels + y * job->width * 3);
  png_write_end(png, NULL);
}

void vtok_png_encode(
    const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **out, size_t *out_count, vtok_image_status *status) {
  struct png_job job = {.status = status, .pixels = rgb, .width = width, .height = height};
  *status = (vtok_image_status){0};
  job.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
  if (job.png) job.info = png_create_info_struct(job.png);
  if (!job.info) vtok_fail(status, VTOK_IMAGE_NO_MEMORY, "libpng has no memory for its state");
  bool done = job.info && guarded(&job, write_pixels);
  png_destroy_write_struct(&job.png, &job.info);
  if (!done) free(job.out);
  *out = done ? job.out : NULL;
  *out_count = done ? job.out_count : 0;
}

void vtok_release(uint8_t *bytes) { free(bytes); }

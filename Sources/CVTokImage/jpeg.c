#include "common.h"
// jpeglib.h needs <stddef.h> and <stdio.h> before it.
#include <jpeglib.h>

#include <jerror.h>

// The libjpeg managers come first, so that a pointer to one of them is a pointer to the job.
struct jpeg_job {
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  struct jpeg_source_mgr source;
  struct jpeg_decompress_struct jpeg;
  jmp_buf escape;
  vtok_image_status *status;
  const uint8_t *bytes;
  size_t count;
  vtok_image_header *header;
  uint8_t *rgb, *row;
  bool came[MAX_COMPONENTS];  // components with at least one scan
};

static bool guarded(struct jpeg_job *job, void (*work)(struct jpeg_job *)) {
  if (setjmp(job->escape)) return false;
  work(job);
  return true;
}

static void fail(struct jpeg_job *job, int32_t code, const char *message) {
  vtok_fail(job->status, code, message);
  longjmp(job->escape, 1);
}

static void fail_with_libjpeg(j_common_ptr jpeg) {
  struct jpeg_job *job = jpeg->client_data;
  char text[JMSG_LENGTH_MAX];
  jpeg->err->format_message(jpeg, text);
  int32_t code = VTOK_IMAGE_CORRUPT;
  switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
      code = VTOK_IMAGE_NO_MEMORY;
      break;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
      code = VTOK_IMAGE_UNSUPPORTED;
      break;
  }
  fail(job, code, text);
}

// Level -1 is a warning. These leave the picture whole, and cameras and editors write files that draw them; any other
// means that samples were invented.
static void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
      return;
  }
  fail_with_libjpeg(jpeg);
}

static void on_output(j_common_ptr jpeg) { (void)jpeg; }

// Called before every step of reading, so within every scan: notes whose samples it brings.
// A progressive file may name any number of scans over the whole picture in a few bytes each. Real ones have about
// ten; the second limit bounds the time that a large picture can take.
static void on_progress(j_common_ptr jpeg) {
  j_decompress_ptr d = (j_decompress_ptr)jpeg;
  double pixels = (double)d->image_width * d->image_height;
  if (d->input_scan_number > 500 || d->input_scan_number * pixels > 5e9) {
    fail(jpeg->client_data, VTOK_IMAGE_CORRUPT, "it has more scans than any real image");
  }
  struct jpeg_job *job = jpeg->client_data;
  for (int i = 0; i < d->comps_in_scan; i++) job->came[d->cur_comp_info[i]->component_index] = true;
}

static void on_source(j_decompress_ptr jpeg) { (void)jpeg; }

// Called when all bytes are used. libjpeg's own sources would invent an end marker and go on; a cut file is an error
// here, as in Pillow.
static boolean on_empty(j_decompress_ptr jpeg) {
  fail(jpeg->client_data, VTOK_IMAGE_CORRUPT, "the file ends too early");
  return FALSE;
}

static void on_skip(j_decompress_ptr jpeg, long count) {
  if (count <= 0) return;
  if ((size_t)count > jpeg->src->bytes_in_buffer) on_empty(jpeg);
  jpeg->src->next_input_byte += count;
  jpeg->src->bytes_in_buffer -= (size_t)count;
}

static void read_header(struct jpeg_job *job) {
  j_decompress_ptr jpeg = &job->jpeg;
  jpeg_create_decompress(jpeg);
  jpeg->client_data = job;
  job->progress.progress_monitor = on_progress;
  jpeg->progress = &job->progress;
  job->source.init_source = on_source;
  job->source.fill_input_buffer = on_empty;
  job->source.skip_input_data = on_skip;
  job->source.resync_to_restart = jpeg_resync_to_restart;
  job->source.term_source = on_source;
  job->source.next_input_byte = job->bytes;
  job->source.bytes_in_buffer = job->count;
  jpeg->src = &job->source;
  if (job->header) jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(jpeg, TRUE);
  if (jpeg->data_precision != 8) fail(job, VTOK_IMAGE_UNSUPPORTED, "its samples do not have 8 bits");
  int parts = jpeg->num_components;
  if (parts != 1 && parts != 3 && parts != 4) {
    fail(job, VTOK_IMAGE_UNSUPPORTED, "it has neither 1, 3 nor 4 colour components");
  }
  if (!job->header) return;
  job->header->width = jpeg->image_width;
  job->header->height = jpeg->image_height;
  job->header->orientation = 1;
  for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next) {
    if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && memcmp(m->data, "Exif\0\0", 6) == 0) {
      job->header->orientation = vtok_exif_orientation(m->data, m->data_length);
      break;
    }
  }
}

// Whether every component came, and of a progressive file every bit of every coefficient. The format lets a file end
// without some of them, but real encoders send them all, and a file that was cut between two scans and given an end marker
// looks just so.
static bool is_whole(struct jpeg_job *job) {
  j_decompress_ptr jpeg = &job->jpeg;
  for (int part = 0; part < jpeg->num_components; part++) {
    if (!job->came[part]) return false;
    // The lowest bit sent so far of each coefficient; -1 for none.
    for (int k = 0; jpeg->coef_bits && k < DCTSIZE2; k++) {
      if (jpeg->coef_bits[part][k] != 0) return false;
    }
  }
  return true;
}

static void read_pixels(struct jpeg_job *job) {
  read_header(job);
  j_decompress_ptr jpeg = &job->jpeg;
  bool inks = jpeg->num_components == 4;
  jpeg->out_color_space = inks ? JCS_CMYK : JCS_RGB;
  jpeg->dct_method = JDCT_ISLOW;
  jpeg->do_fancy_upsampling = TRUE;
  jpeg_start_decompress(jpeg);  // reads a file of several scans to its end
  if (jpeg_has_multiple_scans(jpeg) && !is_whole(job)) {
    fail(job, VTOK_IMAGE_CORRUPT, "it ends before its last scan; such a part of an image is not taken for the whole");
  }
  size_t width = jpeg->output_width;
  if (inks) {
    job->row = malloc(width * 4);
    if (!job->row) fail(job, VTOK_IMAGE_NO_MEMORY, "no memory for a row of samples");
  }
  while (jpeg->output_scanline < jpeg->output_height) {
    uint8_t *rgb = job->rgb + (size_t)jpeg->output_scanline * width * 3;
    JSAMPROW row = inks ? job->row : rgb;
    jpeg_read_scanlines(jpeg, &row, 1);
    // Four components are taken to be inverted inks, as Adobe writes them: R = C * K / 255 in Pillow's rounding.
    for (size_t x = 0; inks && x < width; x++) {
      const uint8_t *cmyk = row + x * 4;
      for (int c = 0; c < 3; c++) rgb[x * 3 + c] = (uint8_t)(cmyk[3] - vtok_over_255((255u - cmyk[c]) * cmyk[3]));
    }
  }
}

static bool read_job(struct jpeg_job *job, void (*work)(struct jpeg_job *)) {
  *job->status = (vtok_image_status){0};
  job->jpeg.err = jpeg_std_error(&job->errors);
  job->errors.error_exit = fail_with_libjpeg;
  job->errors.emit_message = on_message;
  job->errors.output_message = on_output;
  job->jpeg.client_data = job;
  bool done = guarded(job, work);
  jpeg_destroy_decompress(&job->jpeg);
  free(job->row);
  return done;
}

void vtok_jpeg_header(const uint8_t *bytes, size_t count, vtok_image_header *header, vtok_image_status *status) {
  struct jpeg_job job = {.status = status, .bytes = bytes, .count = count, .header = header};
  read_job(&job, read_header);
}

void vtok_jpeg_decode(const uint8_t *bytes, size_t count, uint8_t *rgb, vtok_image_status *status) {
  struct jpeg_job job = {.status = status, .bytes = bytes, .count = count, .rgb = rgb};
  read_job(&job, read_pixels);
}

struct jpeg_write_job {
  struct jpeg_error_mgr errors;
  struct jpeg_compress_struct jpeg;
  jmp_buf escape;
  vtok_image_status *status;
  const uint8_t *rgb;
  uint32_t width, height;
  int32_t quality;
  uint8_t *out;
  unsigned long count;
};

static void fail_writing(j_common_ptr jpeg) {
  struct jpeg_write_job *job = jpeg->client_data;
  char text[JMSG_LENGTH_MAX];
  jpeg->err->format_message(jpeg, text);
  vtok_fail(job->status, jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? VTOK_IMAGE_NO_MEMORY : VTOK_IMAGE_CORRUPT, text);
  longjmp(job->escape, 1);
}

static bool write_pixels(struct jpeg_write_job *job) {
  if (setjmp(job->escape)) return false;
  j_compress_ptr jpeg = &job->jpeg;
  jpeg_create_compress(jpeg);
  jpeg_mem_dest(jpeg, &job->out, &job->count);
  jpeg->image_width = job->width;
  jpeg->image_height = job->height;
  jpeg->input_components = 3;
  jpeg->in_color_space = JCS_RGB;
  jpeg_set_defaults(jpeg);
  jpeg_set_quality(jpeg, job->quality, TRUE);
  jpeg->optimize_coding = TRUE;
  jpeg_start_compress(jpeg, TRUE);
  while (jpeg->next_scanline < jpeg->image_height) {
    JSAMPROW row = (JSAMPROW)(job->rgb + (size_t)jpeg->next_scanline * job->width * 3);
    jpeg_write_scanlines(jpeg, &row, 1);
  }
  jpeg_finish_compress(jpeg);
  return true;
}

void vtok_jpeg_encode(
    const uint8_t *rgb, uint32_t width, uint32_t height, int32_t quality, uint8_t **out, size_t *out_count,
    vtok_image_status *status) {
  struct jpeg_write_job job = {.status = status, .rgb = rgb, .width = width, .height = height, .quality = quality};
  *status = (vtok_image_status){0};
  job.jpeg.err = jpeg_std_error(&job.errors);
  job.errors.error_exit = fail_writing;
  job.errors.output_message = on_output;
  job.jpeg.client_data = &job;
  bool done = write_pixels(&job);
  jpeg_destroy_compress(&job.jpeg);
  if (!done) free(job.out);
  *out = done ? job.out : NULL;
  *out_count = done ? job.count : 0;
}

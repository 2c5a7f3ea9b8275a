/* vtok from C: images in, fewer tokens out; questions about images; benches.
 *
 * Every function may be called from any thread, and an open model may serve any number of threads at once. An image in
 * company equals the image alone, bit for bit. What a function returns belongs to the caller, who frees it with the
 * function of its name; NULL may be freed. Texts are UTF-8 and end with NUL.
 *
 * A function that fails returns NULL (or an error code) and leaves one line that says what was found, what was expected
 * and how to mend it: vtok_last_error().
 */
#ifndef VTOK_H
#define VTOK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when something is added. Nothing that stands here goes or changes its meaning while the library is libvtok.so.1. */
#define VTOK_API_VERSION 1

/* The version of the interface that the library has: at least the VTOK_API_VERSION that a program was compiled with. */
int32_t vtok_api_version(void);
/* The version of the library, as results record it: "0.1.0". */
const char *vtok_version(void);

/* ---- Errors ---------------------------------------------------------------------------------------------------- */

typedef enum vtok_error {
  VTOK_OK = 0,
  VTOK_ERROR_REQUEST = 1,  /* what was asked: a method, a budget, an option, an argument, data for a bench */
  VTOK_ERROR_MODEL = 2,    /* the files of a model */
  VTOK_ERROR_IMAGE = 3,    /* a picture */
  VTOK_ERROR_SYSTEM = 4,   /* the machine: memory, files */
  VTOK_ERROR_INTERNAL = 5  /* none of these */
} vtok_error;

/* Of the last call of this thread that failed: what kind of error, and its line. The text stays until the thread's next
 * call that fails. VTOK_OK and an empty text before the first one. */
vtok_error vtok_last_error_kind(void);
const char *vtok_last_error(void);

/* ---- What is opened -------------------------------------------------------------------------------------------- */

/* A model with a method. Begin with VTOK_OPTIONS and set what differs from the default; NULL and 0 are the defaults. */
typedef struct vtok_options {
  size_t size;            /* sizeof(vtok_options) */
  const char *model;      /* directory as downloaded, text model in GGUF, or an embedded name; NULL: "vtok-tiny" */
  const char *mmproj;     /* beside a GGUF file: the one with its tower and projector */
  const char *processor;  /* file that says how images are prepared, in place of the model's own */
  const char *method;     /* NAME[:key=value,...], several joined with +; NULL: dense */
  double keep_ratio;      /* share of the dense model's visual tokens to keep, in (0, 1]; 0: none given */
  int64_t keep_tokens;    /* number of visual tokens to keep; 0: none given */
  const char *precision;  /* f32, bf16, int8, int4 or file; NULL: the model's default */
  const char *chat_template; /* name or text of a prompt template; NULL: the model's own */
  const char *companion;  /* directory of the CLIP that a method compares patches and question with */
  const char *question;   /* of a pipeline with a vision-language model, for methods that read it */
  int64_t max_pixels;     /* largest image file that is read; 0: 100000000 */
  int32_t raw_orientation; /* 1: images stay as they are stored, not turned upright by EXIF */
  int32_t drop_alpha;     /* 1: transparent images lose their alpha; 0: they are laid on white */
} vtok_options;

#define VTOK_OPTIONS {sizeof(vtok_options)}

/* A picture: a file, the bytes of one (PNG, JPEG, WebP), or pixels. */
typedef struct vtok_image {
  const char *path;       /* a file to read; then data is NULL */
  const void *data;       /* the bytes of a file, or 8-bit RGB pixels */
  size_t length;          /* bytes in data */
  int32_t width, height;  /* of pixels; 0: data is a file */
  int64_t stride;         /* bytes from one row of pixels to the next; 0: 3 * width */
  const char *name;       /* for messages and, with methods that draw lots, mixed into the seed; NULL: the path */
} vtok_image;

/* ---- Tokens of images ------------------------------------------------------------------------------------------ */

/* A vision tower, or a vision-language model as far as its language model, with a method. */
typedef struct vtok_pipeline vtok_pipeline;
/* What one image became. */
typedef struct vtok_result vtok_result;

typedef enum vtok_dtype { VTOK_F32 = 1, VTOK_I64 = 2 } vtok_dtype;

/* Values in memory of the result, which live as long as it does. */
typedef struct vtok_tensor {
  const char *name;
  vtok_dtype dtype;
  int32_t rank;
  const int64_t *shape;   /* rank numbers */
  const void *data;       /* row by row */
  size_t length;          /* bytes in data */
} vtok_tensor;

vtok_pipeline *vtok_pipeline_open(const vtok_options *options);
void vtok_pipeline_free(vtok_pipeline *pipeline);

/* About the pipeline, as a JSON object: model, model_sha256, kind ("tower" or "visual"), method, precision, labels, and width
 * of its tokens. Lives as long as the pipeline. */
const char *vtok_pipeline_about(const vtok_pipeline *pipeline);

/* Reduces one image. A method that draws lots takes the seed mixed with the image's name, as the command vtok does; for an
 * image without name and path the seed itself. */
vtok_result *vtok_pipeline_run(const vtok_pipeline *pipeline, const vtok_image *image, uint64_t seed);
void vtok_result_free(vtok_result *result);

/* The tensors of a result, by place or by name:
 *   tokens          F32 [kept, width]   in sequence order; of a vision-language model behind projector and packing
 *   pooled          F32 [width]         the image's embedding; of a vision-language model the mean of the tokens
 *   logits          F32 [classes]       of a tower with a classifier
 *   keep            I64 [kept]          the patch that each token stands on; -1: none
 *   origin.offsets  I64 [kept + 1]      origin.patches[origin.offsets[i] ..< origin.offsets[i + 1]] are all patches
 *   origin.patches  I64                 that token i stands for,
 *   origin.weights  F32                 with these weights
 *   spans           I64 [spans + 1]     of a vision-language model: where each visual span begins, and the last one ends
 *   deepstack.0...  F32 [kept, width]   rows that the first layers of such a model add
 * VTOK_OK, or VTOK_ERROR_REQUEST when there is no such tensor. */
size_t vtok_result_count(const vtok_result *result);
vtok_error vtok_result_at(const vtok_result *result, size_t place, vtok_tensor *tensor);
vtok_error vtok_result_find(const vtok_result *result, const char *name, vtok_tensor *tensor);

/* What is known about the image besides, as a JSON object: the fields of a row of 'vtok prune --stream' (image, grid, model,
 * method, budget, tokens, gmacs, margin, top). Lives as long as the result. */
const char *vtok_result_row(const vtok_result *result);

/* ---- Questions about images ------------------------------------------------------------------------------------ */

typedef struct vtok_generator vtok_generator;
typedef struct vtok_answer vtok_answer;

/* Begin with VTOK_QUESTION. */
typedef struct vtok_question {
  size_t size;               /* sizeof(vtok_question) */
  const char *prompt;
  const char *system;        /* a sentence before the question; NULL: the template's own */
  const vtok_image *images;  /* in the order the model sees them */
  size_t image_count;
  int32_t max_tokens;        /* new tokens at most; 0: 256 */
  float temperature;         /* chance in the choice of tokens; 0: the most likely one */
  float top_p;               /* with a temperature: choose among the most likely that sum up to this; 0: 1 */
  uint64_t seed;
  int32_t threads;           /* 0: all cores */
} vtok_question;

#define VTOK_QUESTION {sizeof(vtok_question)}

/* Gets the answer piece by piece, on the thread that asked. Anything but 0 ends the answer there. */
typedef int32_t (*vtok_receiver)(const char *piece, void *context);

vtok_generator *vtok_generator_open(const vtok_options *options);
void vtok_generator_free(vtok_generator *generator);
/* As vtok_pipeline_about, without labels and width. */
const char *vtok_generator_about(const vtok_generator *generator);

/* - receive: NULL: nobody wants the pieces. */
vtok_answer *vtok_generator_ask(
  const vtok_generator *generator, const vtok_question *question, vtok_receiver receive, void *context);
void vtok_answer_free(vtok_answer *answer);

const char *vtok_answer_text(const vtok_answer *answer);
/* The new tokens, the stop token included. */
const int64_t *vtok_answer_ids(const vtok_answer *answer, size_t *count);
/* The fields of a row of 'vtok generate --stream' about the answer, as a JSON object: finish, tokens, gmacs, kv_mb, times. */
const char *vtok_answer_row(const vtok_answer *answer);

/* ---- Benches --------------------------------------------------------------------------------------------------- */

/* Hears how far a bench is, from any thread: items done and failed of all, first of those that are timed, then of all. Anything
 * but 0 ends the bench. */
typedef int32_t (*vtok_progress)(int64_t done, int64_t total, int64_t failed, void *context);

/* Methods on the same images, or on the same questions where the data is a .jsonl file, beside the rows they must beat: the
 * dense model, chance and a smaller image.
 *
 * - request: a JSON object. "data": path; "methods": list of texts; "keep_ratio": list of numbers, or "keep_tokens": list of
 *   whole numbers; "model", "mmproj", "processor", "precision", "template", "companion": as in vtok_options; "limit" (items),
 *   "timing_samples", "seeds" (runs of methods that draw lots), "seed", "threads", "max_tokens" (of questions): whole numbers.
 * - progress: NULL: nobody listens.
 * - Returns: a JSON object with "rows", as 'vtok bench --format json' writes them, "title", "remarks", and "failures": what is
 *   wrong with the items that failed. To be freed with vtok_text_free. */
char *vtok_bench(const char *request, vtok_progress progress, void *context);
void vtok_text_free(char *text);

#ifdef __cplusplus
}
#endif
#endif

/* Prints how many tokens are left of every image, and the patches that the first of them stand on.
 *
 *   cc tokens.c -I FOLDER/include -L FOLDER/lib -lvtok -Wl,-rpath,FOLDER/lib -o tokens     (FOLDER: what `make library` printed)
 *   ./tokens divprune 0.25 photo.jpg...
 */
#include <stdio.h>
#include <stdlib.h>
#include <vtok.h>

static int fail(void) {
  fprintf(stderr, "tokens: %s\n", vtok_last_error());
  return vtok_last_error_kind() == VTOK_ERROR_REQUEST ? 2 : 1;
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "usage: tokens METHOD RATIO IMAGE...\n");
    return 2;
  }
  vtok_options options = VTOK_OPTIONS;
  options.method = arguments[1];
  options.keep_ratio = atof(arguments[2]);
  vtok_pipeline *pipeline = vtok_pipeline_open(&options);
  if (!pipeline) return fail();

  int code = 0;
  for (int i = 3; i < count && !code; i++) {
    vtok_image image = {arguments[i]};
    vtok_result *result = vtok_pipeline_run(pipeline, &image, 0);
    vtok_tensor tokens, keep;
    if (!result || vtok_result_find(result, "tokens", &tokens) || vtok_result_find(result, "keep", &keep)) {
      code = fail();
    } else {
      const int64_t *patches = keep.data;
      const float *values = tokens.data;
      printf("%s: %lld tokens of %lld numbers, the first %.9g; patches", arguments[i], (long long)tokens.shape[0],
             (long long)tokens.shape[1], values[0]);
      for (int64_t k = 0; k < keep.shape[0] && k < 8; k++) printf(" %lld", (long long)patches[k]);
      printf("\n");
    }
    vtok_result_free(result);
  }
  vtok_pipeline_free(pipeline);
  return code;
}

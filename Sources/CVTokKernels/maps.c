// Feature maps of convolutional networks, channels last: group norm's statistics and its application. Goal, in order:
// variances that survive a mean far from zero (sums around a value near it, in double after a few rows), then one pass
// over memory each.
#include "dispatch.h"

VTOK_CLONES void vtok_channel_moments(const float *x, size_t rows, size_t columns, const float *centre, double *sum, double *square) {
  enum { ROWS = 64, COLUMNS = 4 * VTOK_LANES };
  for (size_t top = 0; top < rows; top += ROWS) {
    size_t end = top + ROWS < rows ? top + ROWS : rows;
    for (size_t left = 0; left < columns; left += COLUMNS) {
      size_t width = columns - left < COLUMNS ? columns - left : COLUMNS;
      float s[COLUMNS] = {0}, q[COLUMNS] = {0};
      for (size_t r = top; r < end; r++) {
        const float *row = x + r * columns + left;
        if (width == COLUMNS)
          for (size_t c = 0; c < COLUMNS; c++) {
            float d = row[c] - centre[left + c];
            s[c] += d;
            q[c] += d * d;
          }
        else
          for (size_t c = 0; c < width; c++) {
            float d = row[c] - centre[left + c];
            s[c] += d;
            q[c] += d * d;
          }
      }
      for (size_t c = 0; c < width; c++) {
        sum[left + c] += (double)s[c];
        square[left + c] += (double)q[c];
      }
    }
  }
}

VTOK_CLONES void vtok_scale_shift(const float *x, size_t rows, size_t columns, const float *scale, const float *shift, int silu, float *out) {
  for (size_t r = 0; r < rows; r++) {
    const float *row = x + r * columns;
    float *o = out + r * columns;
    if (silu)
      for (size_t c = 0; c < columns; c++) {
        float y = row[c] * scale[c] + shift[c];
        o[c] = y / (1.0f + vtok_exp(-y));
      }
    else
      for (size_t c = 0; c < columns; c++) o[c] = row[c] * scale[c] + shift[c];
  }
}

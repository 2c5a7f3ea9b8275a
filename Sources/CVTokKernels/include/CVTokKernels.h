#ifndef VTOK_KERNELS_H
#define VTOK_KERNELS_H
#include <stddef.h>
#include <stdint.h>

// Row kernels. Matrices are row-major float32; `stride` is the distance of two rows in elements.
// Every function is compiled for baseline x86-64, AVX2 (x86-64-v3) and AVX-512 (x86-64-v4) and chosen when the
// program starts; other CPUs get the plain path. All are re-entrant and allocate nothing.

// The level that runs here: "x86-64", "x86-64-v3", "x86-64-v4" or the architecture's name.
const char *vtok_cpu_level(void);

// --- activations.c: elementwise, error against the exact function below 2e-7 relative or 1e-7 absolute ---
typedef enum { VTOK_GELU = 0, VTOK_GELU_TANH = 1, VTOK_QUICK_GELU = 2, VTOK_SILU = 3 } vtok_activation;
// x[r][c] = f(x[r][c] + bias[c]); bias may be NULL.
void vtok_bias_activation(float *x, size_t rows, size_t columns, const float *bias, vtok_activation kind);
// out[r][c] = silu(h[r][c] + bias[c]) * (h[r][width + c] + bias[width + c]); h is [rows, 2 * width], bias may be NULL.
void vtok_swiglu(const float *h, size_t rows, size_t width, const float *bias, float *out);
// a[i] = silu(a[i]) * b[i]
void vtok_silu_product(float *a, const float *b, size_t count);
// a[i] = gelu_tanh(a[i]) * b[i]; a[i] *= sigmoid(b[i])
void vtok_gelu_tanh_product(float *a, const float *b, size_t count);
void vtok_sigmoid_product(float *a, const float *b, size_t count);

// --- rows.c: softmax, norms, residuals ---
// In place over each row; `key_bias` (length columns) may be NULL and is added first. The row maximum is subtracted.
void vtok_softmax_rows(float *x, size_t rows, size_t columns, size_t stride, const float *key_bias);
// As above for a causal mask: row r sees columns 0...first + r, the others become 0.
void vtok_softmax_rows_causal(float *x, size_t rows, size_t columns, size_t stride, size_t first);
// Population variance; out may be x.
void vtok_layer_norm(const float *x, size_t rows, size_t columns, const float *weight, const float *bias, float eps, float *out);
void vtok_rms_norm(const float *x, size_t rows, size_t columns, const float *weight, float eps, float *out);
// x[r][c] *= factor
void vtok_scale_rows(float *x, size_t rows, size_t columns, size_t stride, float factor);
// x[r][c] += bias[c]
void vtok_add_bias(float *x, size_t rows, size_t columns, const float *bias);
// x[r][c] += gamma[c] * (y[r][c] + bias[c]); gamma and bias may be NULL.
void vtok_add_residual(float *x, const float *y, size_t rows, size_t columns, const float *bias, const float *gamma);
// Rotary embedding of the first `rotated` channels of every head of x [rows, heads * head_dim] in place, halves rotated against
// each other: (a, b) becomes scale * (a cos - b sin, b cos + a sin); cosine and sine are [rows, rotated / 2]. The other channels
// are scaled.
void vtok_rotate_halves(float *x, size_t rows, size_t heads, size_t head_dim, size_t rotated, const float *cosine, const float *sine, float scale);
// out[c] += weight * x[c]; out[c] /= divisor. Both round every operation, no fused multiply-add.
void vtok_accumulate(float *out, const float *x, size_t columns, float weight);
void vtok_divide(float *x, size_t columns, float divisor);
// out[c] = x[columns[c]] for c in 0 ..< n
void vtok_gather(const float *x, const int32_t *columns, size_t n, float *out);

// --- delta.c: gated delta nets ---
// out[r][c] = sum over j < taps of kernel[j][c] * row r - (taps - 1) + j of x [rows, channels], behind the taps - 1 rows of
// `before`.
void vtok_short_convolution(const float *x, const float *before, const float *kernel, size_t rows, size_t channels, size_t taps, float *out);
// Every head of x, rows at a distance of `stride`, over the root of its sum of squares and eps, times scale.
void vtok_unit_heads(float *x, size_t rows, size_t stride, size_t heads, size_t dim, float eps, float scale);
// One head: rows of q and k [key_dim] and of v [value_dim] at a distance of `stride`; decay and rate of a row lie `heads` apart.
typedef struct {
  const float *query, *key, *value;
  size_t stride;
  const float *decay, *rate;
  size_t heads;
  float *out;
  size_t out_stride;
} vtok_delta_head;
// Row by row: S = decay S; S += k (rate (v - S' k))'; out = S' q, with S [key_dim, value_dim]; scratch holds value_dim numbers.
void vtok_delta_rule(vtok_delta_head head, size_t rows, size_t key_dim, size_t value_dim, float *state, float *scratch);

// --- maps.c: feature maps [rows, columns], a row a pixel, a column a channel ---
// Adds the sums over rows of x[r][c] - centre[c] and of its square to sum[c] and square[c].
void vtok_channel_moments(const float *x, size_t rows, size_t columns, const float *centre, double *sum, double *square);
// out[r][c] = x[r][c] * scale[c] + shift[c], with SiLU after it if `silu`; out may be x.
void vtok_scale_shift(const float *x, size_t rows, size_t columns, const float *scale, const float *shift, int silu, float *out);

// --- exact.c: one summation order on every CPU (16 lanes, then a fixed tree, no fused multiply-add).
// Whatever decides a selection is computed here.
float vtok_exact_dot(const float *a, const float *b, size_t n);
// out[i][j] = a[i] . b[j]; a [m, n], b [k, n] with row strides, out [m, k] dense.
void vtok_exact_products(const float *a, size_t m, size_t a_stride, const float *b, size_t k, size_t b_stride, size_t n, float *out);
// out[i][j] = a[i] . a[j], the same bits; a [m, n], out [m, m].
void vtok_exact_squares(const float *a, size_t m, size_t n, float *out);
// out[i] = x[i] / |x[i]|; a row of zeros stays zero. Returns how many rows were zero.
size_t vtok_exact_normalise(const float *x, size_t rows, size_t columns, float *out);
// out[c] = sum over r of weights[r] * a[r][c], rows in ascending order; a [rows, columns].
void vtok_exact_votes(const float *a, size_t rows, size_t columns, size_t stride, const float *weights, float *out);
// The same added to what is there: rows in two calls give the bits that they give in one.
void vtok_exact_more_votes(const float *a, size_t rows, size_t columns, size_t stride, const float *weights, float *out);
// out[i][j] = sum over c of |a[i][c] - b[j][c]|^power, the largest difference for power 0; a [m, n], b [k, n], out [m, k].
void vtok_exact_distances(const float *a, size_t m, const float *b, size_t k, size_t n, int power, float *out);

// --- backward.c: what calibration needs to pass gradients to activations ---
// DiffRate's softmax with a policy. Row r of x [rows, columns] holds the logits of query `first + r`; with e = exp(x + bias
// - max), P_rj = mask[j] but 1 for j = first + r, and E_r = sum_j e_rj P_rj + eps: x becomes e, denominators[r] = E_r, and
// probabilities[r][j] = (e_rj P_rj + eps / columns) / E_r. `key_bias` may be NULL.
void vtok_policy_softmax(float *x, size_t rows, size_t columns, size_t first, const float *key_bias, const float *mask, float eps, float *denominators, float *probabilities);
// Its backward, from the e and E it left: g holds dL/dprobabilities and becomes dL/dlogits, mask_gradient[j] grows by dL/dmask[j],
// `probabilities` is filled again.
void vtok_policy_softmax_backward(const float *e, const float *denominators, size_t rows, size_t columns, size_t first, const float *mask, float eps, float *g, float *probabilities, float *mask_gradient);
// dx += dL/dx of a layer norm of x whose output has the gradient g.
void vtok_layer_norm_backward(const float *x, size_t rows, size_t columns, const float *weight, float eps, const float *g, float *dx);
// g[i] *= f'(x[i]), x before the activation.
void vtok_activation_backward(const float *x, size_t count, vtok_activation kind, float *g);
// out[r][c] = gamma[c] * x[r][c]
void vtok_scale_columns(const float *x, size_t rows, size_t columns, const float *gamma, float *out);

// --- gemm.c: products with weights. Each element of the result is one chain of multiply-adds over the depth, in order ---
typedef enum { VTOK_F32 = 0, VTOK_F16 = 1, VTOK_BF16 = 2 } vtok_element;
// A matrix W [rows, depth]. Element (r, k) lies at r * stride + k, transposed at k * stride + r; packed: float32 as vtok_pack left it.
typedef struct {
  const void *base;
  vtok_element type;
  size_t depth, stride;
  int transposed, packed;
} vtok_matrix;
// Rows of W in one panel on this CPU: a packed matrix is a list of panels, [depth, panel] each, the last one filled with zeros.
size_t vtok_panel(void);
// Packs elements from ..< from + depth of rows first ..< first + count.
void vtok_pack(vtok_matrix w, size_t first, size_t count, size_t from, size_t depth, float *packed);
// out[i][r] = x[i] . W[first + r] for r in 0 ..< count, added to what is there if `accumulate`; x [n, depth] with row stride ldx, out
// with row stride ldo. `first` is a multiple of the panel if packed. `scratch` holds 1024 panels (256 elements of 4) unless packed.
void vtok_product(const float *x, size_t n, size_t ldx, vtok_matrix w, size_t first, size_t count, int accumulate, float *out, size_t ldo, float *scratch);
// The same for at most 4 tokens and rows as stored, W read once and nothing copied; sums in lanes, so not bit for bit the product.
void vtok_dots(const float *x, size_t n, size_t ldx, vtok_matrix w, size_t first, size_t count, int accumulate, float *out, size_t ldo);

// --- gguf_types.c: tensor types by the numbers of GGUF files ---
enum { VTOK_GGUF_F32 = 0, VTOK_GGUF_F16 = 1, VTOK_GGUF_BF16 = 30 };
// Elements and bytes of one block; 0 for a type that has no values here. Blocks may lie at any address.
size_t vtok_gguf_elements(uint32_t type);
size_t vtok_gguf_bytes(uint32_t type);
// The type that rows of x are rounded to for products with weights of this type (8 Q8_0, 9 Q8_1, 15 Q8_K); 0: there are none.
uint32_t vtok_gguf_activation(uint32_t type);
// The values of n elements in whole blocks; exact.
void vtok_gguf_dequantise(uint32_t type, const void *blocks, size_t n, float *out);

// --- gguf_round.c: activations as llama.cpp rounds them on x86-64, and weights ---
// Rows one after the other; blocks are of 32 elements, in Q8_K of 256. The caller gives the memory.
typedef struct {
  size_t columns;   // whole blocks
  int8_t *quants;   // [rows, columns], -127 to 127
  float *scales;    // [rows, columns / block], rounded to half but in Q8_K
  int16_t *groups;  // [rows, columns / 16]: sums of 16 quants
  float *sums;      // [rows, columns / 32], Q8_1 only: scale * sum of the quants, rounded to half
} vtok_gguf_rows;
// Rows of x [n, columns] with row stride ldx. A block with what is not finite has NaN for its scale.
void vtok_gguf_round(uint32_t activation, const float *x, size_t n, size_t ldx, vtok_gguf_rows *rows);
// n weights, a multiple of 32, in blocks of Q4_0: the largest magnitude becomes -8 steps. One that is not finite makes its block NaN.
void vtok_gguf_round_q4_0(const float *w, size_t n, uint8_t *blocks);

// --- levels.c: the instructions that products of low precision are written in ---
typedef enum { VTOK_BF16_PRODUCT, VTOK_INT8_PRODUCT, VTOK_GGUF_PRODUCT } vtok_product_kind;
// Levels are numbered from the best to the plain one, which runs everywhere; a name is for people ("avx512-vnni").
size_t vtok_level_count(vtok_product_kind kind);
const char *vtok_level_name(vtok_product_kind kind, size_t level);
int vtok_level_runs(vtok_product_kind kind, size_t level);
size_t vtok_best_level(vtok_product_kind kind);

// --- gguf_dot.c: products of weights as a file holds them with rounded rows ---
// out[i][r] = x[i] . W[first + r] for r in 0 ..< count, out with row stride ldo. Every level gives the same bits, to a row of x alone
// and in company. Up to four rows of x read W where it lies; more of them take it apart once, 32 rows of W at a time.
void vtok_gguf_product(size_t level, uint32_t type, const void *w, size_t first, size_t count, const vtok_gguf_rows *x, size_t n, float *out, size_t ldo);

// --- bf16.c: products of bfloat16 with sums in float32; levels agree within a tolerance ---
// Elements of one row of rounded numbers, and of one column of weights: `depth` filled up to a multiple of 32.
size_t vtok_bf16_depth(size_t depth);
// Rows of x [n, depth] with row stride ldx to nearest even; p is [n, vtok_bf16_depth(depth)].
void vtok_bf16_round(const float *x, size_t n, size_t depth, size_t ldx, uint16_t *p);
// The same for panels of 64 rows of W, vtok_bf16_depth(depth) * 64 elements each. Element (r, k) of W lies at r * ldw + k,
// `transposed` at k * ldw + r.
void vtok_bf16_pack(const float *w, int transposed, size_t count, size_t depth, size_t ldw, uint16_t *panels);
// Row `row` of a list of panels as float32.
void vtok_bf16_widen(const uint16_t *panels, size_t depth, size_t row, float *out);
// out[i][r] = p[i] . q[first + r] for r in 0 ..< count, added to what is there if `accumulate`; `first` is a multiple of 64, out has
// row stride ldo.
void vtok_bf16_product(size_t level, const uint16_t *p, size_t n, size_t depth, const uint16_t *panels, size_t first, size_t count, int accumulate, float *out, size_t ldo);

// --- int8.c: products of 8-bit numbers with sums of 32 bits; the same bits at every level, in any company ---
// Bytes of one row of rounded numbers, and of one column of weights: `depth` filled up to a multiple of 64.
size_t vtok_int8_depth(size_t depth);
// Rows of x [n, depth] with row stride ldx: scales[r] = max |x[r]| / 127 (1 for zeros, NaN where a number is not finite), p[r] = x[r] /
// scales[r] rounded half to even, sums[r] = sum of p[r]. p is [n, vtok_int8_depth(depth)].
void vtok_int8_round(const float *x, size_t n, size_t depth, size_t ldx, int8_t *p, float *scales, int32_t *sums);
// The same for a panel of up to 64 rows of W: vtok_int8_depth(depth) * 64 bytes, and 64 scales.
void vtok_int8_pack(const float *w, size_t count, size_t depth, size_t ldw, uint8_t *panel, float *scales);
// Weight (row, k) of a list of panels, rounded, without its scale.
int vtok_int8_weight(const uint8_t *panels, size_t depth, size_t row, size_t k);
// out[i][r] = float(p[i] . q[first + r]) * (scales[i] * columns[first + r]) + bias[first + r] for r in 0 ..< count, every step rounded,
// added to what is there if `accumulate`; `first` is a multiple of 64, `columns` are the scales of all panels, `bias` may be NULL, out
// has row stride ldo.
void vtok_int8_product(size_t level, const int8_t *p, size_t n, size_t depth, const float *scales, const int32_t *sums, const uint8_t *panels, const float *columns, const float *bias, size_t first, size_t count, int accumulate, float *out, size_t ldo);

// The same for up to 64 neighbours in every line of w: element (r, k) of W lies at k * ldw + r; with the 64 sums of what was rounded.
void vtok_int8_pack_columns(const float *w, size_t count, size_t depth, size_t ldw, uint8_t *panel, float *scales, int32_t *sums);

// --- attention.c: softmax(q k^T + bias) v of one head, with operands of low precision ---
typedef enum { VTOK_ATTENTION_BF16, VTOK_ATTENTION_INT8 } vtok_attention_kind;
// Memory of one thread for a head of so many keys, aligned to 64 bytes.
size_t vtok_attention_bytes(vtok_attention_kind kind, size_t keys, size_t depth);
// Rounds keys and values [count, depth], rows `stride` apart, into that memory.
void vtok_attention_begin(vtok_attention_kind kind, const float *keys, const float *values, size_t count, size_t depth, size_t stride, void *memory);
// Rows of queries [n, depth] through what has been begun; `level` is one of products of that kind, `bias` [keys] may be NULL. All keys
// are seen, or, if `visible` is not 0, row r sees the first visible + r of them. out [n, depth].
void vtok_attention_rows(vtok_attention_kind kind, size_t level, const float *queries, size_t n, size_t ldq, size_t keys, size_t depth, const float *bias, size_t visible, float *out, size_t ldo, void *memory);

// --- cache.c: keys and values of a cache in few bits ---
typedef enum { VTOK_CACHE_BF16, VTOK_CACHE_INT8 } vtok_cache_kind;
// Bytes of a group of n numbers that are rounded together.
size_t vtok_cache_bytes(vtok_cache_kind kind, size_t n);
// Rounds groups of n numbers, which lie side by side in x and in out.
void vtok_cache_round(vtok_cache_kind kind, const float *x, size_t groups, size_t n, void *out);
// out[r] = the group at p + r * stride (bytes) as float32; out has row stride ldo.
void vtok_cache_widen(vtok_cache_kind kind, const void *p, size_t rows, size_t stride, size_t n, float *out, size_t ldo);

// --- convert.c: half and bfloat16 to float32 (exact), float32 to half (round to nearest even) ---
void vtok_widen_f16(const uint16_t *x, size_t n, float *out);
void vtok_widen_bf16(const uint16_t *x, size_t n, float *out);
void vtok_narrow_f16(const float *x, size_t n, uint16_t *out);

// --- sha256.c: FIPS 180-4. Start, any number of updates, finish ---
typedef struct {
  uint32_t state[8];
  uint64_t length;
  uint8_t block[64];
  int extension;
} vtok_sha256;
// Whether this processor has SHA instructions. `without_extension` takes the plain path all the same.
int vtok_sha256_has_extension(void);
void vtok_sha256_start(vtok_sha256 *hash, int without_extension);
void vtok_sha256_update(vtok_sha256 *hash, const void *data, size_t count);
void vtok_sha256_finish(vtok_sha256 *hash, uint8_t digest[32]);

// --- memory.c: for a program of its own; a library has no say in this ---
// Tensors of the same sizes come and go with every image: freed memory stays with the process, since pages handed back would be
// cleared anew each time. Does nothing where the C library has no such setting.
void vtok_keep_freed_memory(void);
// Hands freed memory back once: behind a reader that leaves many small holes, which no tensor would fit into.
void vtok_return_freed_memory(void);

#endif

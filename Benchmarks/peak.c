// What one core can do at most, by loops that touch no memory: prints "f32 GFLOP/s", "bf16 GFLOP/s" and "int8 GOP/s", a line each, for
// the widest instructions that the processor has. A line is missing where it has none.
// usage: peak [SECONDS]
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// The best of many short runs of `loop`, 100,000 rounds of 16 instructions of so many operations each.
static void show(const char *name, void (*loop)(void), double operations, double seconds) {
  double best = 0, end = now() + seconds;
  do {
    double start = now();
    loop();
    double rate = 16e5 * operations / (now() - start) * 1e-9;
    best = rate > best ? rate : best;
  } while (now() < end);
  printf("%s %.1f\n", name, best);
}

// Sixteen chains are enough for any latency.
#define LOOP(name, features, type, zero, step)                           \
  __attribute__((target(features), noinline)) static void name(void) {   \
    type s[16], a = zero, b = zero;                                      \
    for (int i = 0; i < 16; i++) s[i] = zero;                            \
    __asm__ volatile("" : "+" CONSTRAINT(a), "+" CONSTRAINT(b));         \
    for (int k = 0; k < 100000; k++) {                                   \
      _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) step;        \
    }                                                                    \
    for (int i = 0; i < 16; i++) __asm__ volatile("" : "+" CONSTRAINT(s[i])); \
  }

#if defined(__x86_64__)
#include <immintrin.h>
#define CONSTRAINT(x) "v"(x)
LOOP(f32_512, "avx512f", __m512, _mm512_setzero_ps(), s[i] = _mm512_fmadd_ps(a, b, s[i]))
LOOP(f32_256, "avx2,fma", __m256, _mm256_setzero_ps(), s[i] = _mm256_fmadd_ps(a, b, s[i]))
LOOP(int8_512, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), s[i] = _mm512_dpbusd_epi32(s[i], a, b))
__attribute__((target("avx512f,avx512bf16"), noinline)) static void bf16_512(void) {
  __m512 s[16], a = _mm512_setzero_ps(), b = _mm512_setzero_ps();
  for (int i = 0; i < 16; i++) s[i] = _mm512_setzero_ps();
  __asm__ volatile("" : "+v"(a), "+v"(b));
  for (int k = 0; k < 100000; k++) {
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) s[i] = _mm512_dpbf16_ps(s[i], (__m512bh)a, (__m512bh)b);
  }
  for (int i = 0; i < 16; i++) __asm__ volatile("" : "+v"(s[i]));
}

int main(int count, char **arguments) {
  double seconds = count > 1 ? atof(arguments[1]) : 0.2;
  if (__builtin_cpu_supports("avx512f")) show("f32", f32_512, 32, seconds);
  else if (__builtin_cpu_supports("fma")) show("f32", f32_256, 16, seconds);
  if (__builtin_cpu_supports("avx512bf16")) show("bf16", bf16_512, 64, seconds);
  if (__builtin_cpu_supports("avx512vnni")) show("int8", int8_512, 128, seconds);
  return 0;
}
#elif defined(__aarch64__)
#include <arm_neon.h>
#define CONSTRAINT(x) "w"(x)
LOOP(f32_128, "simd", float32x4_t, vdupq_n_f32(0), s[i] = vfmaq_f32(s[i], a, b))

int main(int count, char **arguments) {
  show("f32", f32_128, 8, count > 1 ? atof(arguments[1]) : 0.2);
  return 0;
}
#else
int main(void) { return 0; }
#endif

/* Arithmetic on rows of floats, sixteen at a time: exp, GELU, soft-max, layer norm, rounding to unsigned bytes. */
#ifndef ONEBAR_ROWS_H
#define ONEBAR_ROWS_H

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

/* The first `left` lanes, all of them from sixteen on. */
INLINE __mmask16 first_lanes(ptrdiff_t left) { return left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1); }

/* exp(x) to a few units in the last place; 0 below -87, where the result would be denormal. */
INLINE __m512 exp16(__m512 x) {
    const __m512 log2e = _mm512_set1_ps(1.44269504088896341f);
    const __m512 ln2_high = _mm512_set1_ps(0.693359375f), ln2_low = _mm512_set1_ps(-2.12194440e-4f);
    __mmask16 normal =
        _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_NLT_UQ); /* true for NaN, which is passed on */
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, log2e), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, ln2_low, _mm512_fnmadd_ps(n, ln2_high, x));
    /* The Taylor series of exp on [-ln 2 / 2, ln 2 / 2]; the term left out is below 6e-8. */
    __m512 p = _mm512_set1_ps(1.0f / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(normal, p, n);
}

/* x * Phi(x), the GELU of BART. erf by Abramowitz and Stegun 7.1.26, whose error is at most 1.5e-7. */
INLINE __m512 gelu16(__m512 x) {
    __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678118654752f));
    __m512 t =
        _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), _mm512_set1_ps(1.0f)));
    __m512 p = _mm512_set1_ps(1.061405429f);
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
    /* tail = 1 - erf(z); x * Phi(x) = max(x, 0) - |x| * tail / 2 on both sides of zero. */
    __m512 tail = _mm512_mul_ps(_mm512_mul_ps(p, t), exp16(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(z, z))));
    __m512 positive = _mm512_max_ps(_mm512_setzero_ps(), x); /* NaN where x is: max gives its second operand then */
    return _mm512_fnmadd_ps(_mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.5f)), tail, positive);
}

/* How floats become unsigned bytes: byte = round(x * inverse) + zero, saturated. */
typedef struct {
    float inverse;
    int zero;
} Rounding;

INLINE void store_bytes(uint8_t* to, __m512 x, Rounding how, __mmask16 lanes) {
    /* Rounded before the zero point is added, as ONNX's QuantizeLinear does. */
    __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_set1_ps(how.inverse)));
    whole = _mm512_max_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(how.zero)), _mm512_setzero_si512());
    _mm_mask_storeu_epi8(to, lanes, _mm512_cvtusepi32_epi8(whole));
}

/* Round n floats to bytes. */
static void round_row(const float* from, uint8_t* to, ptrdiff_t n, Rounding how) {
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        __mmask16 lanes = first_lanes(n - i);
        store_bytes(to + i, _mm512_maskz_loadu_ps(lanes, from + i), how, lanes);
    }
}

/* Widen the range *low .. *high to include n floats. */
static void widen_range(const float* row, ptrdiff_t n, float* low, float* high) {
    __m512 least = _mm512_set1_ps(*low), most = _mm512_set1_ps(*high);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        __m512 x = _mm512_maskz_loadu_ps(first_lanes(n - i), row + i);
        least = _mm512_min_ps(least, x);
        most = _mm512_max_ps(most, x);
    }
    *low = _mm512_reduce_min_ps(least);
    *high = _mm512_reduce_max_ps(most);
}

/* Layer norm of n floats; `to` may be `from`. */
static void normalize_row(const float* from, float* to, ptrdiff_t n, const float* scale, const float* bias,
                          float epsilon) {
    __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (ptrdiff_t i = 0; i < n; i += LANES)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(first_lanes(n - i), from + i));
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / (float)n);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        __mmask16 lanes = first_lanes(n - i);
        __m512 off = _mm512_maskz_sub_ps(lanes, _mm512_maskz_loadu_ps(lanes, from + i), mean);
        squares = _mm512_fmadd_ps(off, off, squares);
    }
    const __m512 inverse = _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(squares) / (float)n + epsilon));
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        __mmask16 lanes = first_lanes(n - i);
        __m512 off = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, from + i), mean), inverse);
        off = _mm512_fmadd_ps(off, _mm512_maskz_loadu_ps(lanes, scale + i), _mm512_maskz_loadu_ps(lanes, bias + i));
        _mm512_mask_storeu_ps(to + i, lanes, off);
    }
}

/* n floats become exp(scale * (x - largest)), in place; `room` floats, a multiple of 16, are written, zeros past n.

   Returns 1 / their sum, by which they must be multiplied to be the soft-max. */
static float exp_row(float* row, ptrdiff_t n, ptrdiff_t room, float scale) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    __m512 most = none, sum = _mm512_setzero_ps();
    for (ptrdiff_t i = 0; i < n; i += LANES)
        most = _mm512_max_ps(most, _mm512_mask_loadu_ps(none, first_lanes(n - i), row + i));
    const __m512 factor = _mm512_set1_ps(scale);
    const __m512 shift = _mm512_set1_ps(_mm512_reduce_max_ps(most) * scale);
    for (ptrdiff_t i = 0; i < room; i += LANES) {
        ptrdiff_t left = n - i;
        __mmask16 lanes = left > 0 ? first_lanes(left) : 0;
        __m512 e =
            _mm512_maskz_mov_ps(lanes, exp16(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(lanes, row + i), factor, shift)));
        sum = _mm512_add_ps(sum, e);
        _mm512_storeu_ps(row + i, e);
    }
    return 1.0f / _mm512_reduce_add_ps(sum);
}

#endif

/* Arithmetic on rows of floats, sixteen at a time: exp, GELU, soft-max, layer norm, rounding to unsigned bytes. */
#ifndef ONEBAR_ROWS_H
#define ONEBAR_ROWS_H

#include "lanes.h"

#include <math.h>

/* exp(x) to a few units in the last place, for x up to 0; 0 below -87, where the result would be denormal. */
INLINE floats exp16(floats x) {
    const floats log2e = same(1.44269504088896341f);
    const floats ln2_high = same(0.693359375f), ln2_low = same(-2.12194440e-4f);
    floats n = nearest_whole(multiply(x, log2e));
    floats r = subtract_product(n, ln2_low, subtract_product(n, ln2_high, x));
    /* The Taylor series of exp on [-ln 2 / 2, ln 2 / 2]; the term left out is below 6e-8. */
    floats p = same(1.0f / 5040);
    p = multiply_add(p, r, same(1.0f / 720));
    p = multiply_add(p, r, same(1.0f / 120));
    p = multiply_add(p, r, same(1.0f / 24));
    p = multiply_add(p, r, same(1.0f / 6));
    p = multiply_add(p, r, same(0.5f));
    p = multiply_add(p, r, same(1.0f));
    p = multiply_add(p, r, same(1.0f));
    return scaled_unless_below(p, n, x, -87.0f); /* NaN is passed on */
}

/* x * Phi(x), the GELU of BART. erf by Abramowitz and Stegun 7.1.26, whose error is at most 1.5e-7. */
INLINE floats gelu16(floats x) {
    floats z = multiply(magnitude(x), same(0.70710678118654752f));
    floats t = divide(same(1.0f), multiply_add(z, same(0.3275911f), same(1.0f)));
    floats p = same(1.061405429f);
    p = multiply_add(p, t, same(-1.453152027f));
    p = multiply_add(p, t, same(1.421413741f));
    p = multiply_add(p, t, same(-0.284496736f));
    p = multiply_add(p, t, same(0.254829592f));
    /* tail = 1 - erf(z); x * Phi(x) = max(x, 0) - |x| * tail / 2 on both sides of zero. */
    floats tail = multiply(multiply(p, t), exp16(subtract(zeros(), multiply(z, z))));
    floats positive = larger(zeros(), x); /* NaN where x is */
    return subtract_product(multiply(magnitude(x), same(0.5f)), tail, positive);
}

/* How floats become unsigned bytes: byte = round(x * inverse) + zero, saturated. */
typedef struct {
    float inverse;
    int zero;
} Rounding;

INLINE void store_bytes(uint8_t* to, floats x, Rounding how, ptrdiff_t left) {
    /* Rounded before the zero point is added, as ONNX's QuantizeLinear does. */
    store_rounded(left, to, multiply(x, same(how.inverse)), how.zero);
}

/* Round n floats to bytes. */
static void round_row(const float* from, uint8_t* to, ptrdiff_t n, Rounding how) {
    for (ptrdiff_t i = 0; i < n; i += LANES) store_bytes(to + i, load_first(n - i, from + i), how, n - i);
}

/* Widen the range *low .. *high to include n floats. */
static void widen_range(const float* row, ptrdiff_t n, float* low, float* high) {
    floats least = same(*low), most = same(*high);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        floats x = load_first(n - i, row + i);
        least = smaller(least, x);
        most = larger(most, x);
    }
    *low = smallest_of(least);
    *high = largest_of(most);
}

/* Layer norm of n floats; `to` may be `from`. */
static void normalize_row(const float* from, float* to, ptrdiff_t n, const float* scale, const float* bias,
                          float epsilon) {
    floats sum = zeros(), squares = zeros();
    for (ptrdiff_t i = 0; i < n; i += LANES) sum = add(sum, load_first(n - i, from + i));
    const floats mean = same(sum_of(sum) / (float)n);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        floats off = first_of(n - i, subtract(load_first(n - i, from + i), mean));
        squares = multiply_add(off, off, squares);
    }
    const floats inverse = same(1.0f / sqrtf(sum_of(squares) / (float)n + epsilon));
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        floats off = multiply(subtract(load_first(n - i, from + i), mean), inverse);
        store_first(n - i, to + i, multiply_add(off, load_first(n - i, scale + i), load_first(n - i, bias + i)));
    }
}

/* n floats become exp(scale * (x - largest)), in place; `room` floats, a multiple of 16, are written, zeros past n.

   Returns 1 / their sum, by which they must be multiplied to be the soft-max. */
static float exp_row(float* row, ptrdiff_t n, ptrdiff_t room, float scale) {
    const floats none = same(-INFINITY);
    floats most = none, sum = zeros();
    for (ptrdiff_t i = 0; i < n; i += LANES) most = larger(most, load_first_or(none, n - i, row + i));
    const floats factor = same(scale), shift = same(largest_of(most) * scale);
    for (ptrdiff_t i = 0; i < room; i += LANES) {
        floats e = first_of(n - i, exp16(multiply_subtract(load_first(n - i, row + i), factor, shift)));
        sum = add(sum, e);
        store(row + i, e);
    }
    return 1.0f / sum_of(sum);
}

#endif

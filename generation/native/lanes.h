/* Sixteen floats or whole numbers at a time: one AVX-512 register, or two of AVX2. The rest of the kernels is written
   with these functions. `left` is a number of lanes: all of them from sixteen on, none up to zero. */
#ifndef ONEBAR_LANES_H
#define ONEBAR_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__

typedef __m512 floats;
typedef __m512i ints;

INLINE __mmask16 first_lanes(ptrdiff_t left) {
    return left >= LANES ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
}

INLINE floats same(float x) { return _mm512_set1_ps(x); }
INLINE floats zeros(void) { return _mm512_setzero_ps(); }
INLINE floats load(const float* from) { return _mm512_loadu_ps(from); }
INLINE void store(float* to, floats x) { _mm512_storeu_ps(to, x); }
INLINE floats load_first(ptrdiff_t left, const float* from) { return _mm512_maskz_loadu_ps(first_lanes(left), from); }
INLINE floats load_first_or(floats other, ptrdiff_t left, const float* from) {
    return _mm512_mask_loadu_ps(other, first_lanes(left), from);
}
INLINE void store_first(ptrdiff_t left, float* to, floats x) { _mm512_mask_storeu_ps(to, first_lanes(left), x); }
INLINE floats first_of(ptrdiff_t left, floats x) { return _mm512_maskz_mov_ps(first_lanes(left), x); }

INLINE floats add(floats a, floats b) { return _mm512_add_ps(a, b); }
INLINE floats subtract(floats a, floats b) { return _mm512_sub_ps(a, b); }
INLINE floats multiply(floats a, floats b) { return _mm512_mul_ps(a, b); }
INLINE floats divide(floats a, floats b) { return _mm512_div_ps(a, b); }
INLINE floats multiply_add(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
INLINE floats multiply_subtract(floats a, floats b, floats c) { return _mm512_fmsub_ps(a, b, c); }
INLINE floats subtract_product(floats a, floats b, floats c) { return _mm512_fnmadd_ps(a, b, c); } /* c - a * b */
/* The second operand where one is NaN. */
INLINE floats larger(floats a, floats b) { return _mm512_max_ps(a, b); }
INLINE floats smaller(floats a, floats b) { return _mm512_min_ps(a, b); }
INLINE floats magnitude(floats x) { return _mm512_abs_ps(x); }
INLINE floats nearest_whole(floats x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* y * 2 to the n, and 0 where x is below the bar; NaN is not. */
INLINE floats scaled_unless_below(floats y, floats n, floats x, float bar) {
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, same(bar), _CMP_NLT_UQ), y, n);
}
INLINE float sum_of(floats x) { return _mm512_reduce_add_ps(x); }
INLINE float largest_of(floats x) { return _mm512_reduce_max_ps(x); }
INLINE float smallest_of(floats x) { return _mm512_reduce_min_ps(x); }
/* A bit for each lane that is above the bar. */
INLINE unsigned above(floats x, float bar) { return _mm512_cmp_ps_mask(x, same(bar), _CMP_GT_OQ); }

INLINE ints same_int(int32_t x) { return _mm512_set1_epi32(x); }
INLINE ints load_ints(const int32_t* from) { return _mm512_loadu_si512(from); }
INLINE ints multiply_ints(ints a, ints b) { return _mm512_mullo_epi32(a, b); }
INLINE floats to_floats(ints x) { return _mm512_cvtepi32_ps(x); }
INLINE floats load_signed_bytes(ptrdiff_t left, const int8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(left), from)));
}
/* round(x) + zero, saturated to a byte. */
INLINE void store_rounded(ptrdiff_t left, uint8_t* to, floats x, int zero) {
    const __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(zero));
    _mm_mask_storeu_epi8(to, first_lanes(left),
                         _mm512_cvtusepi32_epi8(_mm512_max_epi32(whole, _mm512_setzero_si512())));
}

#else

typedef struct {
    __m256 low, high;
} floats;
typedef struct {
    __m256i low, high;
} ints;

#define BOTH(type, of_low, of_high)    \
    {                                  \
        type both = {of_low, of_high}; \
        return both;                   \
    }

INLINE floats same(float x) BOTH(floats, _mm256_set1_ps(x), _mm256_set1_ps(x)) INLINE floats zeros(void) {
    return same(0.0f);
}
INLINE floats load(const float* from) BOTH(floats, _mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)) INLINE
    void store(float* to, floats x) {
    _mm256_storeu_ps(to, x.low);
    _mm256_storeu_ps(to + 8, x.high);
}
INLINE floats load_first_or(floats other, ptrdiff_t left, const float* from) {
    if (left >= LANES) return load(from);
    float some[LANES];
    store(some, other);
    if (left > 0) memcpy(some, from, (size_t)left * sizeof(float));
    return load(some);
}
INLINE floats load_first(ptrdiff_t left, const float* from) { return load_first_or(zeros(), left, from); }
INLINE void store_first(ptrdiff_t left, float* to, floats x) {
    if (left >= LANES) {
        store(to, x);
        return;
    }
    float all[LANES];
    store(all, x);
    if (left > 0) memcpy(to, all, (size_t)left * sizeof(float));
}
INLINE floats first_of(ptrdiff_t left, floats x) {
    if (left >= LANES) return x;
    float all[LANES];
    store(all, x);
    return load_first(left, all);
}

INLINE floats add(floats a, floats b)
    BOTH(floats, _mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)) INLINE floats subtract(floats a, floats b)
        BOTH(floats, _mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)) INLINE floats
    multiply(floats a, floats b) BOTH(floats, _mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)) INLINE floats
    divide(floats a, floats b) BOTH(floats, _mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)) INLINE floats
    multiply_add(floats a, floats b, floats c)
        BOTH(floats, _mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)) INLINE floats
    multiply_subtract(floats a, floats b, floats c)
        BOTH(floats, _mm256_fmsub_ps(a.low, b.low, c.low), _mm256_fmsub_ps(a.high, b.high, c.high)) INLINE floats
    subtract_product(floats a, floats b, floats c)
        BOTH(floats, _mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)) INLINE floats
    larger(floats a, floats b) BOTH(floats, _mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)) INLINE floats
    smaller(floats a, floats b) BOTH(floats, _mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)) INLINE floats
    magnitude(floats x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    BOTH(floats, _mm256_andnot_ps(sign, x.low), _mm256_andnot_ps(sign, x.high))
}
INLINE __m256 nearest_whole8(__m256 x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE floats nearest_whole(floats x) BOTH(floats, nearest_whole8(x.low), nearest_whole8(x.high))
    /* The whole number n is added to the exponent of y; enough for exp of numbers up to 0. */
    INLINE __m256 scaled8(__m256 y, __m256 n, __m256 x, __m256 bar) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    const __m256 scaled = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), exponent));
    return _mm256_and_ps(scaled, _mm256_cmp_ps(x, bar, _CMP_NLT_UQ));
}
INLINE floats scaled_unless_below(floats y, floats n, floats x, float bar) {
    const __m256 bars = _mm256_set1_ps(bar);
    BOTH(floats, scaled8(y.low, n.low, x.low, bars), scaled8(y.high, n.high, x.high, bars))
}
#define REDUCE(name, of4, of1)                            \
    INLINE float name##4(__m128 x) {                      \
        x = of4(x, _mm_movehl_ps(x, x));                  \
        return _mm_cvtss_f32(of1(x, _mm_movehdup_ps(x))); \
    }                                                     \
    INLINE float name##8(__m256 x) { return name##4(of4(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1))); }
REDUCE(sum, _mm_add_ps, _mm_add_ss)
REDUCE(largest, _mm_max_ps, _mm_max_ss)
REDUCE(smallest, _mm_min_ps, _mm_min_ss)
INLINE float sum_of(floats x) { return sum8(_mm256_add_ps(x.low, x.high)); }
INLINE float largest_of(floats x) { return largest8(_mm256_max_ps(x.low, x.high)); }
INLINE float smallest_of(floats x) { return smallest8(_mm256_min_ps(x.low, x.high)); }
INLINE unsigned above(floats x, float bar) {
    const __m256 bars = _mm256_set1_ps(bar);
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.low, bars, _CMP_GT_OQ)) |
           (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.high, bars, _CMP_GT_OQ)) << 8;
}

INLINE ints same_int(int32_t x) BOTH(ints, _mm256_set1_epi32(x), _mm256_set1_epi32(x)) INLINE ints
    load_ints(const int32_t* from)
        BOTH(ints, _mm256_loadu_si256((const __m256i*)from), _mm256_loadu_si256((const __m256i*)(from + 8))) INLINE ints
    multiply_ints(ints a, ints b)
        BOTH(ints, _mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)) INLINE floats to_floats(ints x)
            BOTH(floats, _mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)) INLINE floats
    load_signed_bytes(ptrdiff_t left, const int8_t* from) {
    int8_t some[LANES] = {0};
    if (left < LANES) {
        if (left > 0) memcpy(some, from, (size_t)left);
        from = some;
    }
    const __m128i bytes = _mm_loadu_si128((const __m128i*)from);
    const ints whole = {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
    return to_floats(whole);
}
INLINE void store_rounded(ptrdiff_t left, uint8_t* to, floats x, int zero) {
    const __m256i zeros8 = _mm256_set1_epi32(zero);
    const __m256i low = _mm256_add_epi32(_mm256_cvtps_epi32(x.low), zeros8);
    const __m256i high = _mm256_add_epi32(_mm256_cvtps_epi32(x.high), zeros8);
    /* Both saturate; they work in halves of a register, so the quarters are put in order between them. */
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    if (left >= LANES) {
        _mm_storeu_si128((__m128i*)to, bytes);
        return;
    }
    uint8_t all[LANES];
    _mm_storeu_si128((__m128i*)all, bytes);
    if (left > 0) memcpy(to, all, (size_t)left);
}

#endif
#endif

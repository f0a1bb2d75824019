/* What becomes of the sums of a product. */
#ifndef ONEBAR_OUTPUT_H
#define ONEBAR_OUTPUT_H

#include "kernels.h"
#include "rows.h"

/* Where the sums go. The first of these that is set: bytes; floats, added to a residual; floats. */
typedef struct {
    float* floats; /* [rows, floats_stride] */
    ptrdiff_t floats_stride;
    const float* residual; /* like floats, or NULL */
    int gelu;
    uint8_t* bytes; /* [rows, bytes_stride], or NULL */
    ptrdiff_t bytes_stride;
    Rounding rounding; /* of bytes */
} Output;

INLINE void finish(ints sums, floats factor, floats bias, const Output* out, ptrdiff_t row, ptrdiff_t column,
                   ptrdiff_t left) {
    if (left <= 0) return;
    floats x = multiply_add(to_floats(sums), factor, bias);
    if (out->gelu) x = gelu16(x);
    if (out->bytes) {
        store_bytes(out->bytes + row * out->bytes_stride + column, x, out->rounding, left);
        return;
    }
    ptrdiff_t place = row * out->floats_stride + column;
    if (out->residual) x = add(x, load_first(left, out->residual + place));
    store_first(left, out->floats + place, x);
}

#endif

/* What module.c calls. Nothing here checks its arguments: module.c does. */
#ifndef ONEBAR_KERNELS_H
#define ONEBAR_KERNELS_H

#include "model.h"

/* Outputs of a packed layer are filled up with zeros to a multiple of this. */
#define PANEL 32

/* Inputs are multiplied in groups of so many; their number is a multiple of it. */
#define GROUP 4

/* Pack weights [inputs, outputs] as product.h needs them, and sum each column. Both results have room for whole panels.
 */
void onebar_pack(const int8_t* weight, ptrdiff_t inputs, ptrdiff_t outputs, int8_t* packed, int32_t* column_sums);

/* Encode a source; return the bytes of scratch memory that were used. With scratch NULL, only count them.

   cross: key, value [heads, length, head_dim] of each decoder layer, written. */
size_t onebar_encode(const Encoder* model, const int64_t* ids, ptrdiff_t length, float* const* cross, char* scratch);

/* Take a decoder step; return the bytes of scratch memory that were used. With scratch NULL, only count them. */
size_t onebar_step(const Decoder* model, const Step* step, char* scratch);

#endif

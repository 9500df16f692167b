//===- Pack.h - operands copied to where they are read best -----*- C++ -*-===//

#ifndef GRADUS_GPU_PACK_H
#define GRADUS_GPU_PACK_H

#include "Product.h"

namespace gradus::gpu {

/// An operand in memory of its own: a line along the depth for each row and
/// batch, as whole chunks of 16 bytes, with zeros behind the last element.
struct PackedOperand {
  enum Form {
    Converted, ///< to `element`, rounded to the nearest
    Tf32,      ///< f32, rounded to the nearest number of tf32
    /// f32 as its high and low parts of tf32: a line is three segments, so that
    /// the sum of three products is one sum that is three times as deep.
    Split,
  };
  Factor operand;
  Form form;
  Type element;
  int64_t lines, segment; ///< of so many elements

  PackedOperand(const Product &p, Factor operand, Form form, Type element);

  int64_t pitch() const { return form == Split ? 3 * segment : segment; }
  /// The product with the packed operand, whose buffer is `buffer` or still to
  /// be made. All that are split must be applied.
  Product appliedTo(Product p, Value buffer = {}) const;
  /// Adds the kernel that packs an operand of `p` to `kernels`, and its launch
  /// at `host`; returns the buffer.
  Value emit(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
             const Product &p) const;
};

} // namespace gradus::gpu

#endif // GRADUS_GPU_PACK_H

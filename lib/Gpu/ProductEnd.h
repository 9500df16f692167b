//===- ProductEnd.h - what happens to a product's sums ----------*- C++ -*-===//

#ifndef GRADUS_GPU_PRODUCTEND_H
#define GRADUS_GPU_PRODUCTEND_H

#include "Tiles.h"

namespace gradus::gpu {

/// Has a product's sums added to what is there, does what follows with them,
/// and stores the results.
class ProductEnd {
public:
  ProductEnd(const Product &p, const Epilogue &epilogue)
      : p(p), op(p.op), follower(epilogue.follower), epilogue(epilogue) {}

  /// Is each run of so many columns along one loop? Then `finish` takes it.
  bool areInLine(int64_t count);
  /// Of one column, or neighbours from a multiple of their number on.
  void finish(Kernel &k, const AxisIndex &batch, const AxisIndex &row,
              const AxisIndex &column, ValueRange sums);

private:
  /// Where the op's loops are at the first of `count` neighbours, and how far
  /// behind it another one is along the columns' innermost loop.
  struct Position {
    SmallVector<Value> loops;
    int64_t count, behind;
  };
  struct Stored {
    Element element;
    Value value;
  };
  SmallVector<Stored> finish(Kernel &k, const Position &at, Element result,
                             Value sum);
  void follow(Kernel &k, const Position &at, Value sum,
              SmallVectorImpl<Stored> &stored);
  int64_t multipleOfPlaces(int64_t count) const;

  const Product &p;
  mlir::linalg::GenericOp op, follower;
  const Epilogue &epilogue;
};

} // namespace gradus::gpu

#endif // GRADUS_GPU_PRODUCTEND_H

//===- Kernel.h - a GPU kernel under construction ---------------*- C++ -*-===//

#ifndef GRADUS_GPU_KERNEL_H
#define GRADUS_GPU_KERNEL_H

#include "gradus/LLVM.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace gradus::gpu {

inline constexpr int64_t warpSize = 32;

/// Arithmetic on indices that folds what is known.
class IndexBuilder {
public:
  explicit IndexBuilder(ImplicitLocOpBuilder &b) : b(b) {}

  Value number(int64_t n) { return mlir::arith::ConstantIndexOp::create(b, n); }
  Value add(Value x, Value y) {
    return b.createOrFold<mlir::arith::AddIOp>(x, y);
  }
  Value add(Value x, int64_t n) { return n == 0 ? x : add(x, number(n)); }
  Value mul(Value x, int64_t n) {
    return b.createOrFold<mlir::arith::MulIOp>(x, number(n));
  }
  Value div(Value x, int64_t n) {
    return b.createOrFold<mlir::arith::DivUIOp>(x, number(n));
  }
  Value rem(Value x, int64_t n) {
    return b.createOrFold<mlir::arith::RemUIOp>(x, number(n));
  }
  Value below(Value x, int64_t n) {
    return b.createOrFold<mlir::arith::CmpIOp>(mlir::arith::CmpIPredicate::ult,
                                               x, number(n));
  }
  Value below(Value x, Value y) {
    return mlir::arith::CmpIOp::create(b, mlir::arith::CmpIPredicate::ult, x,
                                       y);
  }
  /// Both, where one may be missing.
  Value both(Value x, Value y) {
    if (!x || !y)
      return x ? x : y;
    return mlir::arith::AndIOp::create(b, x, y);
  }
  /// The indices of loops of these sizes, the last one the fastest.
  SmallVector<Value> takenApart(Value flat, ArrayRef<int64_t> sizes);

private:
  ImplicitLocOpBuilder &b;
};

/// Where the elements of a buffer of the host's code are: steps in elements
/// along each axis, from `offset` plus `start` (an index of the host's, or
/// null) of the buffer that a view is of.
struct Access {
  Value root;
  SmallVector<int64_t> steps;
  int64_t offset = 0;
  Value start;
  Type element;
  /// Lines along a product's depth that end with whole chunks (Pack.h).
  bool isPacked = false;

  /// None if the steps are not known.
  static std::optional<Access> of(Value buffer);
};

/// An element of such a buffer, so many behind a place that is a multiple of
/// some number. LLVM loads and stores neighbours at once if it sees that they
/// are, from the place on, and aligned.
struct Element {
  Access access;
  Value place;
  int64_t behind = 0, multiple = 1;

  /// Of its place, in bytes.
  int64_t alignment() const;
};

/// A buffer of the host's code as a tensor whose boxes are copied at once.
/// Sizes, steps and boxes are counted in elements, the axis along memory first.
struct TensorBoxes {
  Value root;
  Type element;
  int64_t offset;
  SmallVector<int64_t> sizes, steps, box;
};

/// A kernel: a gpu.func, and what the host passes to it. Buffers and numbers of
/// the host's become parameters where they are first asked for.
class Kernel {
public:
  /// `kind` begins its name.
  Kernel(mlir::gpu::GPUModuleOp module, StringRef kind, Location loc,
         int64_t threads);

  /// Where code is added.
  ImplicitLocOpBuilder b;
  IndexBuilder at;

  int64_t threads() const { return threadCount; }
  Value thread() { return threadIndex; }
  /// A block's number along a dimension of the grid.
  Value block(mlir::gpu::Dimension d) {
    return mlir::gpu::BlockIdOp::create(b, d);
  }
  /// How many there are along x.
  Value blocks() {
    return mlir::gpu::GridDimOp::create(b, mlir::gpu::Dimension::x);
  }

  /// A scalar of the host's code: recomputed here if that takes no more than
  /// arithmetic and loads, else a parameter.
  Value inside(Value hostScalar);
  /// What a call says that a length of an op of the host's is.
  Value length(Operation *op, const RuntimeLength &length);
  /// The place of an element in its buffer.
  Value placeOf(const Access &access, ValueRange indices);
  Value load(const Access &access, ValueRange indices) {
    return loadAt(access, placeOf(access, indices));
  }
  void store(const Access &access, ValueRange indices, Value v) {
    storeAt(access, placeOf(access, indices), v);
  }
  Value loadAt(const Access &access, Value place) {
    return load(Element{access, place});
  }
  void storeAt(const Access &access, Value place, Value v) {
    store(Element{access, place}, v);
  }
  Value load(const Element &e);
  void store(const Element &e, Value v);
  /// The pointer to a buffer of the host's code, as one axis.
  Value pointer(Value root);
  /// The map of a tensor that copies of its boxes take.
  Value tensorMap(const TensorBoxes &boxes);
  /// Memory that a block shares, up to `mostStaticShared` in all.
  Value shared(Type element, int64_t elements, int64_t alignment = 16);
  static constexpr int64_t mostStaticShared = 48 * 1024;
  /// The same without that limit: the launch asks for it.
  Value largeShared(Type element, int64_t elements, int64_t alignment);
  /// Where an element is of memory with one axis, a block's or the device's.
  Value address(Value memory, Value place);
  /// A multiprocessor is to have so many blocks at a time: ptxas gives threads
  /// registers for that, and no fewer.
  void mustFit(int64_t blocks);
  /// Says in the generated code how the kernel computes.
  void describe(StringRef plan);
  /// From here on a warpgroup needs few registers, or many, if the block has so
  /// many threads that these cannot have as many as they like.
  void limitRegisters(bool few);
  /// A number that is the same in all lanes of a warp, so that ptxas sees that
  /// it is: descriptors and branches of warpgroups want that.
  Value uniform(Value index);
  Value zero(Type type) {
    return mlir::arith::ConstantOp::create(b, b.getZeroAttr(type));
  }
  /// Of numbers of one type, whole or not.
  Value sum(Value x, Value y);
  void barrier() { mlir::gpu::BarrierOp::create(b); }

  /// Has that many blocks, neighbours along x, run together and see each
  /// other's shared memory.
  void formClusters(int64_t blocks);
  /// A block's number in its cluster.
  Value rankInCluster();
  /// A barrier of the cluster's threads in two steps. It orders no memory:
  /// mbarriers and their fence do.
  void arriveAtCluster();
  void waitForCluster();
  /// What `body` adds is done by threads for which the condition holds; by all
  /// if it is null.
  void when(Value condition, function_ref<void()> body);
  /// The values that `then` gives for threads for which the condition holds, or
  /// all if it is null, and `otherwise` for others.
  using Values = SmallVector<Value>;
  Values choose(Value condition, mlir::TypeRange types,
                function_ref<Values()> then, function_ref<Values()> otherwise);

  /// Ends the kernel, and has the host's code call it at `host`.
  void launch(OpBuilder &host, ArrayRef<int64_t> grid);
  /// The same for blocks that go on, `blocks()` further each time: no more are
  /// launched than run at the same time.
  void launchResident(OpBuilder &host, int64_t mostBlocks);

private:
  /// Null where the element is to be had by its index.
  Value addressBehind(const Element &e);
  Value parameter(Type type, Value hostValue);
  Value newParameter(Type type, Value hostValue);
  void launch(OpBuilder &host, ArrayRef<int64_t> grid, bool isResident);
  /// Of buffers.
  void promiseAlignment();

  mlir::gpu::GPUFuncOp f;
  int64_t threadCount;
  int64_t largeSharedBytes = 0, clusterBlocks = 1;
  Value threadIndex;
  Operation *lastScalar; ///< behind it, scalars of the host's are computed
  mlir::IRMapping known; ///< of the host's values
  llvm::DenseMap<Attribute, Value> sizes; ///< of dimensions with a bound
  SmallVector<Value> hostArgs;
  /// What each tensor map among the parameters is made of; empty: no map.
  SmallVector<Attribute> maps;
};

} // namespace gradus::gpu

#endif // GRADUS_GPU_KERNEL_H

//===- EmitProduct.h - the parts of a product's kernel ----------*- C++ -*-===//

#ifndef GRADUS_GPU_EMITPRODUCT_H
#define GRADUS_GPU_EMITPRODUCT_H

#include "Product.h"

namespace gradus::gpu {

constexpr int64_t warpgroupThreads = 128;

/// Sizes of a kernel: a block computes rows x columns of the result in steps of
/// depth; a thread side x side of it, or a warp warpRows x warpColumns in
/// tensor cores.
struct Tiles {
  int64_t rows, columns, depth, threads;
  int64_t side = 0;
  int64_t warpRows = 0, warpColumns = 0;
};

/// A tile of an operand in shared memory as chunks, each copied at once, in
/// lines: one for each of its rows, with what is deep; or one for each step of
/// depth, with the rows.
///
/// Tensor cores get chunks of 16 bytes, in words of 32 bits. Lines of elements
/// of 16 bits that are not deep are cut every 128 bytes; first come all lines'
/// first pieces. The chunks of a line or piece change places so that what a
/// warp reads at a time lies in different banks; with pieces of 128 bytes, as
/// wgmma wants it ("128B swizzle"). Else memory has elements, and lines are
/// `pitch` of them long.
struct ChunkedTile {
  bool depthInLine = false;
  int64_t lines = 0, chunks = 0; ///< chunks of a line
  int64_t elements = 0;          ///< of a chunk
  int64_t pitch = 0;             ///< 0: chunks change places
  bool readsAlongDepth = false;  ///< neighbouring threads do

  /// What a tile takes, in words, or elements where there is a pitch.
  int64_t size() const { return lines * (pitch ? pitch : chunks * 4); }
  /// Where a chunk begins.
  Value place(Kernel &k, Value line, Value chunk) const;
};
/// How both operands' tiles lie where they are copied in chunks, and how many
/// of each are there at a time.
struct Stages {
  ChunkedTile tiles[2];
  int64_t count = 0;
  int64_t bytes = 0; ///< of one

  /// Of chunks for tensor cores, in all.
  int64_t words() const {
    return count * (tiles[Lhs].size() + tiles[Rhs].size());
  }
};

/// What one thread multiplies, and where its sums belong. Without stages,
/// `store` is how tiles get to shared memory.
class Multiplier {
public:
  virtual ~Multiplier() = default;
  /// Sums to begin with.
  virtual SmallVector<Value> zeros(Kernel &k) const = 0;
  /// A tile's elements in shared memory: makes the memory for both tiles.
  virtual void allocate(Kernel &k) = 0;
  /// Stores an element, or a pair of neighbours along the depth, of a tile.
  virtual void store(Kernel &k, Factor tile, Value row, Value depth,
                     ArrayRef<Value> elements) = 0;
  /// Neighbours along the depth that `store` takes at a time.
  virtual int64_t depthAtATime() const { return 1; }
  /// `stage`: which tiles, where there are stages.
  virtual SmallVector<Value> multiply(Kernel &k, ValueRange sums,
                                      Value stage = {}) = 0;
  /// Of how many stages products may still be under way when `settle` has been
  /// called after `multiply`.
  virtual int64_t stagesInFlight() const { return 0; }
  /// What must be done before the barrier that hands a stage over.
  virtual void beforeBarrier(Kernel &k) {}
  /// Waits until products of at most that many stages are under way.
  virtual SmallVector<Value> settle(Kernel &k, ValueRange sums,
                                    int64_t stages) {
    return SmallVector<Value>(sums);
  }
  /// The memory of an operand's tiles.
  virtual Value memory(Factor operand) const = 0;
  /// Calls visit(row, column, sums) for all sums, those of neighbouring columns
  /// together, the first column a multiple of how many they are; rows and
  /// columns are counted from the tile's first. Lanes exchange sums for more
  /// neighbours if those can be `stored` together.
  virtual void forEachSum(
      Kernel &k, ValueRange sums, int64_t stored,
      function_ref<void(Value row, Value column, ValueRange sums)> visit) = 0;
  virtual Type sumType() const = 0;
};

/// The nearest number of tf32 to one of f32, as f32.
Value roundedToTf32(Kernel &k, Value v);
/// A number of f32 as the sum of one of tf32 and a rest, both as f32.
std::pair<Value, Value> splitForTf32(Kernel &k, Value v);

/// Multiplies as the op's body says, in registers.
std::unique_ptr<Multiplier>
createScalarMultiplier(const Product &p, const Tiles &t,
                       std::optional<Stages> stages);
/// f64 in tensor cores of sm_80 and later (mma.sync).
std::unique_ptr<Multiplier>
createDoubleMultiplier(const Product &p, const Tiles &t,
                       std::optional<Stages> stages);
/// In tensor cores of sm_90a, by warpgroups (wgmma).
std::unique_ptr<Multiplier> createWarpgroupMultiplier(const Product &p,
                                                      const Tiles &t,
                                                      const Stages &stages);
/// In tensor cores of sm_80 and later (mma.sync).
std::unique_ptr<Multiplier>
createTensorMultiplier(const Product &p, const Tiles &t, Precision precision,
                       std::optional<Stages> stages);

} // namespace gradus::gpu

#endif // GRADUS_GPU_EMITPRODUCT_H

//===- Contraction.h - a sum of products and how to block it ----*- C++ -*-===//

#ifndef GRADUS_CPU_CONTRACTION_H
#define GRADUS_CPU_CONTRACTION_H

#include "EmitLoops.h"
#include "LinearForm.h"
#include "Panels.h"
#include "Split.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {

/// One operand on buffers: element i of the flat buffer, where
/// i = start + sum over loops d of step[d] * index[d].
struct LinearAccess : LinearForm {
  Value buffer;
  bool isLocal = false; ///< it holds one row of a group, whichever is computed

  /// How an op's loops move over an operand; none if it is no buffer, or not in
  /// a linear way.
  static std::optional<LinearAccess> of(mlir::OpOperand &operand);
};

/// What the code generator knows of the machine.
struct RegisterFile {
  unsigned vectorBits, registers;
  DotInstructions dots;
  bool streams = false; ///< it writes past the caches, if asked
};

/// The row, or block of rows, that an op of a group is emitted for.
struct RowPlace {
  SmallVector<std::pair<unsigned, Value>> loops; ///< with their first indices
  int64_t block = 1; ///< indices of the last of them
  LocalBuffers buffers;
};

/// What a loop runs over if not all of it: both ends are multiples of `unit`,
/// or where the loop ends.
struct Extent {
  unsigned loop;
  Value low, high;
  int64_t unit;
};

/// Steps of a reduction loop at which there is nothing to add: those for which
/// `place`, of that loop and of parallel ones, is not in [low, high).
struct Clip {
  unsigned loop;
  LinearForm place;
  int64_t low, high;
  Value isOff = {}; ///< nothing is left out then, if that is known when it runs
};

/// What of a row's loop is needed: from the row's index less `low` to that plus
/// `high` (lib/Lowering/Reach.h), if not all.
struct Slant {
  unsigned loop, row;
  int64_t low, high;
  Value isOff; ///< all is needed then; null if it never is
};

/// From which step to which one each reduction loop is to run, if not over all
/// of its block.
using StepRanges = SmallVector<std::optional<std::pair<Value, Value>>>;

/// A buffer in which all of a right-hand side lies in panels.
struct RhsPanels {
  Value buffer;
  int64_t columns; ///< of a panel
  Words words;
};

/// out[p] += lhs[p, r] * rhs[p, r] on buffers, one loop of it along vectors.
///
/// Loop `column` is contiguous in `out`, absent from `lhs`; loop `row`, if
/// there is one, is absent from `rhs`. A tile of rows x columns of the result
/// stays in registers while the reduction loops run.
struct Contraction {
  LinearAccess lhs, rhs, out;
  SmallVector<int64_t> size; ///< of each loop; of those of the row: see there
  RuntimeLengths lengths;    ///< where `size` is only a bound
  SmallVector<Clip> clips;   ///< that are worth leaving out
  std::optional<Extent> extent; ///< of columns, rows, or a single reduction
  SmallVector<std::pair<unsigned, Value>> rowLoops;
  unsigned column;
  std::optional<unsigned> row;
  SmallVector<unsigned> outer;      ///< other parallel loops that move rhs
  SmallVector<unsigned> repeats;    ///< other parallel loops that do not
  SmallVector<unsigned> reductions; ///< outermost first
  Type element; ///< of the result and the sums; operands may be narrower
  DotInstructions dots;  ///< that the machine has
  int64_t lanes;         ///< elements in a vector
  int64_t panel = 0;     ///< columns of the panels that rhs lies in already;
                         ///< 0 if it does not
  bool constant = false; ///< copying rhs to panels takes no time
  Words words;           ///< what is multiplied at once; no part changes it

  /// The contraction that `op` is, or none if it is none or would gain nothing
  /// from vectors along a loop.
  static std::optional<Contraction> match(mlir::linalg::GenericOp op,
                                          const RegisterFile &machine,
                                          const RowPlace &row);

  /// Has `rhs` lie in panels of so many columns, or in other ones.
  void readPanels(int64_t columns);
  void readPanels(const RhsPanels &panels);
  /// Can steps of a loop be left out in some tiles?
  bool canClip() const {
    return !words.tiles && !words.flips && words.elements == 1;
  }
  /// Takes the clips of an operand that is zero outside a box.
  void addClips(mlir::OpOperand &operand, ArrayRef<AxisRange> box);
  /// Leaves out what is in none of the rows, or makes zeros of it.
  void addClip(const Slant &slant);
  bool isBound(unsigned loop) const {
    return loop < lengths.size() && lengths[loop];
  }
  int64_t rows() const { return row ? size[*row] : 1; }
  bool isNarrow() const {
    return elementOf(lhs.buffer) != element || elementOf(rhs.buffer) != element;
  }
  int64_t columns() const { return size[column]; }
  /// How often each element of rhs is read.
  int64_t uses() const {
    int64_t n = rows();
    for (unsigned d : repeats)
      n *= size[d];
    return n;
  }
  int64_t depth() const {
    int64_t n = 1;
    for (unsigned r : reductions)
      n *= size[r];
    return n;
  }
};

/// What is known of an argument of a kernel: its attribute `form`, one of
/// lowering::panelsAttr, winogradAttr and boxAttr; null if it has none.
mlir::DenseI64ArrayAttr constantForm(Value buffer, StringRef form);

/// Words are read in place if their elements lie there as they are, and no word
/// or tile of them is to be filled up.
bool liesInWords(const LinearAccess &access, unsigned loop, int64_t size,
                 const Words &words);

/// How large the tiles are, and whether the right-hand side is copied.
struct Blocking {
  int64_t tileRows, tileVectors;               ///< in registers
  int64_t blockRows, blockColumns, blockDepth; ///< in caches
  unsigned blockLoop = 0;  ///< of a sum's loops, the one that is cut; those
                           ///< before it run step by step, those behind whole
  Words words;             ///< of the copies
  bool pack;               ///< rhs copied to panels of tileVectors vectors
  bool packsOnUse = false; ///< by the tiles that read it first
  bool packLhs;            ///< lhs copied to panels of rows
  bool streams = false;    ///< the result is written past the caches

  /// `whole`: of the product that `c` is a thread's part of. In which order
  /// products are added up is for the whole to say.
  static Blocking choose(const Contraction &c, const RegisterFile &machine,
                         bool hasEpilogue = false,
                         const Blocking *whole = nullptr);

private:
  void chooseNest(const Contraction &c);
  void chooseVectors(const Contraction &c, const RegisterFile &machine);
  void chooseTiles(const Contraction &c);
  int64_t chooseDepth(const Contraction &c) const;
  void chooseCaches(const Contraction &c);
  bool chooseStreams(const Contraction &c) const;
};

/// What runs on each block of a contraction's result once that is complete.
struct Epilogue {
  /// `ranges`: of the contraction's loops, its reductions left out. `tile`: the
  /// block by itself, one axis a row, one a column; null if the result lies in
  /// its own buffer.
  function_ref<void(ArrayRef<LoopRange> ranges, Value tile)> emit;
  /// Nothing else reads the result: a block at a time is enough.
  bool ownsResult;
  /// What it reads and writes besides, by the contraction's loops.
  SmallVector<LinearAccess> others;
};

/// The largest part of at most `most` that divides `size`, if that is no less
/// than half of `most`; else one of few and even parts. A shorter last part is
/// code of its own.
int64_t evenPart(int64_t size, int64_t most);

/// Do threads that share rhs copy it to panels together, before they multiply?
bool sharesPanels(const Contraction &c, const Blocking &blocking);

/// The loop that `threads` threads share best and its parts; none if it is not
/// worth it.
std::optional<std::pair<unsigned, Split>>
splitContraction(const Contraction &c, const RegisterFile &machine,
                 int64_t threads);

/// Copies all of rhs to panels as wide as `blocking` says at the insertion
/// point; so many threads share that.
RhsPanels emitPanels(ImplicitLocOpBuilder &b, const Contraction &c,
                     const Blocking &blocking, int64_t threads = 1);

/// Emits the loops at the insertion point. `startsAtZero`: the result's old
/// value is not to be read. `blocking` fits a part's sizes if there is a split.
void emitContraction(ImplicitLocOpBuilder &b, const Contraction &c,
                     const Blocking &blocking, bool startsAtZero,
                     const std::optional<std::pair<unsigned, Split>> &split,
                     const Epilogue *epilogue = nullptr);

} // namespace gradus

#endif // GRADUS_CPU_CONTRACTION_H

//===- Panels.h - operands copied to where they are read in order -*- C++ -*-=//
//
// A panel holds lines (rows of lhs, columns of rhs) side by side: for each step
// of the reduction one word of each line. A word is an element, in the type
// that products are added up in; or two elements that follow each other along
// the reduction, in 32 bits, where the processor multiplies such pairs.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_CPU_PANELS_H
#define GRADUS_CPU_PANELS_H

#include "LoopBuilder.h"

namespace gradus {

/// What the processor multiplies in pairs, and adds to sums of 32 bits.
struct PairInstructions {
  bool i16 = false;    ///< vpmaddwd
  bool i16Add = false; ///< vpdpwssd: and adds
  bool bf16 = false;   ///< vdpbf16ps
};

/// What the words of a product's panels are, and how they are multiplied.
struct Words {
  Type sum;  ///< what products are added up in
  Type pair; ///< of the two elements of a word; null if a word is an element

  int64_t elements() const { return pair ? 2 : 1; }
  /// Steps of the reduction that `depth` elements are.
  int64_t steps(int64_t depth) const {
    return llvm::divideCeil(depth, elements());
  }
  Type type() const {
    return pair ? IntegerType::get(sum.getContext(), 32) : sum;
  }
  /// Pairs of operands of `element`, if the processor multiplies them.
  static Words pairsOf(Type element, Type sum, const PairInstructions &has);
};

/// Lines in a flat buffer: element k of line i lies at across * i + along * k.
struct Lines {
  Value buffer;
  int64_t across, along;
};

class PanelBuilder : public LoopBuilder {
public:
  PanelBuilder(ImplicitLocOpBuilder &b, int64_t lanes, Words words,
               const PairInstructions &has)
      : LoopBuilder(b, lanes), words(words), has(has) {}

  Value allocate(int64_t lines, int64_t depth);
  /// Copies `count` lines of `depth` elements, from `from` on, to `panel` from
  /// `to` on; the words of one step take `pitch` words there.
  void copy(const Lines &lines, Value from, Value panel, Value to,
            int64_t count, int64_t depth, int64_t pitch);
  /// The pair of elements at `at` and after it, as a word.
  Value pairAt(Value buffer, Value at);
  /// sum + x * y on vectors of words.
  Value multiplyAdd(Value x, Value y, Value sum);

  const Words words;

private:
  Value lineWord(const Lines &lines, Value at, bool whole);
  Value acrossLines(const Lines &lines, Value at, Value mask, bool whole);
  Value alongLine(const Lines &lines, Value at);
  void transpose(SmallVector<Value> &rows);
  Value call(StringRef intrinsic, mlir::VectorType result, ValueRange operands);

  const PairInstructions has;
};

} // namespace gradus

#endif // GRADUS_CPU_PANELS_H

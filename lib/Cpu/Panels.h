//===- Panels.h - operands copied to where they are read in order -*- C++ -*-=//
//
// A panel holds lines (rows of lhs, columns of rhs): for each step of the
// reduction one word of each line. A word is an element, in the type that
// products are added up in; or, where the processor multiplies several elements
// at a time, those that follow each other along the reduction, in 32 bits.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_CPU_PANELS_H
#define GRADUS_CPU_PANELS_H

#include "LoopBuilder.h"

namespace gradus {

/// What the processor multiplies words of several elements with, and adds to
/// sums of 32 bits.
struct DotInstructions {
  bool i16 = false;       ///< vpmaddwd: two i16
  bool i16Add = false;    ///< vpdpwssd: and adds
  bool bf16 = false;      ///< vdpbf16ps: two bf16
  bool i8Quads = false;   ///< vpdpbusd: four unsigned by four signed, and adds
  bool i8Tiles = false;   ///< tdpbssd: four i8, a tile of 16 x 16 words at once
  bool bf16Tiles = false; ///< tdpbf16ps: two bf16, likewise

  static DotInstructions of(ArrayRef<std::string> names);
};

/// What the words of a product's panels are, and how they are multiplied.
struct Words {
  Type sum;                ///< what products are added up in
  Type part;               ///< of a word's elements, where they are several
  int64_t elements = 1;    ///< of a word
  int64_t stepsAtOnce = 1; ///< depths are filled up to these with zeros
  bool tiles = false;      ///< multiplied a tile at a time
  bool flips = false;      ///< elements of rhs lie as unsigned, 128 too high

  /// Steps of the reduction that `depth` elements are.
  int64_t steps(int64_t depth) const {
    return llvm::alignTo(llvm::divideCeil(depth, elements), stepsAtOnce);
  }
  bool operator==(const Words &) const = default;

  Type element() const { return part ? part : sum; }
  Type type() const {
    return part ? IntegerType::get(sum.getContext(), 32) : sum;
  }
  /// Words of one element each.
  static Words single(Type sum) { return {sum, Type()}; }
  /// The most at once that the processor multiplies of `element`; of tiles, if
  /// asked.
  static Words several(Type element, Type sum, const DotInstructions &has,
                       bool tiles);
};

/// Lines in a flat buffer: element k of line i lies at across * i + along * k.
struct Lines {
  Value buffer;
  int64_t across, along;
};

/// Where their words go: word s of line i to `first` + across * i + along * s.
/// One of the two is 1.
struct Panel {
  Value buffer, first;
  int64_t across, along;
  bool flips = false; ///< each element's highest bit
};

class PanelBuilder : public LoopBuilder {
public:
  PanelBuilder(ImplicitLocOpBuilder &b, int64_t lanes, Words words)
      : LoopBuilder(b, lanes), words(words) {}

  Value allocate(int64_t lines, int64_t depth);
  /// Copies `count` lines of `depth` elements, from `from` on.
  void copy(const Lines &lines, Value from, const Panel &panel, int64_t count,
            int64_t depth);
  /// The word of the elements that follow each other from `at` on.
  Value wordAt(Value buffer, Value at);

  const Words words;

private:
  /// `valid`: the elements of a word that there are; the others are 0.
  Value lineWord(const Lines &lines, Value at, int64_t valid);
  Value acrossLines(const Lines &lines, Value at, Value mask, int64_t valid);
  Value alongLine(const Lines &lines, Value at, int64_t elements);
  void copyAcross(const Lines &lines, Value from, const Panel &panel,
                  int64_t count, int64_t depth);
  void copyAlong(const Lines &lines, Value from, const Panel &panel,
                 int64_t count, int64_t depth);
  void copySquares(const Lines &lines, Value from, const Panel &panel,
                   int64_t count, int64_t depth);
  void copyWords(const Lines &lines, Value from, const Panel &panel,
                 std::pair<int64_t, int64_t> range,
                 std::pair<int64_t, int64_t> steps, int64_t valid);
  Value asWord(Value elements);
  Value asStored(Value words, const Panel &panel);
  Value wordPlace(const Panel &panel, Value line, Value step);
  Value elementPlace(const Lines &lines, Value from, Value line, Value step);
};

} // namespace gradus

#endif // GRADUS_CPU_PANELS_H

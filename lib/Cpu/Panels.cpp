//===- Panels.cpp - operands copied to where they are read in order -------===//

#include "Panels.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/TypeUtilities.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace memref = mlir::memref;
namespace vector = mlir::vector;

DotInstructions DotInstructions::of(ArrayRef<std::string> names) {
  auto has = [&](StringRef name) { return llvm::is_contained(names, name); };
  return {has("vpmaddwd"), has("vpdpwssd"), has("vdpbf16ps"),
          has("vpdpbusd"), has("tdpbssd"),  has("tdpbf16ps")};
}

Words Words::several(Type element, Type sum, const DotInstructions &has,
                     bool tiles) {
  Words words = single(sum);
  if (element.isBF16() && sum.isF32() && (tiles ? has.bf16Tiles : has.bf16)) {
    words.part = element;
    words.elements = 2;
  } else if (element.isInteger(8) && sum.isInteger(32)) {
    if (tiles && has.i8Tiles) {
      words.part = element;
      words.elements = 4;
    } else if (!tiles && has.i8Quads) {
      words.part = element;
      words.elements = 4;
      words.flips = true;
    } else if (!tiles && has.i16) {
      words.part = IntegerType::get(sum.getContext(), 16);
      words.elements = 2;
    }
  }
  words.tiles = tiles && words.part;
  return words;
}

Value PanelBuilder::allocate(int64_t lines, int64_t depth) {
  return memref::AllocOp::create(
      b, mlir::MemRefType::get({lines * words.steps(depth)}, words.type()));
}

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

/// A vector as the one word that it is.
Value PanelBuilder::asWord(Value elements) {
  auto one = mlir::VectorType::get({1}, words.type());
  return vector::ExtractOp::create(
      b, vector::BitCastOp::create(b, one, elements), int64_t(0));
}

Value PanelBuilder::asStored(Value words, const Panel &panel) {
  if (!panel.flips)
    return words;
  auto bits = b.getIntegerAttr(mlir::getElementTypeOrSelf(words.getType()),
                               int32_t(0x80808080));
  Value flip = isa<mlir::VectorType>(words.getType())
                   ? arith::ConstantOp::create(
                         b, mlir::DenseElementsAttr::get(
                                cast<ShapedType>(words.getType()), bits))
                   : arith::ConstantOp::create(b, bits);
  return arith::XOrIOp::create(b, words, flip);
}

Value PanelBuilder::wordAt(Value buffer, Value at) {
  auto type = mlir::VectorType::get({words.elements}, elementOf(buffer));
  return asWord(
      widened(vector::LoadOp::create(b, type, buffer, at), words.element()));
}

Value PanelBuilder::lineWord(const Lines &lines, Value at, int64_t valid) {
  auto read = [&](Value place) {
    return widened(memref::LoadOp::create(b, lines.buffer, place),
                   words.element());
  };
  if (!words.part && valid)
    return read(at);
  SmallVector<Value> elements;
  for (int64_t e = 0; e < words.elements; ++e)
    elements.push_back(e < valid ? read(add(at, e * lines.along))
                                 : arith::ConstantOp::create(
                                       b, b.getZeroAttr(words.element())));
  return asWord(vector::FromElementsOp::create(
      b, mlir::VectorType::get({words.elements}, words.element()), elements));
}

/// The words of one step of as many lines as a vector has lanes; the lines lie
/// side by side.
Value PanelBuilder::acrossLines(const Lines &lines, Value at, Value mask,
                                int64_t valid) {
  SmallVector<Value> parts;
  for (int64_t e = 0; e < words.elements; ++e)
    parts.push_back(
        e < valid
            ? widened(loadVector(lines.buffer, add(at, e * lines.along), mask),
                      words.element())
            : zeroVector(words.element()));
  if (!words.part)
    return parts[0];
  // Evens among each other and odds among each other, and then these two.
  for (; parts.size() > 1; parts.resize(parts.size() / 2))
    for (unsigned i = 0; i < parts.size() / 2; ++i)
      parts[i] = vector::InterleaveOp::create(b, parts[i],
                                              parts[i + parts.size() / 2]);
  return vector::BitCastOp::create(b, vectorOf(words.type()), parts[0]);
}

/// As many words of one line as a vector has lanes; its elements follow each
/// other.
Value PanelBuilder::alongLine(const Lines &lines, Value at, int64_t elements) {
  int64_t all = lanes * words.elements;
  Value mask;
  if (elements < all)
    mask = vector::CreateMaskOp::create(
        b, mlir::VectorType::get({all}, b.getI1Type()), index(elements));
  Value v = widened(loadVector(lines.buffer, at, mask, words.elements),
                    words.element());
  return words.part ? vector::BitCastOp::create(b, vectorOf(words.type()), v)
                    : v;
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

Value PanelBuilder::wordPlace(const Panel &panel, Value line, Value step) {
  return advance(advance(panel.first, line, panel.across), step, panel.along);
}
Value PanelBuilder::elementPlace(const Lines &lines, Value from, Value line,
                                 Value step) {
  return advance(advance(from, line, lines.across), step,
                 lines.along * words.elements);
}

void PanelBuilder::copy(const Lines &lines, Value from, const Panel &panel,
                        int64_t count, int64_t depth) {
  if (panel.across == 1 && lines.across == 1)
    copyAcross(lines, from, panel, count, depth);
  else if (panel.along == 1 && lines.along == 1)
    return copyAlong(lines, from, panel, count, depth);
  else
    copySquares(lines, from, panel, count, depth);
  copyWords(lines, from, panel, {0, count},
            {llvm::divideCeil(depth, words.elements), words.steps(depth)}, 0);
}

void PanelBuilder::copyAcross(const Lines &lines, Value from,
                              const Panel &panel, int64_t count,
                              int64_t depth) {
  auto step = [&](Value s, int64_t valid) {
    forVectors(count, [&](int64_t v, Value mask) {
      // What lies past the lines is not read: it may be overwritten, unless
      // the next step begins there.
      bool fits = (v + 1) * lanes <= panel.along;
      Value line = index(v * lanes);
      Value words =
          acrossLines(lines, elementPlace(lines, from, line, s), mask, valid);
      storeVector(asStored(words, panel), panel.buffer,
                  wordPlace(panel, line, s), fits ? Value() : mask);
    });
  };
  int64_t whole = depth / words.elements, rest = depth % words.elements;
  if (whole > 0)
    loop(0, whole, 1, [&](Value s) { step(s, words.elements); });
  if (rest)
    step(index(whole), rest);
}

void PanelBuilder::copyAlong(const Lines &lines, Value from, const Panel &panel,
                             int64_t count, int64_t depth) {
  int64_t steps = words.steps(depth), elements = lanes * words.elements;
  int64_t whole = depth / elements * lanes;
  auto move = [&](Value line, Value s, int64_t valid, Value mask) {
    Value words = alongLine(lines, elementPlace(lines, from, line, s), valid);
    storeVector(asStored(words, panel), panel.buffer, wordPlace(panel, line, s),
                mask);
  };
  loop(0, count, 1, [&](Value line) {
    if (whole)
      loop(0, whole, lanes, [&](Value s) { move(line, s, elements, Value()); });
    forVectors(steps - whole, [&](int64_t v, Value mask) {
      int64_t s = whole + v * lanes;
      int64_t valid = std::max<int64_t>(depth - s * words.elements, 0);
      move(line, index(s), valid, mask);
    });
  });
}

/// Where one of the lines and the panel runs across and the other along:
/// squares of a vector's length turn in registers, what is left word by word.
void PanelBuilder::copySquares(const Lines &lines, Value from,
                               const Panel &panel, int64_t count,
                               int64_t depth) {
  int64_t whole = depth / words.elements; // steps
  bool turns = lines.across == 1 || lines.along == 1;
  int64_t squareLines = turns ? count / lanes * lanes : 0;
  int64_t squareSteps = squareLines ? whole / lanes * lanes : 0;
  int64_t all = lanes * words.elements;
  if (squareSteps)
    loop(0, squareSteps, lanes, [&](Value s) {
      loop(0, squareLines, lanes, [&](Value line) {
        Value corner = elementPlace(lines, from, line, s);
        Value place = wordPlace(panel, line, s);
        SmallVector<Value> rows;
        for (int64_t r = 0; r < lanes; ++r)
          rows.push_back(
              lines.along == 1
                  ? alongLine(lines, add(corner, r * lines.across), all)
                  : acrossLines(lines,
                                add(corner, r * words.elements * lines.along),
                                Value(), words.elements));
        transpose(rows);
        int64_t pitch = lines.along == 1 ? panel.along : panel.across;
        for (int64_t r = 0; r < lanes; ++r)
          vector::StoreOp::create(b, asStored(rows[r], panel), panel.buffer,
                                  add(place, r * pitch));
      });
    });
  copyWords(lines, from, panel, {squareLines, count}, {0, squareSteps},
            words.elements);
  copyWords(lines, from, panel, {0, count}, {squareSteps, whole},
            words.elements);
  copyWords(lines, from, panel, {0, count},
            {whole, llvm::divideCeil(depth, words.elements)},
            depth % words.elements);
}

/// The words of some lines and steps, one by one.
void PanelBuilder::copyWords(const Lines &lines, Value from, const Panel &panel,
                             std::pair<int64_t, int64_t> range,
                             std::pair<int64_t, int64_t> steps, int64_t valid) {
  if (range.first >= range.second || steps.first >= steps.second)
    return;
  loop(steps.first, steps.second, 1, [&](Value s) {
    loop(range.first, range.second, 1, [&](Value line) {
      Value word = lineWord(lines, elementPlace(lines, from, line, s), valid);
      memref::StoreOp::create(b, asStored(word, panel), panel.buffer,
                              wordPlace(panel, line, s));
    });
  });
}

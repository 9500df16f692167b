//===- Panels.cpp - operands copied to where they are read in order -------===//

#include "Panels.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace memref = mlir::memref;
namespace vector = mlir::vector;

Words Words::pairsOf(Type element, Type sum, const PairInstructions &has) {
  if (element.isBF16() && sum.isF32() && has.bf16)
    return {sum, element};
  if (element.isInteger(8) && sum.isInteger(32) && has.i16)
    return {sum, IntegerType::get(sum.getContext(), 16)};
  return {sum, Type()};
}

Value PanelBuilder::allocate(int64_t lines, int64_t depth) {
  return memref::AllocOp::create(
      b, mlir::MemRefType::get({lines * words.steps(depth)}, words.type()));
}

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

Value PanelBuilder::pairAt(Value buffer, Value at) {
  auto two = mlir::VectorType::get({2}, elementOf(buffer));
  Value pair = widened(vector::LoadOp::create(b, two, buffer, at), words.pair);
  auto one = mlir::VectorType::get({1}, words.type());
  return vector::ExtractOp::create(b, vector::BitCastOp::create(b, one, pair),
                                   int64_t(0));
}

/// The word at `at`; of a pair that is not whole the second element is 0.
Value PanelBuilder::lineWord(const Lines &lines, Value at, bool whole) {
  Type element = words.pair ? words.pair : words.sum;
  auto read = [&](Value place) {
    return widened(memref::LoadOp::create(b, lines.buffer, place), element);
  };
  if (!words.pair)
    return read(at);
  Value first = read(at),
        second = whole ? read(add(at, lines.along))
                       : arith::ConstantOp::create(b, b.getZeroAttr(element));
  Value pair = vector::FromElementsOp::create(
      b, mlir::VectorType::get({2}, element), ValueRange{first, second});
  auto one = mlir::VectorType::get({1}, words.type());
  return vector::ExtractOp::create(b, vector::BitCastOp::create(b, one, pair),
                                   int64_t(0));
}

/// The words of one step of as many lines as a vector has lanes; the lines lie
/// side by side.
Value PanelBuilder::acrossLines(const Lines &lines, Value at, Value mask,
                                bool whole) {
  Type element = words.pair ? words.pair : words.sum;
  Value first = widened(loadVector(lines.buffer, at, mask), element);
  if (!words.pair)
    return first;
  Value second =
      whole ? widened(loadVector(lines.buffer, add(at, lines.along), mask),
                      element)
            : zeroVector(element);
  Value pairs = vector::InterleaveOp::create(b, first, second);
  return vector::BitCastOp::create(b, vectorOf(words.type()), pairs);
}

/// As many words of one line as a vector has lanes; its elements follow each
/// other.
Value PanelBuilder::alongLine(const Lines &lines, Value at) {
  Value v = loadVector(lines.buffer, at, Value(), words.elements());
  if (!words.pair)
    return widened(v, words.sum);
  return vector::BitCastOp::create(b, vectorOf(words.type()),
                                   widened(v, words.pair));
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

/// A square of vectors transposed: halves of pairs change places, first at
/// distance 1, then 2, 4, ...
void PanelBuilder::transpose(SmallVector<Value> &rows) {
  for (int64_t step = 1; step < lanes; step *= 2)
    for (int64_t i = 0; i < lanes; ++i) {
      if (i & step)
        continue;
      SmallVector<int64_t> low, high;
      for (int64_t e = 0; e < lanes; ++e) {
        low.push_back(e & step ? lanes + e - step : e);
        high.push_back(e & step ? lanes + e : e + step);
      }
      Value x = rows[i], y = rows[i + step];
      rows[i] = vector::ShuffleOp::create(b, x, y, low);
      rows[i + step] = vector::ShuffleOp::create(b, x, y, high);
    }
}

void PanelBuilder::copy(const Lines &lines, Value from, Value panel, Value to,
                        int64_t count, int64_t depth, int64_t pitch) {
  int64_t step = lines.along * words.elements();
  int64_t whole = depth / words.elements(); // steps
  auto source = [&](Value line, Value s) {
    return advance(advance(from, line, lines.across), s, step);
  };
  auto target = [&](Value line, Value s) {
    return add(advance(to, s, pitch), line);
  };
  auto oneByOne = [&](int64_t firstLine, int64_t firstStep, int64_t lastStep,
                      bool wholeWord) {
    if (firstLine < count && firstStep < lastStep)
      loop(firstStep, lastStep, 1, [&](Value s) {
        loop(firstLine, count, 1, [&](Value line) {
          memref::StoreOp::create(b,
                                  lineWord(lines, source(line, s), wholeWord),
                                  panel, target(line, s));
        });
      });
  };
  int64_t steps = words.steps(depth);
  if (lines.across == 1) {
    auto across = [&](Value s, bool wholeWord) {
      forVectors(count, [&](int64_t v, Value mask) {
        // What lies past the lines is not read: it may be overwritten, unless
        // the next step begins there.
        bool fits = (v + 1) * lanes <= pitch;
        storeVector(acrossLines(lines, add(source(index(0), s), v * lanes),
                                mask, wholeWord),
                    panel, add(target(index(0), s), v * lanes),
                    fits ? Value() : mask);
      });
    };
    if (whole > 0)
      loop(0, whole, 1, [&](Value s) { across(s, true); });
    if (whole < steps)
      across(index(whole), false);
    return;
  }
  int64_t squareLines = 0, squareSteps = 0;
  if (lines.along == 1) { // squares of a vector's length turn in registers
    squareLines = count / lanes * lanes;
    squareSteps = squareLines ? whole / lanes * lanes : 0;
  }
  if (squareSteps)
    loop(0, squareSteps, lanes, [&](Value s) {
      loop(0, squareLines, lanes, [&](Value line) {
        Value corner = source(line, s), place = target(line, s);
        SmallVector<Value> rows;
        for (int64_t r = 0; r < lanes; ++r)
          rows.push_back(alongLine(lines, add(corner, r * lines.across)));
        transpose(rows);
        for (int64_t r = 0; r < lanes; ++r)
          vector::StoreOp::create(b, rows[r], panel, add(place, r * pitch));
      });
    });
  oneByOne(squareLines, 0, squareSteps, true);
  oneByOne(0, squareSteps, whole, true);
  oneByOne(0, whole, steps, false);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

Value PanelBuilder::call(StringRef intrinsic, mlir::VectorType result,
                         ValueRange operands) {
  return mlir::LLVM::CallIntrinsicOp::create(
             b, result, b.getStringAttr(intrinsic), operands)
      .getResult(0);
}

Value PanelBuilder::multiplyAdd(Value x, Value y, Value sum) {
  if (!words.pair) {
    if (isa<FloatType>(words.sum))
      return vector::FMAOp::create(b, x, y, sum);
    return arith::AddIOp::create(b, sum, arith::MulIOp::create(b, x, y));
  }
  auto type = cast<mlir::VectorType>(sum.getType());
  int64_t bits = lanes * 32;
  auto pairs = mlir::VectorType::get({2 * lanes}, words.pair);
  x = vector::BitCastOp::create(b, pairs, x);
  y = vector::BitCastOp::create(b, pairs, y);
  if (words.pair.isBF16())
    return call(("llvm.x86.avx512bf16.dpbf16ps." + Twine(bits)).str(), type,
                {sum, x, y});
  if (has.i16Add)
    return call(("llvm.x86.avx512.vpdpwssd." + Twine(bits)).str(), type,
                {sum, x, y});
  StringRef product = bits == 512   ? "llvm.x86.avx512.pmaddw.d.512"
                      : bits == 256 ? "llvm.x86.avx2.pmadd.wd"
                                    : "llvm.x86.sse2.pmadd.wd";
  return arith::AddIOp::create(b, sum, call(product, type, {x, y}));
}

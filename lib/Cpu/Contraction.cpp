//===- Contraction.cpp - which loop of a product goes along vectors -------===//

#include "Contraction.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace gradus;
namespace linalg = mlir::linalg;

static std::optional<LinearAccess> linearAccess(linalg::GenericOp op,
                                                mlir::OpOperand *operand,
                                                const RowPlace &row) {
  LinearAccess access{{0, SmallVector<int64_t>(op.getNumLoops(), 0)},
                      operand->get()};
  Value local = row.buffers.local.lookup(operand->get());
  auto type =
      dyn_cast<mlir::MemRefType>((local ? local : operand->get()).getType());
  SmallVector<int64_t> strides;
  int64_t offset;
  if (!type || !type.hasStaticShape() || !type.getLayout().isIdentity() ||
      failed(type.getStridesAndOffset(strides, offset)))
    return std::nullopt;
  auto map = op.getMatchingIndexingMap(operand);
  for (auto [e, stride] : llvm::zip(map.getResults(), strides)) {
    auto form = LinearForm::of(e, op.getNumLoops());
    if (!form)
      return std::nullopt;
    access.start += stride * form->start;
    for (auto [step, own] : llvm::zip(access.step, form->step))
      step += stride * own;
  }
  if (local) {
    access.buffer = local;
    access.isLocal = true;
    for (auto [loop, at] : row.loops)
      if (loop != row.loops.back().first || row.block == 1)
        access.step[loop] = 0;
  }
  return access;
}

std::optional<LinearAccess> LinearAccess::of(mlir::OpOperand &operand) {
  if (!isa<mlir::MemRefType>(operand.get().getType()))
    return std::nullopt;
  return linearAccess(cast<linalg::GenericOp>(operand.getOwner()), &operand,
                      RowPlace());
}

mlir::DenseI64ArrayAttr gradus::constantForm(Value buffer, StringRef form) {
  auto arg = dyn_cast<BlockArgument>(buffer);
  auto f = arg ? dyn_cast<mlir::func::FuncOp>(arg.getOwner()->getParentOp())
               : mlir::func::FuncOp();
  return f ? f.getArgAttrOfType<mlir::DenseI64ArrayAttr>(arg.getArgNumber(),
                                                         form)
           : mlir::DenseI64ArrayAttr();
}

bool gradus::liesInWords(const LinearAccess &access, unsigned loop,
                         int64_t size, const Words &words) {
  return elementOf(access.buffer) == words.part && access.step[loop] == 1 &&
         words.steps(size) * words.elements == size;
}
/// Steps that a tile multiplies at once: as many as it has room for, or some
/// fewer that divide all.
static int64_t stepsOfTile(int64_t steps) {
  constexpr int64_t most = 16, fewest = 12;
  if (steps <= most)
    return steps;
  for (int64_t n = most; n >= fewest; --n)
    if (steps % n == 0)
      return n;
  return most;
}

/// Words of several elements need all of rhs in panels, and lhs too unless it
/// lies so: they pay where both are read often. Asked of the whole product, not
/// of a thread's part: it says in which order products are added up.
static Words wordsFor(const Contraction &c) {
  Type element = elementOf(c.rhs.buffer);
  Words single = Words::single(c.element);
  constexpr int64_t leastDepth = 8, leastUses = 12;
  if (c.reductions.empty() || elementOf(c.lhs.buffer) != element || !c.row)
    return single;
  unsigned inner = c.reductions.back();
  int64_t depth = c.size[inner];
  if (depth < leastDepth || c.uses() < leastUses)
    return single;
  // Only one reduction loop leaves lhs to be packed, or a word to be ragged.
  bool one = c.reductions.size() == 1;
  Words tiles = Words::several(element, c.element, c.dots, /*tiles=*/true);
  constexpr int64_t least = 8; // rows, columns and steps
  if (tiles.tiles && !c.isBound(inner) && c.rows() >= least &&
      c.columns() >= least && tiles.steps(depth) >= least) {
    tiles.stepsAtOnce = stepsOfTile(tiles.steps(depth));
    if (one || liesInWords(c.lhs, inner, depth, tiles))
      return tiles;
  }
  for (bool quads : {true, false}) {
    DotInstructions dots = c.dots;
    dots.i8Quads &= quads;
    Words words = Words::several(element, c.element, dots, /*tiles=*/false);
    if (words.part && (one || liesInWords(c.lhs, inner, depth, words)))
      return words;
  }
  return single;
}

/// Is each result a long sum along rows of both operands, those of rhs read
/// once or some times? They are read as they lie then, rather than turned. What
/// is left to add up of the vectors of a sum costs as much as some of them.
static bool isDotProducts(const Contraction &c) {
  constexpr int64_t leastVectors = 2, fewUses = 4, mostUses = 32;
  int64_t uses = c.uses(),
          vectors = uses > fewUses ? uses * 3 / 4 : leastVectors;
  return uses <= mostUses && c.rhs.step[c.column] != 1 &&
         llvm::any_of(c.reductions, [&](unsigned d) {
           return c.lhs.step[d] == 1 && c.rhs.step[d] == 1 &&
                  c.size[d] >= c.lanes * vectors;
         });
}

/// Outside of which the kernel's callers say that there are zeros.
static SmallVector<AxisRange> boxOf(Value buffer) {
  SmallVector<AxisRange> box;
  if (auto form = constantForm(buffer, lowering::boxAttr))
    for (auto [axis, size] :
         llvm::enumerate(cast<ShapedType>(buffer.getType()).getShape()))
      box.push_back({form[2 * axis], form[2 * axis + 1], size});
  return box;
}

std::optional<Contraction> Contraction::match(linalg::GenericOp op,
                                              const RegisterFile &machine,
                                              const RowPlace &row) {
  if (!lowering::addsProducts(op))
    return std::nullopt;
  auto a = linearAccess(op, op.getDpsInputOperand(0), row);
  auto b = linearAccess(op, op.getDpsInputOperand(1), row);
  auto out = linearAccess(op, op.getDpsInitOperand(0), row);
  if (!a || !b || !out)
    return std::nullopt;
  Contraction c;
  c.out = *out;
  c.size = op.getStaticLoopRanges();
  c.lengths = loopLengths(op);
  c.lengths.resize(c.size.size());
  c.rowLoops = row.loops;
  for (auto [loop, at] : row.loops) {
    c.size[loop] = 1;
    c.lengths[loop] = {};
  }
  if (!row.loops.empty())
    c.size[row.loops.back().first] = row.block;
  c.element = cast<mlir::MemRefType>(out->buffer.getType()).getElementType();
  c.dots = machine.dots;
  c.lanes = machine.vectorBits / c.element.getIntOrFloatBitWidth();
  auto iterators = op.getIteratorTypesArray();
  auto isParallel = [&](unsigned d) {
    return iterators[d] == mlir::utils::IteratorType::parallel;
  };

  // Results that meet (windows added up) are no sums of products in registers.
  for (unsigned d = 0; d < c.size.size(); ++d)
    if (!isParallel(d) && out->step[d] != 0)
      return std::nullopt;

  // Along vectors goes the longest loop that is contiguous in the result and
  // absent from one operand.
  int64_t best = 0;
  for (unsigned d = 0; d < c.size.size(); ++d) {
    if (!isParallel(d) || out->step[d] != 1)
      continue;
    for (bool swap : {false, true}) {
      const LinearAccess &broadcast = swap ? *b : *a, &along = swap ? *a : *b;
      if (broadcast.step[d] != 0 || along.step[d] == 0 || c.size[d] <= best)
        continue;
      best = c.size[d];
      c.column = d;
      c.lhs = broadcast;
      c.rhs = along;
    }
  }
  // Two columns in a masked vector are five times as fast as one by one.
  constexpr int64_t leastColumns = 2;
  if (best < leastColumns)
    return std::nullopt;
  for (unsigned d = 0; d < c.size.size(); ++d) {
    if (d == c.column)
      continue;
    if (!isParallel(d))
      c.reductions.push_back(d);
    else if (c.rhs.step[d] == 0 && c.size[d] > 1 &&
             (!c.row || c.size[d] > c.size[*c.row]))
      c.row = d;
  }
  for (unsigned d = 0; d < c.size.size(); ++d)
    if (d != c.column && isParallel(d) && (!c.row || d != *c.row))
      (c.rhs.step[d] ? c.outer : c.repeats).push_back(d);
  // Blocks of such a sum are those of its outermost loop.
  auto isBound = [&](unsigned d) { return c.isBound(d); };
  if (auto *d = llvm::find_if(c.reductions, isBound); d != c.reductions.end())
    std::rotate(c.reductions.begin(), d, d + 1);
  if (!c.reductions.empty() &&
      llvm::any_of(ArrayRef(c.reductions).drop_front(), isBound))
    return std::nullopt;
  if (isDotProducts(c))
    return std::nullopt;
  c.words = wordsFor(c);
  if (auto form = constantForm(c.rhs.buffer, lowering::panelsAttr)) {
    constexpr unsigned widthPlace = 1;
    [[maybe_unused]] constexpr unsigned wordPlace = 4;
    assert(form[wordPlace] == c.words.elements && "packed for another machine");
    c.readPanels(form[widthPlace]);
  }
  for (mlir::OpOperand *in : op.getDpsInputOperands())
    c.addClips(*in, boxOf(in->get()));
  return c;
}

/// Is there enough to do in the loop, or inside it, for one to a length that is
/// computed?
static bool isWorthClipping(const Contraction &c, unsigned loop) {
  constexpr int64_t least = 8;
  bool isInnermost = loop == c.reductions.back();
  int64_t steps = isInnermost ? c.size[loop] : 1;
  for (unsigned d : llvm::reverse(c.reductions)) {
    if (d == loop)
      break;
    steps *= c.size[d];
  }
  return steps >= least && (!isInnermost || c.words.elements == 1);
}

void Contraction::addClip(const Slant &slant) {
  if (!canClip())
    return;
  LinearForm place{0, SmallVector<int64_t>(size.size())};
  bool sumsRows = llvm::is_contained(reductions, slant.row);
  place.step[slant.loop] = sumsRows ? -1 : 1;
  place.step[slant.row] = sumsRows ? 1 : -1;
  int64_t low = slant.low, high = slant.high;
  if (sumsRows)
    std::swap(low, high);
  // If neither is summed, all steps are left out, or none.
  unsigned summed = sumsRows ? slant.row
                    : llvm::is_contained(reductions, slant.loop)
                        ? slant.loop
                        : reductions[0];
  clips.push_back({summed, place, -low, high + 1, slant.isOff});
}

void Contraction::addClips(mlir::OpOperand &operand, ArrayRef<AxisRange> box) {
  if (words.tiles || words.flips)
    return;
  auto op = cast<linalg::GenericOp>(operand.getOwner());
  auto places = op.getMatchingIndexingMap(&operand).getResults();
  for (auto [e, range] : llvm::zip(places, box)) {
    // A few rows of many are not worth a loop to a length that is computed.
    constexpr int64_t most = 48;
    if ((range.size - range.count) * most < range.size)
      continue;
    auto form = LinearForm::of(e, size.size());
    std::optional<unsigned> loop;
    bool isUniform = form.has_value();
    for (unsigned d = 0; isUniform && d < size.size(); ++d) {
      if (form->step[d] == 0)
        continue;
      bool isSum = llvm::is_contained(reductions, d);
      // All of a tile is to leave out the same steps.
      if (d == column || (row && d == *row) || isBound(d) || (isSum && loop) ||
          (isSum && form->step[d] < 0))
        isUniform = false;
      else if (isSum)
        loop = d;
    }
    if (isUniform && loop && isWorthClipping(*this, *loop))
      clips.push_back({*loop, *form, range.low, range.low + range.count});
  }
}

/// From element to element of the innermost loop lie the columns of a panel,
/// and from panel to panel all steps.
void Contraction::readPanels(int64_t columns) {
  panel = columns;
  unsigned inner = reductions.back();
  rhs.step[inner] = panel;
  int64_t step = panel * words.steps(size[inner]) * words.elements;
  for (unsigned d : llvm::reverse(llvm::drop_end(reductions))) {
    rhs.step[d] = step;
    step *= size[d];
  }
  rhs.step[column] = step / panel;
}
void Contraction::readPanels(const RhsPanels &panels) {
  rhs = {{/*start=*/0, SmallVector<int64_t>(size.size())},
         panels.buffer,
         /*isLocal=*/true};
  readPanels(panels.columns);
}

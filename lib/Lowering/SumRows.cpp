//===- SumRows.cpp - sums over the rows of a group, row by row ------------===//
//
// In: groups of rows marked. Out: a sum over all rows of what a group makes,
// such as the gradient of a bias or of a small filter, is made for each row by
// itself, as a member of the group, and another op adds the rows' sums up. What
// is summed is in the cache then, and if nothing else reads it, is never
// written to memory.
//
// Only where that is more than caches hold, and the rows' sums are little
// beside it. Sums do not depend on the number of threads.
//
//===----------------------------------------------------------------------===//

#include "RowGroup.h"
#include "SumParts.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_SUMROWS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

namespace {
/// A group that takes its rows one by one, and may get more members.
class Group {
public:
  void add(linalg::GenericOp op) { members.insert(op); }

  /// Ops outside that read what members make, in the order of the program.
  SmallVector<linalg::GenericOp> readers() const {
    llvm::SetVector<Operation *> found;
    for (Operation *op : members)
      for (Operation *user : op->getUsers())
        if (isa<linalg::GenericOp>(user) && !members.contains(user))
          found.insert(user);
    auto ordered = llvm::map_to_vector(found.takeVector(), [](Operation *op) {
      return cast<linalg::GenericOp>(op);
    });
    llvm::sort(ordered, [](linalg::GenericOp a, linalg::GenericOp b) {
      return a->isBeforeInBlock(b);
    });
    return ordered;
  }

  /// The loops of `sum` over the rows, if it adds up all of them in what it
  /// reads of members and that is worth to be done row by row.
  std::optional<SmallVector<unsigned>> rowsOf(linalg::GenericOp sum) const {
    if (sum->hasAttr(lowering::groupAttr) || sum->getNumResults() != 1 ||
        !combinerOf(sum, 0) || sum->hasAttr(lowering::lengthsAttr) ||
        !sum.getBody()->getOps<linalg::IndexOp>().empty())
      return std::nullopt;
    std::optional<SmallVector<unsigned>> rows;
    int64_t read = 0;
    for (OpOperand *in : sum.getDpsInputOperands()) {
      if (!members.contains(in->get().getDefiningOp()))
        continue;
      auto here = rowsAt(sum, *in);
      if (!here || (rows && *rows != *here))
        return std::nullopt;
      rows = here;
      read += lowering::byteCount(in->get());
    }
    bool isReady = rows && llvm::all_of(sum->getOperands(), [&](Value v) {
                     return members.contains(v.getDefiningOp()) ||
                            isIndependent(v.getDefiningOp());
                   });
    return isReady && isWorthIt(sum, *rows, read) ? rows : std::nullopt;
  }

  /// Makes the sum's rows by themselves, behind the other members.
  void take(linalg::GenericOp sum, ArrayRef<unsigned> rows) {
    ImplicitLocOpBuilder b(sum.getLoc(), last()->getNextNode());
    LinalgBuilder linalg(b);
    linalg::GenericOp ofRows = sumOfEachRow(linalg, sum, rows);
    mlir::IRRewriter rewriter(sum->getContext());
    mlir::DominanceInfo dominance(sum->getParentOp());
    if (failed(mlir::moveOperationDependencies(rewriter, sum, ofRows,
                                               dominance))) {
      ofRows->erase();
      return;
    }
    b.setInsertionPoint(sum);
    sum->replaceAllUsesWith(ValueRange{
        combineParts(linalg, sum, 0, ofRows.getResult(0), rows.size())});
    sum->erase();
    add(ofRows);
  }

private:
  /// Can the op stand before the group's end, without anything of a member's?
  bool isIndependent(Operation *op) const {
    if (!op || op->isBeforeInBlock(last()))
      return true;
    return llvm::all_of(op->getOperands(), [&](Value v) {
      Operation *source = v.getDefiningOp();
      return !members.contains(source) && isIndependent(source);
    });
  }
  Operation *last() const {
    return *llvm::max_element(members, [](Operation *a, Operation *b) {
      return a->isBeforeInBlock(b);
    });
  }
  /// The loops that `sum` reads the rows of a member's result with, if it adds
  /// up over them.
  static std::optional<SmallVector<unsigned>> rowsAt(linalg::GenericOp sum,
                                                     OpOperand &in) {
    auto made = cast<mlir::OpResult>(in.get());
    auto member = cast<linalg::GenericOp>(made.getOwner());
    auto rows = llvm::map_to_vector(rowLoopsOf(member),
                                    [](int64_t d) { return unsigned(d); });
    if (rows.empty() ||
        !startsWithLoops(*member.getDpsInitOperand(made.getResultNumber()),
                         rows))
      return std::nullopt;
    auto kinds = sum.getIteratorTypesArray();
    SmallVector<unsigned> here;
    for (AffineExpr e :
         sum.getMatchingIndexingMap(&in).getResults().take_front(rows.size())) {
      auto d = dyn_cast<mlir::AffineDimExpr>(e);
      if (!d || kinds[d.getPosition()] != Iterator::reduction ||
          llvm::is_contained(here, d.getPosition()))
        return std::nullopt;
      here.push_back(d.getPosition());
    }
    return here;
  }
  static bool isWorthIt(linalg::GenericOp sum, ArrayRef<unsigned> rows,
                        int64_t bytesRead) {
    // More than the second cache, and a row at most half of it.
    constexpr int64_t leastBytes = 2 << 20, mostRowBytes = 256 << 10,
                      leastShare = 8;
    int64_t count = 1;
    for (unsigned d : rows)
      count *= sum.getStaticLoopRanges()[d];
    return bytesRead >= leastBytes && bytesRead / count <= mostRowBytes &&
           count * lowering::byteCount(sum.getResult(0)) * leastShare <=
               bytesRead;
  }

  linalg::GenericOp sumOfEachRow(LinalgBuilder &linalg, linalg::GenericOp sum,
                                 ArrayRef<unsigned> rows) {
    auto type = cast<RankedTensorType>(sum.getResult(0).getType());
    auto kinds = sum.getIteratorTypesArray();
    SmallVector<int64_t> shape;
    SmallVector<AffineExpr> places;
    for (unsigned d : rows) {
      shape.push_back(sum.getStaticLoopRanges()[d]);
      places.push_back(linalg.dim(d));
      kinds[d] = Iterator::parallel;
    }
    llvm::append_range(shape, type.getShape());
    auto maps = sum.getIndexingMapsArray();
    llvm::append_range(places, maps.back().getResults());
    maps.back() = linalg.map(sum.getNumLoops(), places);
    auto all = RankedTensorType::get(shape, type.getElementType());
    Value start = linalg.filled(neutralFor(linalg.b, combinerOf(sum, 0)), all);
    auto ofRows = linalg::GenericOp::create(
        linalg.b, mlir::TypeRange{all}, sum.getDpsInputs(), ValueRange{start},
        maps, kinds, [&](OpBuilder &inner, Location, ValueRange args) {
          repeatBody(sum, inner, args);
        });
    ofRows->setAttr(lowering::groupAttr,
                    members.front()->getAttr(lowering::groupAttr));
    ofRows->setAttr(
        lowering::rowLoopsAttr,
        linalg.b.getDenseI64ArrayAttr(llvm::to_vector_of<int64_t>(rows)));
    return ofRows;
  }

  llvm::SetVector<Operation *> members;
};

struct SumRows : impl::SumRowsBase<SumRows> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    llvm::MapVector<Attribute, Group> groups;
    for (auto op : body.getOps<linalg::GenericOp>())
      if (!rowLoopsOf(op).empty() && !op->hasAttr(lowering::rowBlockAttr))
        groups[op->getAttr(lowering::groupAttr)].add(op);
    for (auto &[number, group] : groups)
      for (linalg::GenericOp op : group.readers())
        if (auto rows = group.rowsOf(op))
          group.take(op, *rows);
  }
};
} // namespace

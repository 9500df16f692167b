//===- OutlineParts.cpp - a function for the body of each split loop ------===//
//
// In: kernels with loops over independent parts (`graph.parts`). Out: each such
// loop is a call of a private function that stands above the kernel and runs
// one part; the callee's own `graph.parts` says that it is called for all.
//
// The function's first argument is the part's number, the others what the body
// reads from outside. Numbers and views are made again inside: a bare pointer
// carries no strides.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_OUTLINEPARTS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;
namespace memref = mlir::memref;
namespace scf = mlir::scf;

/// Cheap to make again, and without a buffer of its own.
static bool madeInside(Operation *op) {
  return op && (op->hasTrait<mlir::OpTrait::ConstantLike>() ||
                isa<mlir::ViewLikeOpInterface, memref::GetGlobalOp>(op));
}

namespace {
/// What the loop's body needs from outside.
struct Captures {
  llvm::SetVector<Value> args;
  llvm::SetVector<Operation *> inside; ///< in an order in which they can stand

  explicit Captures(scf::ForOp loop) : loop(loop) {
    loop.getBody()->walk([&](Operation *op) {
      for (Value v : op->getOperands())
        add(v);
    });
  }

private:
  void add(Value v) {
    if (loop.getRegion().isAncestor(v.getParentRegion()))
      return;
    Operation *def = v.getDefiningOp();
    if (!madeInside(def)) {
      args.insert(v);
      return;
    }
    for (Value operand : def->getOperands())
      add(operand);
    inside.insert(def);
  }
  scf::ForOp loop;
};

struct OutlineParts : impl::OutlinePartsBase<OutlineParts> {
  void runOnOperation() override {
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      SmallVector<scf::ForOp> loops;
      f.walk([&](scf::ForOp loop) {
        if (loop->hasAttr(lowering::partsAttr))
          loops.push_back(loop);
      });
      for (auto [i, loop] : llvm::enumerate(loops))
        outline(f, loop, (f.getName() + ".part" + Twine(i)).str());
    }
  }

private:
  static void outline(func::FuncOp f, scf::ForOp loop, StringRef name) {
    Captures captures(loop);
    Location loc = loop.getLoc();
    OpBuilder b(f);
    SmallVector<Type> types{b.getIndexType()};
    llvm::append_range(types,
                       ValueRange(captures.args.getArrayRef()).getTypes());
    auto part =
        func::FuncOp::create(b, loc, name, b.getFunctionType(types, {}));
    part.setPrivate();
    part->setAttr(lowering::kernelAttr, b.getUnitAttr());
    part->setAttr(lowering::partsAttr, loop->getAttr(lowering::partsAttr));
    Block *body = part.addEntryBlock();
    mlir::IRMapping map;
    map.map(loop.getInductionVar(), body->getArgument(0));
    for (auto [v, a] :
         llvm::zip(captures.args, body->getArguments().drop_front()))
      map.map(v, a);
    b.setInsertionPointToStart(body);
    for (Operation *op : captures.inside)
      b.clone(*op, map);
    for (Operation &op : loop.getBody()->without_terminator())
      b.clone(op, map);
    func::ReturnOp::create(b, loc);

    b.setInsertionPoint(loop);
    SmallVector<Value> args{mlir::arith::ConstantIndexOp::create(b, loc, 0)};
    llvm::append_range(args, captures.args);
    func::CallOp::create(b, loc, part, args);
    loop.erase();
  }
};
} // namespace

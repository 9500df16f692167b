//===- HostMemory.cpp - what crosses between host and device --------------===//
//
// In: functions whose buffers are device memory, launches made. Out: an entry
// function copies those inputs to the device that are not there, calls
// `NAME.work` with buffers there, and copies the outputs back to where they are
// wanted: of those of which a call says how many rows they have, so many. Where
// host code decides by a value that the device computed, it reads it.
//
// These are calls of functions without a body that say what they are
// (`graph.transfer`); LaunchKernels.cpp gives them one.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace gradus {
#define GEN_PASS_DEF_HOSTMEMORY
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;
namespace memref = mlir::memref;

namespace {
struct HostMemory : impl::HostMemoryBase<HostMemory> {
  void runOnOperation() override {
    transfers.clear();
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (f.isExternal())
        continue;
      if (!f->hasAttr(lowering::kernelAttr))
        f.walk([&](memref::LoadOp load) { read(load); });
      if (!f.isPrivate())
        separate(f);
    }
  }

private:
  func::FuncOp transfer(StringRef kind, ArrayRef<Type> inputs,
                        ArrayRef<Type> results) {
    OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
    auto type = b.getFunctionType(inputs, results);
    func::FuncOp &f = transfers[{b.getStringAttr(kind), type}];
    if (f)
      return f;
    f = func::FuncOp::create(b, getOperation().getLoc(),
                             ("transfer." + Twine(transfers.size() - 1)).str(),
                             type);
    f.setPrivate();
    f->setAttr(lowering::transferAttr, b.getStringAttr(kind));
    f->setAttr(lowering::bytesAttr, b.getI64IntegerAttr(lowering::byteCount(
                                        cast<ShapedType>(inputs[0]))));
    return f;
  }

  void read(memref::LoadOp load) {
    OpBuilder b(load);
    auto f = transfer("read", load.getMemRefType(), load.getType());
    load.replaceAllUsesWith(
        func::CallOp::create(b, load.getLoc(), f, load.getMemRef())
            .getResult(0));
    load.erase();
  }

  /// Moves the body of an entry function to a function on device buffers.
  void separate(func::FuncOp f) {
    OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
    auto work = func::FuncOp::create(
        b, f.getLoc(), (f.getName() + ".work").str(), f.getFunctionType());
    work.setPrivate();
    // Planned after what it calls.
    work->setAttr(lowering::bodyAttr, b.getI64IntegerAttr(0));
    work.getBody().takeBody(f.getBody());
    Block *block = f.addEntryBlock();
    b.setInsertionPointToStart(block);
    SmallVector<Value> buffers;
    SmallVector<std::array<Value, 3>> outputs; // to, from, bytes
    auto copy = [&](Value to, Value from, Value bytes) {
      Type type = to.getType();
      SmallVector<Type> types{type, type};
      SmallVector<Value> args{to, from};
      if (bytes) {
        types.push_back(bytes.getType());
        args.push_back(bytes);
      }
      func::CallOp::create(b, f.getLoc(), transfer("copy", types, {}), args);
    };
    auto call = [&](StringRef kind, Value x, Value y, ArrayRef<Type> results) {
      Type type = x.getType();
      return func::CallOp::create(b, f.getLoc(),
                                  transfer(kind, {type, type}, results),
                                  ValueRange{x, y});
    };
    for (BlockArgument arg : block->getArguments()) {
      unsigned i = arg.getArgNumber();
      if (f.getArgAttr(i, lowering::variableAttr)) {
        buffers.push_back(arg);
        continue;
      }
      auto type = cast<mlir::MemRefType>(arg.getType());
      Value device = memref::AllocOp::create(b, f.getLoc(), type);
      bool isOutput = f.getArgAttr(i, lowering::outputAttr) != nullptr;
      // Kernels read and write as many rows as the bound says: not the user's.
      Value bytes = bytesOf(b, arg);
      if (bytes && !isOutput)
        copy(device, arg, bytes);
      else if (!bytes && type.getNumElements() > 0)
        device =
            call(isOutput ? "place" : "bring", arg, device, type).getResult(0);
      buffers.push_back(device);
      if (isOutput)
        outputs.push_back({arg, device, bytes});
    }
    func::CallOp::create(b, f.getLoc(), work, buffers);
    for (auto [to, from, bytes] : outputs)
      if (cast<mlir::MemRefType>(to.getType()).getNumElements() > 0)
        copy(to, from, bytes);
    func::ReturnOp::create(b, f.getLoc());
  }

  /// Those of an argument's rows, where a call says how many there are.
  static Value bytesOf(OpBuilder &b, BlockArgument arg) {
    RuntimeLengths lengths = argumentLengths(arg);
    auto type = cast<mlir::MemRefType>(arg.getType());
    if (lengths.empty() || !lengths[0] || type.getNumElements() == 0)
      return {};
    int64_t bytesARow = lowering::byteCount(type) / type.getDimSize(0);
    Value rows = lengths[0].build(b, arg.getLoc());
    return mlir::arith::MulIOp::create(
        b, arg.getLoc(), rows,
        mlir::arith::ConstantIndexOp::create(b, arg.getLoc(), bytesARow));
  }

  llvm::DenseMap<std::pair<Attribute, Type>, func::FuncOp> transfers;
};
} // namespace

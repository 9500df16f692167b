//===- LaunchParts.cpp - calls of the thread pool -------------------------===//
//
// In: the LLVM dialect; a call of a function with `graph.parts` stands for
// calls with every part's number as first argument. Out: each such call is
//
//   frame = { the other arguments }      on the stack
//   gradus_parallel(unpack, &frame, parts)
//
// where unpack(frame, part) loads the arguments and calls the function.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace gradus {
#define GEN_PASS_DEF_LAUNCHPARTS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace LLVM = mlir::LLVM;

namespace {
struct LaunchParts : impl::LaunchPartsBase<LaunchParts> {
  void runOnOperation() override {
    SmallVector<LLVM::LLVMFuncOp> functions;
    for (auto f : getOperation().getOps<LLVM::LLVMFuncOp>())
      if (f->hasAttr(lowering::partsAttr))
        functions.push_back(f);
    if (functions.empty())
      return;
    declarePool();
    mlir::SymbolTableCollection tables;
    mlir::SymbolUserMap users(tables, getOperation());
    for (LLVM::LLVMFuncOp f : functions) {
      LLVM::LLVMFuncOp unpack = createUnpack(f);
      for (Operation *user : users.getUsers(f))
        launch(cast<LLVM::CallOp>(user), f, unpack);
    }
  }

private:
  Type pointer() { return LLVM::LLVMPointerType::get(&getContext()); }
  Type word() { return IntegerType::get(&getContext(), 64); }

  void declarePool() {
    OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(&getContext()), {pointer(), pointer(), word()});
    pool = LLVM::LLVMFuncOp::create(b, getOperation().getLoc(),
                                    lowering::parallelFunction, type);
  }

  static LLVM::LLVMStructType frameOf(LLVM::LLVMFuncOp f) {
    return LLVM::LLVMStructType::getLiteral(f.getContext(),
                                            f.getArgumentTypes().drop_front());
  }

  LLVM::LLVMFuncOp createUnpack(LLVM::LLVMFuncOp f) {
    ImplicitLocOpBuilder b(f.getLoc(), f->getNextNode());
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(&getContext()), {pointer(), word()});
    auto unpack =
        LLVM::LLVMFuncOp::create(b, (f.getName() + ".unpack").str(), type);
    unpack.setLinkage(LLVM::Linkage::Internal);
    Block *body = unpack.addEntryBlock(b);
    b.setInsertionPointToStart(body);
    auto frame = frameOf(f);
    SmallVector<Value> args{body->getArgument(1)};
    for (auto [i, t] : llvm::enumerate(frame.getBody())) {
      Value at = field(b, frame, body->getArgument(0), i);
      args.push_back(LLVM::LoadOp::create(b, t, at));
    }
    LLVM::CallOp::create(b, f, args);
    LLVM::ReturnOp::create(b, ValueRange());
    return unpack;
  }

  Value field(ImplicitLocOpBuilder &b, Type frame, Value base, int32_t i) {
    return LLVM::GEPOp::create(b, pointer(), frame, base,
                               ArrayRef<LLVM::GEPArg>{0, i});
  }

  void launch(LLVM::CallOp call, LLVM::LLVMFuncOp f, LLVM::LLVMFuncOp unpack) {
    // The frame in the caller's first block: one a call site, however often
    // the call runs.
    auto caller = call->getParentOfType<LLVM::LLVMFuncOp>();
    ImplicitLocOpBuilder b(call.getLoc(), &caller.getBody().front(),
                           caller.getBody().front().begin());
    auto frame = frameOf(f);
    Value one = LLVM::ConstantOp::create(b, word(), b.getI64IntegerAttr(1));
    Value at = LLVM::AllocaOp::create(b, pointer(), frame, one);
    b.setInsertionPoint(call);
    for (auto [i, v] : llvm::enumerate(call.getArgOperands().drop_front()))
      LLVM::StoreOp::create(b, v, field(b, frame, at, i));
    Value body = LLVM::AddressOfOp::create(b, unpack);
    Value parts = LLVM::ConstantOp::create(
        b, word(), f->getAttrOfType<IntegerAttr>(lowering::partsAttr));
    LLVM::CallOp::create(b, pool, ValueRange{body, at, parts});
    call.erase();
  }

  LLVM::LLVMFuncOp pool;
};
} // namespace

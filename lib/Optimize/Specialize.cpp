//===- Specialize.cpp - functions for sizes that come often ---------------===//
//
// In: functions without calls, some of their dimensions without a size. Out:
// beside each, one for every size asked for, in which the dimension is a number
// (`graph.special`). The code for any size goes on there where a call says one
// of these (CheckSizes.cpp).
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/Dims.h"
#include "gradus/Expand.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"

namespace gradus {
#define GEN_PASS_DEF_SPECIALIZE
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

static bool hasDim(FuncOp f, StringRef name) {
  return llvm::any_of(f.getArgumentTypes(), [&](Type t) {
    return llvm::any_of(Shape(t).dims, [&](const Dim &d) {
      return d.name && d.name.getValue() == name;
    });
  });
}

namespace {
struct Specialize : impl::SpecializeBase<Specialize> {
  using SpecializeBase::SpecializeBase;

  void runOnOperation() override {
    auto functions = llvm::to_vector(getOperation().getBody().getOps<FuncOp>());
    for (const std::string &text : sizes) {
      auto [name, size] = StringRef(text).split('=');
      int64_t n, most = -1;
      for (StringRef bound : bounds)
        if (bound.consume_front(name) && bound.consume_front("="))
          (void)bound.getAsInteger(10, most);
      if (size.getAsInteger(10, n) || n < 0 || (most >= 0 && n > most)) {
        auto d = mlir::emitError(getOperation().getLoc())
                 << "'" << size << "' is no size for '" << name << "'";
        if (most >= 0)
          d << ", which is at most " << most;
        d << "; write some as " << name << ":1,8";
        return signalPassFailure();
      }
      if (most < 0) {
        mlir::emitError(getOperation().getLoc())
            << "'" << name << "' has no bound; give it one with --dims '"
            << name << "<=N'";
        return signalPassFailure();
      }
      for (FuncOp f : functions)
        if (hasDim(f, name) && failed(specialize(f, name, n)))
          return signalPassFailure();
    }
  }

private:
  LogicalResult specialize(FuncOp f, StringRef name, int64_t size) {
    OpBuilder b(f->getContext());
    b.setInsertionPointAfter(f);
    auto special = cast<FuncOp>(b.clone(*f));
    special.setSymName((f.getSymName() + "." + name + Twine(size)).str());
    special->setAttr(lowering::specialAttr,
                     b.getDictionaryAttr(
                         {b.getNamedAttr("of", f.getSymNameAttr()),
                          b.getNamedAttr("dim", b.getStringAttr(name)),
                          b.getNamedAttr("size", b.getI64IntegerAttr(size))}));
    replaceDims(special, [&](const Dim &d) {
      return d.name.getValue() == name ? Dim{size} : d;
    });
    for (Operation &op : special.getBody().front())
      if (failed(inferAnew(&op)))
        return failure();
    return success();
  }
};
} // namespace

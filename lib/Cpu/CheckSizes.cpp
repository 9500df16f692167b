//===- CheckSizes.cpp - entry functions refuse sizes past their bounds ----===//
//
// On the LLVM dialect. In: entry functions that take sizes of dimensions with
// bounds. Out: each is private; in its place stands a function of the same
// name that returns a message if a size is out of bounds, and else calls it, or
// one that is made for the size, and returns null or what that returns.
//
//===----------------------------------------------------------------------===//

#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace gradus {
#define GEN_PASS_DEF_CHECKSIZES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace LLVM = mlir::LLVM;

namespace {
struct CheckSizes : impl::CheckSizesBase<CheckSizes> {
  void runOnOperation() override {
    auto bounds =
        getOperation()->getAttrOfType<DictionaryAttr>(lowering::boundsAttr);
    if (!bounds)
      return;
    llvm::StringMap<SmallVector<Special>> specials;
    if (auto all =
            getOperation()->getAttrOfType<ArrayAttr>(lowering::specialAttr))
      for (auto one : all.getAsRange<DictionaryAttr>()) {
        auto text = [&](StringRef key) {
          return one.getAs<StringAttr>(key).getValue();
        };
        auto f = getOperation().lookupSymbol<LLVM::LLVMFuncOp>(text("name"));
        f.setLinkage(LLVM::Linkage::Internal);
        f.removeArgAttrsAttr();
        specials[text("of")].push_back(
            {f, one.getAs<StringAttr>("dim"),
             one.getAs<IntegerAttr>("size").getInt()});
      }
    for (auto f : llvm::to_vector(getOperation().getOps<LLVM::LLVMFuncOp>()))
      if (f.getLinkage() == LLVM::Linkage::External && !f.isExternal())
        wrap(f, bounds, specials.lookup(f.getSymName()));
    getOperation()->removeAttr(lowering::boundsAttr);
    getOperation()->removeAttr(lowering::specialAttr);
  }

private:
  /// Code for one size of one dimension.
  struct Special {
    LLVM::LLVMFuncOp function;
    StringAttr dim;
    int64_t size;
  };

  void wrap(LLVM::LLVMFuncOp f, DictionaryAttr bounds,
            ArrayRef<Special> specials) {
    struct Size {
      unsigned argument;
      StringAttr name;
      int64_t most;
    };
    SmallVector<Size> sizes;
    for (unsigned i = 0; i < f.getNumArguments(); ++i)
      if (auto name = f.getArgAttrOfType<StringAttr>(i, lowering::sizeAttr)) {
        sizes.push_back({i, name, bounds.getAs<IntegerAttr>(name).getInt()});
        f.removeArgAttr(i, lowering::sizeAttr);
      }
    if (sizes.empty())
      return;
    ImplicitLocOpBuilder b(f.getLoc(), f);
    std::string name = f.getSymName().str();
    f.setSymName(name + ".checked");
    f.setLinkage(LLVM::Linkage::Internal);
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    auto wrapper = LLVM::LLVMFuncOp::create(
        b, name, LLVM::LLVMFunctionType::get(pointer, f.getArgumentTypes()));
    Block *block = wrapper.addEntryBlock(b);
    ValueRange args = block->getArguments();
    for (const Size &s : sizes) {
      b.setInsertionPointToEnd(block);
      // As unsigned, a negative size is a large one.
      Value most = LLVM::ConstantOp::create(b, b.getI64Type(), s.most);
      Value bad = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ugt,
                                       args[s.argument], most);
      Block *refuse =
                b.createBlock(&wrapper.getBody(), wrapper.getBody().end()),
            *next = b.createBlock(&wrapper.getBody(), wrapper.getBody().end());
      b.setInsertionPointToEnd(block);
      LLVM::CondBrOp::create(b, bad, refuse, next);
      b.setInsertionPointToEnd(refuse);
      LLVM::ReturnOp::create(b, message(b, s.name, s.most));
      block = next;
    }
    // A GPU's functions return messages of their own.
    auto callAndReturn = [&](LLVM::LLVMFuncOp callee, ValueRange actual) {
      auto call = LLVM::CallOp::create(b, callee, actual);
      LLVM::ReturnOp::create(b, call.getNumResults() == 1
                                    ? call.getResult()
                                    : LLVM::ZeroOp::create(b, pointer));
    };
    for (const Special &special : specials) {
      const Size *size = llvm::find_if(
          sizes, [&](const Size &s) { return s.name == special.dim; });
      if (size == sizes.end())
        continue;
      b.setInsertionPointToEnd(block);
      Value wanted = LLVM::ConstantOp::create(b, b.getI64Type(), special.size);
      Value is = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq,
                                      args[size->argument], wanted);
      Block *here = b.createBlock(&wrapper.getBody(), wrapper.getBody().end()),
            *next = b.createBlock(&wrapper.getBody(), wrapper.getBody().end());
      b.setInsertionPointToEnd(block);
      LLVM::CondBrOp::create(b, is, here, next);
      b.setInsertionPointToEnd(here);
      // It takes no such size.
      SmallVector<Value> others(args);
      others.erase(others.begin() + size->argument);
      callAndReturn(special.function, others);
      block = next;
    }
    b.setInsertionPointToEnd(block);
    callAndReturn(f, args);
  }

  /// "batch is not from 0 to 64, for which this code was compiled"
  Value message(ImplicitLocOpBuilder &b, StringAttr name, int64_t most) {
    std::string symbol = ("message." + name.getValue()).str();
    auto global = getOperation().lookupSymbol<LLVM::GlobalOp>(symbol);
    if (!global) {
      std::string text = name.str() + " is not from 0 to " +
                         std::to_string(most) +
                         ", for which this code was compiled";
      text.push_back('\0');
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(getOperation().getBody());
      global = LLVM::GlobalOp::create(
          b, LLVM::LLVMArrayType::get(b.getI8Type(), text.size()),
          /*isConstant=*/true, LLVM::Linkage::Internal, symbol,
          b.getStringAttr(text));
    }
    return LLVM::AddressOfOp::create(b, global);
  }
};
} // namespace

//===- Library.cpp - the standard library, written in the language --------===//

#include "ModelScope.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

using namespace gradus;
using namespace gradus::graph;

static const char libraryText[] =
#include "dialects/graph/std.mlir.inc"
    ;

ModelOp GraphDialect::getLibrary() {
  if (!library && !readingLibrary) {
    // The library's own calls find no library: they are unqualified.
    readingLibrary = true;
    ModelScope *outer = std::exchange(ModelScope::current, nullptr);
    llvm::SourceMgr files;
    files.AddNewSourceBuffer(
        llvm::MemoryBuffer::getMemBuffer(libraryText, "std.mlir"), {});
    mlir::SourceMgrDiagnosticHandler show(files, getContext());
    if (auto m = mlir::parseSourceFile<ModuleOp>(
            files, mlir::ParserConfig(getContext())))
      library = m.release().getOperation();
    ModelScope::current = outer;
    readingLibrary = false;
  }
  if (!library)
    return {};
  return *cast<ModuleOp>(library.get()).getOps<ModelOp>().begin();
}

FuncOp graph::lookupCallee(Operation *from, StringRef name) {
  if (name.consume_front("std.")) {
    auto *dialect = from->getContext()->getLoadedDialect<GraphDialect>();
    ModelOp library = dialect->getLibrary();
    return library ? mlir::SymbolTable(library).lookup<FuncOp>(name) : FuncOp();
  }
  return mlir::SymbolTable::lookupNearestSymbolFrom<FuncOp>(
      from, StringAttr::get(from->getContext(), name));
}

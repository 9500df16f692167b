//===- MemoryLimit.cpp - how much to compute again to fit a limit ---------===//
//
// graph-recompute works by an estimate; what a function needs is known once its
// memory is planned. So copies of the model are lowered as far as that, with
// what the pass is asked for halfway between too much and too little each time,
// and the model goes on with the least recomputation that fits.
//
//===----------------------------------------------------------------------===//

#include "gradus/Compiler.h"
#include "gradus/Graph.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"

using namespace gradus;
namespace func = mlir::func;

static LogicalResult recompute(ModuleOp module, int64_t limit,
                               const CompileOptions &options) {
  mlir::PassManager pm(module.getContext());
  RecomputeOptions how;
  how.limit = limit;
  how.bounds.assign(options.bounds.begin(), options.bounds.end());
  pm.addNestedPass<graph::ModelOp>(createRecompute(how));
  return pm.run(module);
}

/// Takes what graph-recompute left from each function, with its name.
static llvm::StringMap<DictionaryAttr> takeRecords(ModuleOp module) {
  llvm::StringMap<DictionaryAttr> records;
  module.walk([&](graph::FuncOp f) {
    if (auto record =
            f->getAttrOfType<DictionaryAttr>(lowering::recomputedAttr))
      records[f.getSymName()] = record;
    f->removeAttr(lowering::recomputedAttr);
  });
  return records;
}
static int64_t number(DictionaryAttr record, StringRef name) {
  return record.getAs<IntegerAttr>(name).getInt();
}

namespace {
/// The arenas that the functions of a model need if the pass gets a limit.
struct Trial {
  llvm::StringMap<int64_t> arenas;
  std::string largest;  ///< the function with the largest
  int64_t bytes = 0;    ///< of its arena
  int64_t estimate = 0; ///< of the pass, without recomputation

  static FailureOr<Trial> run(ModuleOp simple, int64_t limit,
                              const CompileOptions &options) {
    mlir::OwningOpRef<ModuleOp> copy = simple.clone();
    if (failed(recompute(*copy, limit, options)))
      return failure();
    Trial t;
    for (auto &record : takeRecords(*copy))
      t.estimate = std::max(t.estimate, number(record.second, "before"));
    mlir::PassManager pm(simple.getContext());
    for (Stage stage : {Stage::Linalg, Stage::Kernels, Stage::Buffers})
      buildStage(stage, pm, options);
    if (failed(pm.run(*copy)))
      return failure();
    for (auto f : copy->getOps<func::FuncOp>()) {
      auto arena = f->getAttrOfType<IntegerAttr>(lowering::arenaAttr);
      if (f.isPrivate() || !arena)
        continue;
      t.arenas[f.getSymName()] = arena.getInt();
      if (t.largest.empty() || arena.getInt() > t.bytes) {
        t.largest = f.getSymName().str();
        t.bytes = arena.getInt();
      }
    }
    return t;
  }
};
} // namespace

LogicalResult Compilation::limitMemory() {
  auto scope = total.nest("fit the memory limit");
  auto none = Trial::run(*source, INT64_MAX, settings);
  if (failed(none))
    return failure();
  if (none->bytes <= settings.memoryLimit)
    return success();
  // The least recomputation that fits: from `low` on none was found to.
  int64_t low = 0, high = none->estimate;
  Trial smallest = *none;
  auto fits = [&](int64_t limit) -> FailureOr<bool> {
    auto t = Trial::run(*source, limit, settings);
    if (failed(t))
      return failure();
    if (t->bytes < smallest.bytes)
      smallest = *t;
    return t->bytes <= settings.memoryLimit;
  };
  constexpr int trials = 6;
  for (int i = 0; i < trials; ++i) {
    int64_t middle = low + (high - low) / 2;
    auto does = fits(middle);
    if (failed(does))
      return failure();
    (*does ? low : high) = middle;
  }
  if (low == 0) {
    auto does = fits(0);
    if (failed(does))
      return failure();
    if (!*does)
      return refuse(smallest.largest, smallest.bytes);
  }
  if (failed(recompute(*source, low, settings)))
    return failure();
  for (auto &[name, record] : takeRecords(*source))
    if (number(record, "tensors") > 0)
      recomputed[name] = {
          number(record, "tensors"),
          record.getAs<FloatAttr>("more").getValueAsDouble(),
          record.getAs<FloatAttr>("leastMore").getValueAsDouble(),
          none->arenas.lookup(name)};
  return success();
}

LogicalResult Compilation::refuse(StringRef function, int64_t bytes) {
  Location loc = source->getLoc();
  source->walk([&](graph::FuncOp f) {
    if (f.getSymName() == function)
      loc = f.getLoc();
  });
  return mlir::emitError(loc)
         << "@" << function << " needs " << bytes
         << " bytes of memory for what it computes, however much is computed "
            "again; --memory-limit="
         << bytes << " is the smallest that would do";
}

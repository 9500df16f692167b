//===- AddInit.cpp - a function that sets every variable ------------------===//
//
// In: a model whose variables all stand at its top. Out: the same with
// `func @init(%seed: i64[])`, which updates each of them to its first value.
//
// The numbers of a variable depend on the seed and on its name (or its own
// `seed` option) only, not on what else the model declares.
//
// Variances: He et al. 2015 (2 / fan-in), Glorot and Bengio 2010
// (2 / (fan-in + fan-out)). Fan-in is the last axis but one times the axes
// before it, fan-out the last one times those.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/Build.h"
#include "gradus/Passes.h"

namespace gradus {
#define GEN_PASS_DEF_ADDINIT
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

/// FNV-1a: stable across machines and versions, unlike llvm::hash_value.
static int64_t streamOf(StringRef name) {
  uint32_t h = 2166136261U;
  for (unsigned char c : name)
    h = (h ^ c) * 16777619U;
  return h;
}

/// How many inputs, and outputs, a number of a parameter has. The first
/// `stacked` axes count parameters.
static std::pair<double, double> fans(Shape s, size_t stacked) {
  s.dims.erase(s.dims.begin(),
               s.dims.begin() + std::min<size_t>(stacked, s.rank()));
  double field = 1;
  for (int64_t i = 0; i + 2 < s.rank(); ++i)
    field *= s[i].size;
  double in = s.rank() > 1 ? s[-2].size : 1;
  double out = s.rank() > 0 ? s[-1].size : 1;
  return {in * field, out * field};
}

static Value initialValue(ImplicitLocOpBuilder &b, Operation *variable,
                          Value seed) {
  Shape shape(variable->getResult(0));
  auto init = variable->getAttrOfType<StringAttr>("init").getValue();
  auto options = variable->getAttrOfType<DictionaryAttr>("options");
  auto option = [&](StringRef name, double otherwise) {
    Attribute a = options.get(name);
    if (auto i = dyn_cast_or_null<IntegerAttr>(a))
      return double(i.getInt());
    auto f = dyn_cast_or_null<FloatAttr>(a);
    return f ? f.getValueAsDouble() : otherwise;
  };
  V like(&b, seed);
  auto filled = [&](double n) {
    return broadcast(tensor(n, &b, shape.element), shape).value();
  };
  if (init == "zeros")
    return filled(0);
  if (init == "ones")
    return filled(1);
  if (init == "constant")
    return filled(option("value", 0));

  int64_t stream = options.get("seed") ? int64_t(option("seed", 0))
                                       : streamOf(variableName(variable));
  auto [in, out] = fans(shape, size_t(std::max(0.0, option("stacked", 0))));
  auto normal = [&](double mean, double deviation) {
    V z(&b, NormalOp::create(b, shape.type(), seed, TypeAttr::get(shape.type()),
                             b.getI64IntegerAttr(stream)));
    return (z * deviation + mean).value();
  };
  auto spread = [&](double low, double high) {
    return (uniform(like, shape, stream) * (high - low) + low).value();
  };
  if (init == "normal")
    return normal(option("mean", 0), option("std", 1));
  if (init == "uniform")
    return spread(option("low", 0), option("high", 1));
  if (init == "he_normal")
    return normal(0, std::sqrt(2 / in));
  if (init == "glorot_normal")
    return normal(0, std::sqrt(2 / (in + out)));
  // A uniform distribution on [-a, a] has the variance a^2 / 3.
  double bound =
      init == "he_uniform" ? std::sqrt(6 / in) : std::sqrt(6 / (in + out));
  return spread(-bound, bound);
}

namespace {
struct AddInit : impl::AddInitBase<AddInit> {
  void runOnOperation() override {
    ModelOp model = getOperation();
    SmallVector<Operation *> variables;
    for (Operation &op : model.getBody().front())
      if (variableName(&op))
        variables.push_back(&op);
    if (variables.empty())
      return;
    if (Operation *taken = mlir::SymbolTable::lookupSymbolIn(model, "init")) {
      mlir::emitError(taken->getLoc())
          << "a model with parameters gets a function @init of its own; give "
             "this one another name";
      return signalPassFailure();
    }
    for (Operation *v : variables) {
      Shape s(v->getResult(0));
      for (const Dim &d : s.dims)
        if (!d.known()) {
          mlir::emitError(v->getLoc())
              << "dimension '" << d.str() << "' of '"
              << variableName(v).getValue()
              << "' has no size: give it with --dims " << d.str() << "=N";
          return signalPassFailure();
        }
      bool constant =
          v->getAttrOfType<StringAttr>("init").getValue() == "zeros" ||
          v->getAttrOfType<StringAttr>("init").getValue() == "ones" ||
          v->getAttrOfType<StringAttr>("init").getValue() == "constant";
      if (!s.isFloat() && !constant) {
        mlir::emitError(v->getLoc())
            << "random initialisers make f32 and f64 numbers, not " << s.str();
        return signalPassFailure();
      }
    }
    ImplicitLocOpBuilder b(model.getLoc(), &getContext());
    b.setInsertionPointToEnd(&model.getBody().front());
    auto seedType = RankedTensorType::get({}, b.getI64Type());
    StringAttr seedName = b.getStringAttr("seed");
    auto attrs = b.getArrayAttr(
        b.getDictionaryAttr(b.getNamedAttr("graph.name", seedName)));
    auto f = FuncOp::create(b, "init", b.getFunctionType(seedType, {}), attrs,
                            ArrayAttr());
    Block *body = &f.getBody().emplaceBlock();
    Value seed =
        body->addArgument(seedType, NameLoc::get(seedName, b.getLoc()));
    b.setInsertionPointToStart(body);
    for (Operation *v : variables) {
      b.setLoc(v->getLoc());
      UpdateOp::create(b, v->getResult(0), initialValue(b, v, seed));
    }
    ReturnOp::create(b, ValueRange(), ArrayAttr());
  }
};
} // namespace

//===- ExpandTrain.cpp - `train` written out as a step function -----------===//
//
// In: `train @fit minimizes @loss using adam(..) reports @accuracy`, layers
// instantiated. Out: `func @fit.step` of the loss's arguments, which returns
// the loss and the metrics; calls of the optimiser are layers again, to be
// instantiated after this pass.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/Build.h"
#include "gradus/Expand.h"
#include "gradus/Passes.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/Support/GlobPattern.h"

namespace gradus {
#define GEN_PASS_DEF_EXPANDTRAIN
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
using mlir::FlatSymbolRefAttr;

namespace {
class StepBuilder {
public:
  StepBuilder(TrainOp train, ModelOp model)
      : train(train), model(model), symbols(model), b(train.getLoc(), train),
        self(train.getSymName().str()) {}

  LogicalResult run() {
    if (failed(findLoss()) || failed(findOptimizer()) || failed(findReports()))
      return failure();
    bool counts = takesStep();
    auto scalar = RankedTensorType::get({}, b.getF32Type());
    Value steps;
    if (counts)
      steps = StateOp::create(
          b, named(self + ".steps"), scalar, b.getStringAttr(self + ".steps"),
          b.getStringAttr("zeros"), b.getDictionaryAttr({}));
    auto f = FuncOp::create(b, train.getLoc(), self + ".step",
                            loss.getFunctionType(), loss.getArgAttrsAttr(),
                            ArrayAttr());
    Block *body = &f.getBody().emplaceBlock();
    for (BlockArgument a : loss.getBody().getArguments())
      body->addArgument(a.getType(), a.getLoc());
    b.setInsertionPointToStart(body);

    auto gradients = requestGradients(body->getArguments());
    SmallVector<Value> results{gradients.getResult(0)};
    SmallVector<Attribute> names{b.getStringAttr(loss.resultName(0))};
    for (FuncOp metric : reports) {
      auto call = CallOp::create(b, named(metric.getSymName()),
                                 metric.getResultTypes(), metric.getSymName(),
                                 body->getArguments(), StringAttr(),
                                 DictionaryAttr(), ArrayAttr(), ArrayAttr());
      results.push_back(call.getResult(0));
      names.push_back(b.getStringAttr(metric.getSymName()));
    }
    Value step;
    if (counts) {
      V one = tensor(1.0, &b, b.getF32Type());
      step = AddOp::create(b, named("step"), steps, one.value());
      UpdateOp::create(b, train.getLoc(), steps, step);
    }
    for (auto [i, p] : llvm::enumerate(params))
      if (failed(updateParam(p, gradients.getResult(loss.getNumResults() + i),
                             step)))
        return failure();
    ReturnOp::create(b, train.getLoc(), results, b.getArrayAttr(names));
    f.setFunctionType(b.getFunctionType(loss.getArgumentTypes(),
                                        ValueRange(results).getTypes()));
    train.erase();
    return success();
  }

private:
  Location named(const Twine &name) {
    return NameLoc::get(b.getStringAttr(name), train.getLoc());
  }
  InFlightDiagnostic error() { return mlir::emitError(train.getLoc()); }
  InFlightDiagnostic noFunction(StringRef name) {
    SmallVector<StringRef> all;
    for (auto f : model.getBody().getOps<FuncOp>())
      all.push_back(f.getSymName());
    auto d = error() << "there is no function @" << name;
    if (StringRef n = nearest(name, all); !n.empty())
      d << "; did you mean @" << n << "?";
    return d;
  }

  LogicalResult findLoss() {
    loss = symbols.lookup<FuncOp>(train.getLoss());
    if (!loss)
      return noFunction(train.getLoss());
    auto results = loss.getResultTypes();
    if (results.empty() || Shape(results[0]).rank() ||
        !Shape(results[0]).isFloat())
      return error() << "only a scalar can be minimized, but @"
                     << train.getLoss() << " returns "
                     << (results.empty() ? "nothing" : Shape(results[0]).str());
    for (Operation *v : usedVariables(loss))
      if (auto p = dyn_cast<ParamOp>(v))
        params.push_back(p);
    if (params.empty())
      return error() << "@" << train.getLoss()
                     << " uses no parameter, so there is nothing to train";
    for (auto p : model.getBody().getOps<ParamOp>())
      if (!llvm::is_contained(params, p))
        mlir::emitWarning(p.getLoc())
            << "@" << train.getLoss() << " does not use parameter '"
            << p.getName() << "': training leaves it as it is";
    return train.getWrt() ? keepMatching() : success();
  }

  /// Only the parameters whose names match a pattern are trained.
  LogicalResult keepMatching() {
    SmallVector<ParamOp> kept;
    SmallVector<StringRef> names;
    for (ParamOp p : params)
      names.push_back(p.getName());
    ArrayAttr patterns = *train.getWrt();
    for (Attribute a : patterns) {
      StringRef text = cast<StringAttr>(a).getValue();
      auto pattern = llvm::GlobPattern::create(text);
      if (!pattern) {
        llvm::consumeError(pattern.takeError());
        return error() << "'" << text
                       << "' is no pattern; '*' stands for any characters, "
                          "[ab] for one of them";
      }
      bool matches = false;
      for (ParamOp p : params)
        if (pattern->match(p.getName())) {
          matches = true;
          if (!llvm::is_contained(kept, p))
            kept.push_back(p);
        }
      if (!matches) {
        auto d = error() << "no parameter of @" << train.getLoss()
                         << " matches \"" << text << "\"";
        if (StringRef n = nearest(text, names); !n.empty())
          d << "; did you mean \"" << n << "\"?";
        return d;
      }
    }
    // In the model's order, whatever the order of the patterns.
    llvm::erase_if(params,
                   [&](ParamOp p) { return !llvm::is_contained(kept, p); });
    return success();
  }

  LogicalResult findOptimizer() {
    // The model's own goes before the standard library's.
    optimizerName = train.getOptimizer().str();
    optimizer = symbols.lookup<FuncOp>(optimizerName);
    if (optimizer)
      return success();
    optimizerName = "std." + optimizerName;
    optimizer = lookupCallee(train, optimizerName);
    if (optimizer)
      return success();
    auto d = error() << "there is no optimiser '" << train.getOptimizer()
                     << "'";
    StringRef known[] = {"sgd", "momentum", "adam", "adamw"};
    if (StringRef n = nearest(train.getOptimizer(), known); !n.empty())
      d << "; did you mean '" << n << "'?";
    return d;
  }

  LogicalResult findReports() {
    for (Attribute a : train.getReports()) {
      StringRef name = cast<FlatSymbolRefAttr>(a).getValue();
      auto f = symbols.lookup<FuncOp>(name);
      if (!f)
        return noFunction(name);
      if (f.getArgumentTypes() != loss.getArgumentTypes() ||
          f.getNumResults() != 1 || Shape(f.getResultTypes()[0]).rank())
        return error() << "@" << name << " must take the arguments of @"
                       << train.getLoss() << " and return one scalar";
      reports.push_back(f);
    }
    return success();
  }

  bool takesStep() {
    for (unsigned i = 0; i < optimizer.getNumArguments(); ++i)
      if (optimizer.argumentName(i) == "step")
        return true;
    return false;
  }

  ValueAndGradOp requestGradients(ValueRange args) {
    std::string names = loss.resultName(0);
    SmallVector<Type> types(loss.getResultTypes());
    SmallVector<Value> wrt;
    for (size_t i = 1; i < types.size(); ++i)
      names += ",";
    for (ParamOp p : params) {
      names += ",d." + p.getName().str();
      types.push_back(p.getType());
      wrt.push_back(p);
    }
    return ValueAndGradOp::create(b, named(names), types, train.getLoss(), args,
                                  wrt);
  }

  LogicalResult updateParam(ParamOp p, Value gradient, Value step) {
    SmallVector<Value> inputs{p, gradient};
    if (step)
      inputs.push_back(step);
    DictionaryAttr options =
        train.getOptions().empty() ? DictionaryAttr() : train.getOptions();
    auto types = callResults(Signature(optimizer), inputs, options,
                             Report(train.getLoc()));
    if (failed(types))
      return failure();
    auto next = CallOp::create(b, named(p.getName() + ".next"), *types,
                               optimizerName, inputs, p.getNameAttr(), options,
                               ArrayAttr(), ArrayAttr());
    if (types->size() != 1 || types->front() != p.getType())
      return error() << "the optimiser '" << train.getOptimizer()
                     << "' must return one " << Shape(p).str() << " for '"
                     << p.getName() << "'";
    UpdateOp::create(b, train.getLoc(), p, next.getResult(0));
    return success();
  }

  TrainOp train;
  ModelOp model;
  mlir::SymbolTable symbols;
  ImplicitLocOpBuilder b;
  std::string self, optimizerName;
  FuncOp loss, optimizer;
  SmallVector<FuncOp> reports;
  SmallVector<ParamOp> params;
};

struct ExpandTrain : impl::ExpandTrainBase<ExpandTrain> {
  void runOnOperation() override {
    ModelOp model = getOperation();
    for (auto t : llvm::make_early_inc_range(model.getBody().getOps<TrainOp>()))
      if (failed(StepBuilder(t, model).run()))
        return signalPassFailure();
  }
};
} // namespace

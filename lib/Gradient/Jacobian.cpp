//===- Jacobian.cpp - Jacobians and Hessians, written out -----------------===//
//
// A Jacobian is a derivative along each unit tensor: forward mode along those
// of the argument, or reverse mode along those of the result, whichever are
// fewer. `vmap` computes all at once, one axis of the unit tensors after the
// other. A Hessian is the Jacobian of the gradient: forward over reverse.
//
//===----------------------------------------------------------------------===//

#include "Jacobian.h"
#include "dialects/graph/Build.h"
#include "gradus/Expand.h"

using namespace gradus;
using namespace gradus::graph;

namespace {
/// A call whose derivatives are asked for, as helper functions see it: of its
/// inputs but variables, each once.
class DerivedCall {
public:
  DerivedCall(ImplicitLocOpBuilder &b, StringRef callee, ValueRange inputs)
      : b(b), callee(callee.str()), inputs(inputs) {
    Operation *around = b.getBlock()->getParentOp();
    caller = isa<FuncOp>(around) ? cast<FuncOp>(around)
                                 : around->getParentOfType<FuncOp>();
    for (Value v : inputs)
      if (!isVariable(v) && !llvm::is_contained(args, v))
        args.push_back(v);
  }

  /// The result's axes, then those of `wrt`.
  FailureOr<Value> jacobian(Value wrt, Shape result) {
    for (const Dim &d : Shape(wrt).dims)
      if (d.anonymous())
        return mlir::emitError(b.getLoc())
               << "a jacobian with respect to " << display(wrt) << ", "
               << Shape(wrt).str() << ", needs names or sizes for its axes";
    return forwardIsLess(wrt, result) ? forward(wrt, result)
                                      : reverse(wrt, result);
  }
  /// A helper that returns the gradient with respect to `wrt`.
  FuncOp gradient(Value wrt) {
    return addHelper(caller, callee + ".gradient", types(),
                     [&](ImplicitLocOpBuilder &inner, ValueRange formal) {
                       return SmallVector<Value>{
                           gradientOf(inner, callee, calledWith(formal),
                                      standsFor(wrt, formal))};
                     });
  }
  ValueRange arguments() const { return args; }

private:
  static bool isVariable(Value v) {
    return v.getDefiningOp() && variableName(v.getDefiningOp());
  }
  /// The types of the arguments, and those of `more`.
  SmallVector<Type> types(ArrayRef<Type> more = {}) const {
    SmallVector<Type> all(ValueRange(args).getTypes());
    llvm::append_range(all, more);
    return all;
  }
  Value standsFor(Value v, ValueRange formal) const {
    const auto *at = llvm::find(args, v);
    return at == args.end() ? v : formal[at - args.begin()];
  }
  SmallVector<Value> calledWith(ValueRange formal) const {
    return llvm::map_to_vector(inputs,
                               [&](Value v) { return standsFor(v, formal); });
  }

  static std::optional<int64_t> elements(const Shape &s) {
    int64_t n = 1;
    for (const Dim &d : s.dims) {
      if (!d.known())
        return std::nullopt;
      n *= d.size;
    }
    return n;
  }
  bool forwardIsLess(Value wrt, const Shape &result) const {
    if (!llvm::is_contained(args, wrt) || result.rank() == 0)
      return false;
    auto in = elements(Shape(wrt)), out = elements(result);
    return !in || !out || *in <= *out;
  }

  static Value gradientOf(ImplicitLocOpBuilder &b, StringRef callee,
                          ValueRange inputs, Value wrt) {
    auto scalar = Shape(Shape(wrt).element, {}).type();
    return ValueAndGradOp::create(b, mlir::TypeRange{scalar, wrt.getType()},
                                  callee, inputs, wrt)
        .getResult(1);
  }

  FailureOr<Value> forward(Value wrt, const Shape &result) {
    FuncOp along = addHelper(
        caller, callee + ".along", types(wrt.getType()),
        [&](ImplicitLocOpBuilder &inner, ValueRange formal) {
          SmallVector<Value> both = calledWith(formal.drop_back());
          for (Value v : inputs) {
            V now(&inner, standsFor(v, formal.drop_back()));
            bool moves = v == wrt, moveable = now.shape().isFloat();
            both.push_back(moves      ? formal.back()
                           : moveable ? constant(now, now.shape(), 0).value()
                                      : now.value());
          }
          Type type = result.type();
          return SmallVector<Value>{
              JvpOp::create(inner, mlir::TypeRange{type, type}, callee, both)
                  .getResult(1)};
        });
    V all(&b, alongUnits(along, Shape(wrt), result));
    for (int64_t i = 0; i < Shape(wrt).rank(); ++i)
      all = moveAxis(all, 0, all.shape().rank() - 1);
    return all.value();
  }

  FailureOr<Value> reverse(Value wrt, const Shape &result) {
    if (result.rank() == 0)
      return gradientOf(b, callee, inputs, wrt);
    Type type = result.type();
    FuncOp weighted = addHelper(
        caller, callee + ".weighted", types(type),
        [&](ImplicitLocOpBuilder &inner, ValueRange formal) {
          V value(&inner,
                  CallOp::create(inner, type, callee,
                                 calledWith(formal.drop_back()), StringAttr(),
                                 DictionaryAttr(), ArrayAttr(), ArrayAttr())
                      .getResult(0));
          V sum =
              reduce_sum(value * V(&inner, formal.back()), std::nullopt, false);
          return SmallVector<Value>{sum.value()};
        });
    FuncOp pulled =
        addHelper(caller, callee + ".pulled", types(type),
                  [&](ImplicitLocOpBuilder &inner, ValueRange formal) {
                    return SmallVector<Value>{
                        gradientOf(inner, weighted.getSymName(), formal,
                                   standsFor(wrt, formal.drop_back()))};
                  });
    return alongUnits(pulled, result, Shape(wrt));
  }

  /// What the helper, whose last argument is a `unit`, returns for each unit
  /// tensor: axes of the unit, then those of `result`.
  Value alongUnits(FuncOp helper, const Shape &unit, const Shape &result) {
    Shape units = unit, results = result;
    int64_t rank = unit.rank();
    if (rank == 0) {
      SmallVector<Value> actual(args);
      actual.push_back(tensor(1, &b, unit.element).value());
      return CallOp::create(b, result.type(), helper.getSymName(), actual,
                            StringAttr(), DictionaryAttr(), ArrayAttr(),
                            ArrayAttr())
          .getResult(0);
    }
    auto over = int64_t(args.size());
    auto vmap = [&](ImplicitLocOpBuilder &at, ValueRange actual) -> Value {
      return VmapOp::create(at, mlir::TypeRange{results.type()},
                            helper.getSymName(), actual, List(over))
          .getResult(0);
    };
    auto grow = [&](int64_t axis) {
      units.dims.insert(units.dims.begin(), unit[axis]);
      results.dims.insert(results.dims.begin(), unit[axis]);
    };
    for (int64_t axis = rank - 1; axis > 0; --axis) {
      grow(axis);
      helper =
          addHelper(caller, helper.getSymName() + ".each", types(units.type()),
                    [&](ImplicitLocOpBuilder &inner, ValueRange formal) {
                      return SmallVector<Value>{vmap(inner, formal)};
                    });
    }
    grow(0);
    SmallVector<Value> actual(args);
    actual.push_back(unitTensors(unit));
    return vmap(b, actual);
  }

  /// [axes of the unit, the unit's]: 1 where both indices agree, else 0.
  Value unitTensors(const Shape &unit) {
    int64_t rank = unit.rank();
    Shape both = unit;
    llvm::append_range(both.dims, unit.dims);
    V all = 1.0;
    for (int64_t axis = 0; axis < rank; ++axis) {
      auto along = [&](int64_t at) {
        Shape s(b.getI32Type(), SmallVector<Dim>(2 * rank, Dim{1}));
        s[at] = unit[axis];
        return iota(b, s, at);
      };
      all = all * indicator(eq(along(axis), along(rank + axis)), unit.element);
    }
    return broadcast(all, both).value();
  }

  ImplicitLocOpBuilder &b;
  FuncOp caller;
  std::string callee;
  SmallVector<Value> inputs, args;
};
} // namespace

LogicalResult gradus::writeOutJacobians(FuncOp f) {
  SmallVector<Operation *> requests;
  f.walk([&](Operation *op) {
    if (isa<JacobianOp, HessianOp>(op))
      requests.push_back(op);
  });
  bool ok = true;
  for (Operation *op : requests) {
    ImplicitLocOpBuilder b(withoutName(op->getLoc()), op);
    SmallVector<Value> results;
    auto add = [&](DerivedCall &call, Value wrt, const Shape &of) {
      FailureOr<Value> part = call.jacobian(wrt, of);
      ok &= succeeded(part);
      results.push_back(succeeded(part) ? *part : Value());
    };
    if (auto hessian = dyn_cast<HessianOp>(op)) {
      DerivedCall call(b, hessian.getCallee(), hessian.getInputs());
      for (Value v : hessian.getWrt()) {
        DerivedCall slope(b, call.gradient(v).getSymName(), call.arguments());
        for (Value w : hessian.getWrt())
          add(slope, w, Shape(v));
      }
    } else {
      auto jacobian = cast<JacobianOp>(op);
      DerivedCall call(b, jacobian.getCallee(), jacobian.getInputs());
      Type value = lookupCallee(op, jacobian.getCallee()).getResultTypes()[0];
      Shape of(jacobian.getResult(0));
      of.dims.resize(Shape(value).rank());
      for (Value v : jacobian.getWrt())
        add(call, v, of);
    }
    if (!ok)
      continue;
    for (auto [r, v] : llvm::zip(op->getResults(), results)) {
      auto made = cast<mlir::OpResult>(v);
      if (StringRef name = nameOf(r); !name.empty())
        rename(made, name);
      r.replaceAllUsesWith(v);
    }
    op->erase();
  }
  return success(ok);
}

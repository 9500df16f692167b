//===- CallBodies.cpp - loops and branches over buffers -------------------===//
//
// A step reads its carries in one buffer and leaves the next ones in another;
// the two change places, so that nothing is copied. Carries that the body
// updates in place have one. What a loop keeps it writes
// where it belongs: a slice along the first axis is a buffer of its own
// (graph.part). Operands are read through to_buffer, results are to_tensor of
// buffers that nothing else knows.
//
//===----------------------------------------------------------------------===//

#include "CallBodies.h"
#include "gradus/Graph.h"
#include "gradus/Lowering.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
using namespace gradus::graph;
namespace arith = mlir::arith;
namespace bufferization = mlir::bufferization;
namespace func = mlir::func;
namespace memref = mlir::memref;
namespace scf = mlir::scf;

mlir::MemRefType gradus::bufferType(Type t) {
  auto tensor = cast<RankedTensorType>(t);
  return mlir::MemRefType::get(tensor.getShape(), tensor.getElementType());
}

namespace {
/// Where a step finds a carry, where it leaves the next, and what is free then.
struct Rotation {
  SmallVector<Value> now, next, other;
  SmallVector<Value> all() const {
    SmallVector<Value> values(now);
    values.append(next);
    values.append(other);
    return values;
  }
  static Rotation of(ValueRange values, size_t carries) {
    return {values.take_front(carries), values.slice(carries, carries),
            values.slice(2 * carries, carries)};
  }
  Rotation turned() const { return {next, other, next}; }
};

class BodyCalls {
public:
  explicit BodyCalls(Operation *op)
      : op(op), b(op->getLoc(), op), module(op->getParentOfType<ModuleOp>()) {}

  void lower(CallForOp loop) {
    auto body = callee(loop.getBody());
    auto updated =
        body->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::inPlaceAttr);
    auto isUpdated = [&](size_t carry) {
      return updated &&
             llvm::is_contained(updated.asArrayRef(), int64_t(carry));
    };
    Value counter = allocated(RankedTensorType::get({}, b.getI32Type()));
    SmallVector<Value> sources = buffers(loop.getSources()),
                       captures = buffers(loop.getCaptures()), stacks;
    size_t carries = loop.getInitial().size();
    SmallVector<Value> inPlace(carries); // null: changes places
    Rotation start;
    for (auto [i, v] : llvm::enumerate(loop.getInitial())) {
      if (isUpdated(i)) {
        inPlace[i] = buffer(v, /*readOnly=*/false);
        continue;
      }
      start.now.push_back(buffer(v));
      start.next.push_back(allocated(v.getType()));
      start.other.push_back(allocated(v.getType()));
    }
    for (Value v : loop.getResults().drop_front(carries))
      stacks.push_back(allocated(v.getType()));
    auto steps = int64_t(loop.getSteps());
    auto dim = loop->getAttrOfType<StringAttr>(lowering::sizeAttr);
    Value zero = index(0), one = index(1),
          end = dim ? RuntimeLength{dim, 1}.build(b, b.getLoc()) : index(steps);
    auto nest = scf::ForOp::create(b, zero, end, one, start.all());
    b.setInsertionPointToStart(nest.getBody());
    Value at = nest.getInductionVar();
    if (loop.getReverse())
      at = arith::SubIOp::create(b, arith::SubIOp::create(b, end, one), at);
    store(arith::IndexCastOp::create(b, b.getI32Type(), at), counter);
    size_t rotating = start.now.size();
    Rotation turn = Rotation::of(nest.getRegionIterArgs(), rotating);
    SmallVector<Value> args{counter};
    args.append(merged(inPlace, turn.now));
    args.append(parts(sources, at));
    args.append(captures);
    args.append(turn.next);
    args.append(parts(stacks, at));
    call(body, args);
    if (rotating > 0) // else the yield is there
      scf::YieldOp::create(b, turn.turned().all());
    b.setInsertionPoint(op);
    SmallVector<Value> results =
        merged(inPlace, nest.getResults().take_front(rotating));
    results.append(stacks);
    replaceByTensors(results);
    addFlops(body, double(steps));
  }

  void lower(CallWhileOp loop) {
    auto condition = callee(loop.getCondition()), body = callee(loop.getBody());
    SmallVector<Value> captures = buffers(loop.getCaptures());
    Value flag = allocated(RankedTensorType::get({}, b.getI1Type()));
    // There may be no step: the carries start in buffers of their own.
    Rotation start{fresh(loop.getInitial()), fresh(loop.getInitial()), {}};
    for (auto [from, to] : llvm::zip(buffers(loop.getInitial()), start.now))
      memref::CopyOp::create(b, from, to);
    size_t carries = loop.getInitial().size();
    SmallVector<Value> inits(start.all());
    inits.push_back(index(0));
    auto goOn = [&](OpBuilder &nested, Location, ValueRange values) {
      b.setInsertionPoint(nested.getInsertionBlock(),
                          nested.getInsertionPoint());
      SmallVector<Value> args(values.take_front(carries));
      args.append(captures);
      args.push_back(flag);
      call(condition, args);
      Value more = memref::LoadOp::create(b, flag, ValueRange{});
      if (loop.getLimit()) {
        Value within =
            arith::CmpIOp::create(b, arith::CmpIPredicate::ult, values.back(),
                                  index(int64_t(*loop.getLimit())));
        more = arith::AndIOp::create(b, more, within);
      }
      scf::ConditionOp::create(b, more, values);
    };
    auto step = [&](OpBuilder &nested, Location, ValueRange values) {
      b.setInsertionPoint(nested.getInsertionBlock(),
                          nested.getInsertionPoint());
      ValueRange now = values.take_front(carries),
                 next = values.slice(carries, carries);
      SmallVector<Value> args(now);
      args.append(captures);
      llvm::append_range(args, next);
      call(body, args);
      SmallVector<Value> turned(next);
      llvm::append_range(turned, now);
      turned.push_back(arith::AddIOp::create(b, values.back(), index(1)));
      scf::YieldOp::create(b, turned);
    };
    auto nest = scf::WhileOp::create(b, ValueRange(inits).getTypes(), inits,
                                     goOn, step);
    b.setInsertionPoint(op);
    replaceByTensors(SmallVector<Value>(nest.getResults().take_front(carries)));
    addFlops(body, 1);
  }

  void lower(CallIfOp branch) {
    SmallVector<Value> args = buffers(branch.getCaptures()),
                       results = fresh(branch.getResults());
    args.append(results);
    Value predicate =
        memref::LoadOp::create(b, buffer(branch.getPredicate()), ValueRange{});
    auto choice = scf::IfOp::create(b, predicate, /*withElseRegion=*/true);
    auto take = [&](mlir::Region &region, StringRef body) {
      b.setInsertionPointToStart(&region.front());
      call(callee(body), args);
    };
    take(choice.getThenRegion(), branch.getYes());
    take(choice.getElseRegion(), branch.getNo());
    b.setInsertionPoint(op);
    addFlops(callee(branch.getYes()), 1);
    replaceByTensors(results);
  }

  void lower(CallBodyOp once) {
    SmallVector<Value> args = buffers(once.getCaptures()),
                       results = fresh(once.getResults());
    args.append(results);
    call(callee(once.getBody()), args);
    addFlops(callee(once.getBody()), 1);
    replaceByTensors(results);
  }

private:
  func::FuncOp callee(StringRef name) {
    return module.lookupSymbol<func::FuncOp>(name);
  }
  void call(func::FuncOp body, ValueRange args) {
    func::CallOp::create(b, body, args);
  }
  Value index(int64_t n) { return arith::ConstantIndexOp::create(b, n); }
  void store(Value number, Value buffer) {
    memref::StoreOp::create(b, number, buffer, ValueRange{});
  }
  Value allocated(Type tensor) {
    return memref::AllocOp::create(b, bufferType(tensor));
  }
  SmallVector<Value> fresh(ValueRange tensors) {
    return llvm::map_to_vector(tensors,
                               [&](Value v) { return allocated(v.getType()); });
  }
  Value buffer(Value tensor, bool readOnly = true) {
    return bufferization::ToBufferOp::create(b, bufferType(tensor.getType()),
                                             tensor, readOnly);
  }
  /// All carries: those in place, and the others in their places.
  static SmallVector<Value> merged(ArrayRef<Value> inPlace, ValueRange others) {
    SmallVector<Value> all(inPlace);
    auto next = others.begin();
    for (Value &v : all)
      if (!v)
        v = *next++;
    return all;
  }
  SmallVector<Value> buffers(ValueRange tensors) {
    return llvm::map_to_vector(tensors, [&](Value v) { return buffer(v); });
  }
  SmallVector<Value> parts(ArrayRef<Value> buffers, Value at) {
    return llvm::map_to_vector(buffers, [&](Value v) -> Value {
      auto type = cast<mlir::MemRefType>(v.getType());
      auto part = mlir::MemRefType::get(type.getShape().drop_front(),
                                        type.getElementType());
      return PartOp::create(b, part, v, at);
    });
  }
  void replaceByTensors(ArrayRef<Value> results) {
    for (auto [from, to] : llvm::zip(op->getResults(), results)) {
      auto tensor = bufferization::ToTensorOp::create(
          b, from.getType(), to, /*restrict=*/true, /*writable=*/true);
      if (ArrayAttr attr = lengthsAttrOf(
              op->getContext(), resultLengths(cast<mlir::OpResult>(from))))
        tensor->setAttr(lowering::lengthsAttr, attr);
      from.replaceAllUsesWith(tensor);
    }
    op->erase();
  }
  /// What the function computes, its bodies included (a branch as if it were
  /// always the first, a `while` as one step).
  void addFlops(func::FuncOp body, double times) {
    auto f = b.getInsertionBlock()->getParentOp();
    auto own = f->getAttrOfType<FloatAttr>(lowering::flopsAttr),
         more = body->getAttrOfType<FloatAttr>(lowering::flopsAttr);
    f->setAttr(lowering::flopsAttr,
               b.getF64FloatAttr(own.getValueAsDouble() +
                                 times * more.getValueAsDouble()));
  }

  Operation *op;
  ImplicitLocOpBuilder b;
  ModuleOp module;
};
} // namespace

void gradus::callBodies(func::FuncOp f) {
  for (Operation &op : llvm::make_early_inc_range(f.getBody().front())) {
    BodyCalls calls(&op);
    if (auto loop = dyn_cast<CallForOp>(op))
      calls.lower(loop);
    else if (auto loop = dyn_cast<CallWhileOp>(op))
      calls.lower(loop);
    else if (auto branch = dyn_cast<CallIfOp>(op))
      calls.lower(branch);
    else if (auto once = dyn_cast<CallBodyOp>(op))
      calls.lower(once);
  }
}

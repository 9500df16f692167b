//===- PlanMemory.cpp - every buffer of a function in one arena -----------===//
//
// In: bufferised functions. Out: no memref.alloc; a function that needs memory
// takes an arena as its last argument. Kernels first, then the bodies of loops
// and branches, inner ones first: a call of one with an arena allocates one
// around the call, which the caller's plan then places.
// A function that runs in parts gets as many arenas, one after the other.
// Entry functions always take an arena; their variables become views into one
// leading block of bytes.
//
// The plan is greedy by size: the largest buffer first, at the lowest offset
// where it meets none that is alive at the same time (Pisarchyk and Lee 2020,
// "Efficient memory management for deep neural net inference"). Whatever the
// plan, a function needs as many bytes as are alive at one point at most:
// `graph.live_bytes`.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace gradus {
#define GEN_PASS_DEF_PLANMEMORY
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace arith = mlir::arith;
namespace func = mlir::func;
namespace memref = mlir::memref;

static int64_t alignedBytes(mlir::MemRefType t) {
  return llvm::alignTo(std::max<int64_t>(lowering::byteCount(t), 1),
                       lowering::alignment);
}
static mlir::MemRefType bytesType(MLIRContext *ctx, int64_t n) {
  return mlir::MemRefType::get({n}, IntegerType::get(ctx, 8));
}

/// How a constant lies in memory (lowering::panelsAttr).
using Form = mlir::DenseI64ArrayAttr;

namespace {
struct Buffer {
  memref::AllocOp alloc;
  int64_t size, first, last, offset = -1;
  bool meets(const Buffer &o) const {
    return first <= o.last && o.first <= last;
  }
};

struct Plan {
  SmallVector<Buffer> buffers;
  int64_t bytes = 0;         ///< of the arena
  int64_t live = 0;          ///< at the fullest point
  Operation *peak = nullptr; ///< what runs there

  explicit Plan(func::FuncOp f) {
    findLifetimes(f);
    place();
    measureLive();
  }

private:
  void findLifetimes(func::FuncOp f) {
    mlir::BufferViewFlowAnalysis views(f);
    Block &body = f.getBody().front();
    llvm::DenseMap<Operation *, int64_t> position;
    for (auto [i, op] : llvm::enumerate(body)) {
      position[&op] = i;
      order.push_back(&op);
    }
    f.walk([&](memref::AllocOp alloc) {
      Buffer buffer{alloc, alignedBytes(alloc.getType()), INT64_MAX, -1};
      for (Value view : views.resolve(alloc))
        for (Operation *user : view.getUsers()) {
          int64_t at = position[body.findAncestorOpInBlock(*user)];
          buffer.first = std::min(buffer.first, at);
          buffer.last = std::max(buffer.last, at);
        }
      buffers.push_back(buffer);
    });
  }

  void place() {
    SmallVector<Buffer *> bySize, byOffset;
    for (Buffer &buffer : buffers)
      bySize.push_back(&buffer);
    // Equal ones as they come.
    llvm::sort(bySize, [](Buffer *a, Buffer *b) {
      return std::pair(b->size, a) < std::pair(a->size, b);
    });
    for (Buffer *buffer : bySize) {
      int64_t offset = 0;
      for (Buffer *other : byOffset) {
        if (!other->meets(*buffer))
          continue;
        if (other->offset - offset >= buffer->size)
          break;
        offset = std::max(offset, other->offset + other->size);
      }
      buffer->offset = offset;
      bytes = std::max(bytes, offset + buffer->size);
      byOffset.insert(llvm::lower_bound(byOffset, buffer,
                                        [](Buffer *a, Buffer *b) {
                                          return a->offset < b->offset;
                                        }),
                      buffer);
    }
  }

  void measureLive() {
    for (const Buffer &at : buffers) {
      int64_t sum = 0;
      for (const Buffer &other : buffers)
        if (other.first <= at.first && at.first <= other.last)
          sum += other.size;
      if (sum > live) {
        live = sum;
        peak = order[at.first];
      }
    }
  }

  SmallVector<Operation *> order;
};

struct PlanMemory : impl::PlanMemoryBase<PlanMemory> {
  using PlanMemoryBase::PlanMemoryBase;

  void runOnOperation() override {
    if (frozen)
      layOutConstants();
    else
      layOutVariables();
    calls.clear();
    getOperation().walk(
        [&](func::CallOp call) { calls[call.getCallee()].push_back(call); });
    SmallVector<func::FuncOp> bodies, entries;
    for (auto f : getOperation().getOps<func::FuncOp>()) {
      if (f.isExternal())
        continue;
      f.walk([](memref::DeallocOp op) { op.erase(); });
      if (f->hasAttr(lowering::bodyAttr))
        bodies.push_back(f);
      else if (f.isPrivate())
        planCallee(f);
      else
        entries.push_back(f);
    }
    llvm::for_each(bodies, [&](func::FuncOp f) { planCallee(f); });
    llvm::for_each(entries, [&](func::FuncOp f) { planEntry(f); });
  }

private:
  void layOutVariables() {
    auto all =
        getOperation()->getAttrOfType<ArrayAttr>(lowering::variablesAttr);
    Builder b(&getContext());
    int64_t offset = 0;
    SmallVector<Attribute> placed;
    for (Attribute a : all ? all : b.getArrayAttr({})) {
      auto variable = cast<DictionaryAttr>(a);
      auto type =
          cast<RankedTensorType>(variable.getAs<TypeAttr>("type").getValue());
      offsets[{variable.getAs<StringAttr>("name"), Attribute()}] = offset;
      NamedAttrList attrs(variable);
      attrs.set("offset", b.getI64IntegerAttr(offset));
      placed.push_back(attrs.getDictionary(&getContext()));
      offset += alignedBytes(
          mlir::MemRefType::get(type.getShape(), type.getElementType()));
    }
    variableBytes = offset;
    getOperation()->setAttr(lowering::variablesAttr, b.getArrayAttr(placed));
    getOperation()->setAttr(lowering::variableBytesAttr,
                            b.getI64IntegerAttr(offset));
  }

  /// What variables are to be constants, as the functions read them.
  void layOutConstants() {
    Builder b(&getContext());
    llvm::DenseMap<StringAttr, Attribute> declared;
    for (Attribute a :
         getOperation()->getAttrOfType<ArrayAttr>(lowering::variablesAttr)) {
      auto variable = cast<DictionaryAttr>(a);
      declared[variable.getAs<StringAttr>("name")] = variable.get("type");
    }
    SmallVector<Attribute> placed;
    for (auto f : getOperation().getOps<func::FuncOp>())
      for (BlockArgument a : f.getArguments()) {
        auto name = f.getArgAttrOfType<StringAttr>(a.getArgNumber(),
                                                   lowering::variableAttr);
        if (f.isPrivate() || !name || a.use_empty())
          continue;
        auto [formName, form] = formOf(a);
        if (!offsets.try_emplace({name, form}, variableBytes).second)
          continue;
        auto type = cast<mlir::MemRefType>(a.getType());
        if (form)
          type = mlir::MemRefType::get({form.asArrayRef()[0]},
                                       type.getElementType());
        NamedAttrList constant;
        constant.set("name", name);
        constant.set("type", declared.lookup(name));
        constant.set("offset", b.getI64IntegerAttr(variableBytes));
        if (form)
          constant.set(formName, form);
        placed.push_back(constant.getDictionary(&getContext()));
        variableBytes += alignedBytes(type);
      }
    getOperation()->setAttr(lowering::constantsAttr, b.getArrayAttr(placed));
    getOperation()->setAttr(lowering::variablesAttr, b.getArrayAttr({}));
    getOperation()->setAttr(lowering::variableBytesAttr,
                            b.getI64IntegerAttr(0));
    if (variableBytes == 0)
      return;
    OpBuilder start = OpBuilder::atBlockBegin(getOperation().getBody());
    memref::GlobalOp::create(
        start, getOperation().getLoc(), lowering::constantsSymbol,
        b.getStringAttr("private"), bytesType(&getContext(), variableBytes),
        b.getUnitAttr(), /*constant=*/true,
        b.getI64IntegerAttr(lowering::alignment));
  }
  /// How a constant lies in memory, and under which attribute it says so; null
  /// if as the model has it.
  static std::pair<StringRef, Form> formOf(BlockArgument a) {
    auto f = cast<func::FuncOp>(a.getOwner()->getParentOp());
    for (StringRef name : {lowering::panelsAttr, lowering::winogradAttr})
      if (auto form = f.getArgAttrOfType<Form>(a.getArgNumber(), name))
        return {name, form};
    return {};
  }

  /// Replaces a function's allocations by views of an arena argument.
  static int64_t usePlan(func::FuncOp f, Plan &plan) {
    MLIRContext *ctx = f.getContext();
    Builder b(ctx);
    auto parts = f->getAttrOfType<IntegerAttr>(lowering::partsAttr);
    int64_t bytes = plan.bytes * (parts ? parts.getInt() : 1);
    (void)f.insertArgument(f.getNumArguments(),
                           bytesType(ctx, std::max<int64_t>(bytes, 1)),
                           DictionaryAttr::get(ctx), f.getLoc());
    Value arena = f.getArguments().back(), first;
    if (parts) {
      ImplicitLocOpBuilder at(f.getLoc(), &f.getBody().front(),
                              f.getBody().front().begin());
      Value each = arith::ConstantIndexOp::create(at, plan.bytes);
      first = arith::MulIOp::create(at, f.getArgument(0), each);
    }
    for (Buffer &buffer : plan.buffers)
      replaceByView(buffer, arena, first);
    f->setAttr(lowering::arenaAttr, b.getI64IntegerAttr(bytes));
    describePeak(f, plan);
    return bytes;
  }
  /// Says how much is in use where most is, and where that is: within the body
  /// that is called there, if one is.
  static void describePeak(func::FuncOp f, const Plan &plan) {
    int64_t live = plan.live;
    Attribute line =
        plan.peak ? modelLine(plan.peak->getLoc()) : mlir::FileLineColLoc();
    if (auto call = dyn_cast_or_null<func::CallOp>(plan.peak)) {
      auto body = f->getParentOfType<ModuleOp>().lookupSymbol<func::FuncOp>(
          call.getCallee());
      Attribute within = body->getAttr(lowering::peakAttr);
      if (body->hasAttr(lowering::bodyAttr) && within) {
        line = within;
        // Of the body's arena, what is in use.
        auto bytes = [&](StringRef name) {
          return body->getAttrOfType<IntegerAttr>(name).getInt();
        };
        live -=
            alignedBytes(bytesType(f.getContext(), bytes(lowering::arenaAttr)));
        live += bytes(lowering::liveAttr);
      }
    }
    f->setAttr(lowering::liveAttr,
               Builder(f.getContext()).getI64IntegerAttr(live));
    if (line)
      f->setAttr(lowering::peakAttr, line);
  }
  /// `first`: where the arena starts that is used, if not at its beginning.
  static void replaceByView(Buffer &buffer, Value arena, Value first) {
    memref::AllocOp alloc = buffer.alloc;
    ImplicitLocOpBuilder b(alloc.getLoc(), alloc);
    Value at = arith::ConstantIndexOp::create(b, buffer.offset);
    if (first)
      at = arith::AddIOp::create(b, first, at);
    auto view =
        memref::ViewOp::create(b, alloc.getType(), arena, at, ValueRange{});
    alloc.replaceAllUsesWith(view.getResult());
    alloc.erase();
  }

  void planCallee(func::FuncOp f) {
    Plan plan(f);
    if (plan.buffers.empty())
      return;
    int64_t bytes = usePlan(f, plan);
    // Callers bring the arena.
    for (func::CallOp call : calls[f.getName()]) {
      OpBuilder b(call);
      Value arena = memref::AllocOp::create(b, call.getLoc(),
                                            bytesType(&getContext(), bytes));
      call->insertOperands(call->getNumOperands(), arena);
    }
  }

  void planEntry(func::FuncOp f) {
    Plan plan(f);
    usePlan(f, plan);
    OpBuilder b = OpBuilder::atBlockBegin(&f.getBody().front());
    Value block;
    if (variableBytes == 0) {
      // What is left are constants that nothing reads.
    } else if (frozen) {
      block = memref::GetGlobalOp::create(
          b, f.getLoc(), bytesType(&getContext(), variableBytes),
          lowering::constantsSymbol);
    } else {
      (void)f.insertArgument(0, bytesType(&getContext(), variableBytes),
                             DictionaryAttr::get(&getContext()), f.getLoc());
      block = f.getArgument(0);
    }
    llvm::BitVector variables(f.getNumArguments());
    for (unsigned i = f.getNumArguments(); i-- > 0;) {
      auto name = f.getArgAttrOfType<StringAttr>(i, lowering::variableAttr);
      if (!name)
        continue;
      BlockArgument a = f.getArgument(i);
      if (!a.use_empty()) {
        Value at = arith::ConstantIndexOp::create(
            b, a.getLoc(), offsets.lookup({name, formOf(a).second}));
        auto type = cast<mlir::MemRefType>(a.getType());
        a.replaceAllUsesWith(
            memref::ViewOp::create(b, a.getLoc(), type, block, at, ValueRange{})
                .getResult());
      }
      variables.set(i);
    }
    (void)f.eraseArguments(variables);
  }

  llvm::StringMap<SmallVector<func::CallOp>> calls; ///< by callee
  /// Of each variable, or of each form of a constant.
  llvm::DenseMap<std::pair<StringAttr, Attribute>, int64_t> offsets;
  int64_t variableBytes = 0;
};
} // namespace

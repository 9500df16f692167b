//===- Occupancy.cpp - what a function keeps, and computes ----------------===//

#include "Occupancy.h"

using namespace gradus;
using namespace gradus::graph;
using mlir::OpOperand;

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

int64_t Costs::size(const Dim &d) const {
  return d.known() ? d.size : bounds.lookup(d.name ? d.name.getValue() : "");
}
int64_t Costs::elements(Value v) const {
  int64_t n = 1;
  for (const Dim &d : Shape(v).dims)
    n *= size(d);
  return n;
}
int64_t Costs::bytes(Value v) const {
  Type e = cast<RankedTensorType>(v.getType()).getElementType();
  return elements(v) * std::max(8U, e.getIntOrFloatBitWidth()) / 8;
}

double Costs::operations(Operation *op) const {
  if (isa<HasBodies>(op)) {
    double sum = 0;
    for (mlir::Region &body : op->getRegions())
      for (Operation &inner : body.front().without_terminator())
        sum += operations(&inner);
    auto loop = dyn_cast<ForOp>(op);
    return loop ? sum * double(size(loop.getSteps())) : sum;
  }
  auto out = double(elements(op->getResult(0)));
  if (auto matmul = dyn_cast<MatMulOp>(op))
    return 2 * out * double(size(Shape(matmul.getLhs())[-1]));
  if (auto conv = dyn_cast<ConvOp>(op)) {
    auto filter = double(elements(conv.getFilter()));
    return 2 * out * filter / double(size(Shape(conv.getFilter())[-1]));
  }
  if (auto conv = dyn_cast<ConvFilterOp>(op))
    return 2 * out * double(elements(conv.getG())) /
           double(size(Shape(conv.getG())[-1]));
  if (auto einsum = dyn_cast<EinsumOp>(op)) {
    auto [left, result] = einsum.getEquation().split("->");
    llvm::SmallDenseMap<char, int64_t> sizes;
    SmallVector<StringRef> terms;
    left.split(terms, ',');
    for (auto [term, x] : llvm::zip(terms, einsum.getInputs()))
      for (auto [letter, d] : llvm::zip(term, Shape(x).dims))
        sizes[letter] = size(d);
    double points = 2;
    for (auto [letter, n] : sizes)
      points *= double(n);
    return points;
  }
  // A reduction reads more than it writes; a function such as exp takes ten.
  double each =
      isa<ExpOp, LogOp, TanhOp, ErfOp, SinOp, CosOp, PowOp>(op) ? 10 : 1;
  double most = out;
  for (Value v : op->getOperands())
    most = std::max(most, double(elements(v)));
  return each * most;
}

bool gradus::isView(Operation *op) {
  return isa_and_nonnull<ReshapeOp, TransposeOp, BroadcastOp, SliceOp,
                         WindowsOp>(op);
}
/// Fusion keeps the results of such ops in registers where it can.
static bool isFused(Operation *op) {
  return isa<Formula, ReduceSumOp, ReduceMaxOp, ReduceMinOp>(op);
}
Value gradus::storageOf(Value v) {
  while (isView(v.getDefiningOp()))
    v = v.getDefiningOp()->getOperand(0);
  return v;
}

//===----------------------------------------------------------------------===//
// What is in use where
//===----------------------------------------------------------------------===//

Occupancy::Occupancy(Block &body, const Costs &costs)
    : body(body), costs(costs) {
  for (auto [i, op] : llvm::enumerate(body)) {
    position[&op] = i;
    order.push_back(&op);
  }
  for (Operation &op : body)
    if (!isView(&op))
      for (Value v : op.getResults())
        add(v);
  measure();
}

void Occupancy::addUses(Stored &s, Value v) {
  for (OpOperand &use : v.getUses())
    if (isView(use.getOwner()) && use.getOwner()->getBlock() == &body)
      addUses(s, use.getOwner()->getResult(0));
    else
      s.uses.push_back(
          {&use, position.lookup(body.findAncestorOpInBlock(*use.getOwner()))});
}

void Occupancy::add(Value v) {
  Stored s;
  s.first = s.last = position.lookup(v.getDefiningOp());
  addUses(s, v);
  for (const Use &use : s.uses)
    s.last = std::max(s.last, use.at);
  // Outputs and variables have memory of their own, constants need none.
  bool leaves = llvm::all_of(s.uses, [](const Use &use) {
    return isa<UpdateOp, ReturnOp>(use.operand->getOwner());
  });
  constexpr int64_t nearby = 24;
  bool inRegisters = isFused(v.getDefiningOp()) && s.last - s.first <= nearby &&
                     llvm::all_of(s.uses, [](const Use &use) {
                       return isFused(use.operand->getOwner());
                     });
  if (!leaves && !inRegisters && !isa<ConstantOp>(v.getDefiningOp()))
    s.bytes = costs.bytes(v);
  tensors[v] = std::move(s);
}

void Occupancy::measure() {
  std::vector<int64_t> change(order.size() + 1, 0);
  for (auto &[v, s] : tensors) {
    change[s.first] += s.bytes;
    change[s.last + 1] -= s.bytes;
  }
  int64_t bytes = 0;
  for (int64_t i = 0, n = order.size(); i < n; ++i) {
    bytes += change[i];
    if (bytes > peakBytes) {
      peakBytes = bytes;
      peak = i;
    }
  }
}

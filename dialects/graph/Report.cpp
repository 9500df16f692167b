//===- Report.cpp - errors in the model's own words -----------------------===//

#include "gradus/Graph.h"

using namespace gradus;
using namespace gradus::graph;
using mlir::Diagnostic;

InFlightDiagnostic graph::error(AsmParser &p, llvm::SMLoc loc,
                                const Twine &message) {
  return mlir::emitError(p.getEncodedSourceLoc(loc), message);
}

StringRef graph::nearest(StringRef word, ArrayRef<StringRef> candidates) {
  StringRef best;
  unsigned least = std::max<size_t>(1, (word.size() + 1) / 2);
  for (StringRef c : candidates)
    if (unsigned d = word.edit_distance(c);
        d <= least && (best.empty() || d < least)) {
      best = c;
      least = d;
    }
  return best;
}

std::string graph::typeName(Type type) {
  std::string s;
  llvm::raw_string_ostream(s) << type;
  return s;
}

StringRef graph::nameOf(Value value) {
  if (Operation *op = value.getDefiningOp())
    if (StringAttr name = variableName(op))
      return name.getValue();
  auto loc = value.getLoc()->findInstanceOf<NameLoc>();
  if (!loc)
    return "";
  SmallVector<StringRef> names;
  loc.getName().getValue().split(names, ',');
  unsigned i = 0;
  if (auto result = dyn_cast<mlir::OpResult>(value))
    i = result.getResultNumber();
  return i < names.size() ? names[i] : "";
}

std::string graph::display(Value v) {
  StringRef name = nameOf(v);
  return name.empty() ? "the operand" : ("%" + name).str();
}

/// Says where an operand got its shape.
static void noteOrigin(Diagnostic &diag, Value v) {
  Diagnostic &note = diag.attachNote(v.getLoc());
  bool variable = v.getDefiningOp() && variableName(v.getDefiningOp());
  note << display(v)
       << (variable                ? " is declared as "
           : isa<BlockArgument>(v) ? " is an argument of shape "
                                   : " has shape ")
       << Shape(v).str();
}

Report::Failure Report::operator()(Value culprit) const {
  Failure f;
  for (const auto &[v, loc] : operands)
    if (v == culprit) {
      f.diag.emplace(mlir::emitError(loc));
      noteOrigin(*f.diag->getUnderlyingDiagnostic(), v);
      return f;
    }
  if (op)
    f.diag.emplace(mlir::emitError(*op));
  return f;
}

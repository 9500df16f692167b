//===- Call.h - what calls and requests share -------------------*- C++ -*-===//

#ifndef GRADUS_GRAPH_CALL_H
#define GRADUS_GRAPH_CALL_H

#include "ModelScope.h"

namespace gradus::graph {

/// `@f(%x, %y)`: its operands resolved, its callee found.
ParseResult parseCallee(OpAsmParser &p, OperationState &s,
                        SmallVectorImpl<LocatedValue> &inputs,
                        ModelScope::Function &known);

/// The function that a call names; it is reported if there is none.
FuncOp knownCallee(Operation *call, StringRef name);

/// A call's types and its callee's must agree, whoever changed one of them.
LogicalResult verifyCall(Operation *op, StringRef callee, ValueRange inputs,
                         DictionaryAttr options, unsigned numResults);

} // namespace gradus::graph

#endif // GRADUS_GRAPH_CALL_H

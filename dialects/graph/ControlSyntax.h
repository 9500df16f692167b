//===- ControlSyntax.h - what the text of loops and branches shares -*- C++
//-*-//

#ifndef GRADUS_GRAPH_CONTROLSYNTAX_H
#define GRADUS_GRAPH_CONTROLSYNTAX_H

#include "Control.h"

namespace gradus::graph {

/// Names that a body gets, and what they stand for.
struct Bindings {
  SmallVector<OpAsmParser::Argument> args;
  SmallVector<Value> values;
};

/// The argument's place, with its name unless that is one of the printer's.
Location namedAfter(OpAsmParser &p, const OpAsmParser::Argument &a);
/// Gives the argument its type; the one that the text may give must be it.
ParseResult checkGivenType(OpAsmParser &p, OpAsmParser::Argument &a, Type given,
                           llvm::SMLoc at, Type type);
/// `carry (%s = %h0, %t = %t0)`, or nothing.
ParseResult parseCarries(OpAsmParser &p, Bindings &carries);
/// A body in braces, up to its yield.
ParseResult parseBody(OpAsmParser &p, OperationState &s,
                      ArrayRef<OpAsmParser::Argument> args, Region &body,
                      YieldOp &yield);
/// Where the values of the yield that was read last stand.
Location yieldedAt(unsigned i);
/// How many bodies are being read, one in the other.
extern thread_local unsigned bodyDepth;

void printBindings(OpAsmPrinter &p, ArrayRef<BlockArgument> args,
                   ValueRange values, StringRef between);
void printCarries(OpAsmPrinter &p, ArrayRef<BlockArgument> args,
                  ValueRange inits);
void printBody(OpAsmPrinter &p, Region &body);

} // namespace gradus::graph

#endif // GRADUS_GRAPH_CONTROLSYNTAX_H

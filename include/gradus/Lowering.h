//===- Lowering.h - names that the lowering stages agree on -----*- C++ -*-===//

#ifndef GRADUS_LOWERING_H
#define GRADUS_LOWERING_H

#include "gradus/LLVM.h"

namespace mlir::linalg {
class GenericOp;
} // namespace mlir::linalg

namespace gradus {

/// The file and line of a location: of the op itself, or of its caller if the
/// op is the standard library's; null if there is none.
mlir::FileLineColLoc modelLine(Location loc);

} // namespace gradus

namespace gradus::lowering {

/// Argument of an entry function: the variable's name.
inline constexpr llvm::StringLiteral variableAttr = "graph.variable";
/// Result of an entry function: the variable whose next value it is.
inline constexpr llvm::StringLiteral nextAttr = "graph.next";
/// Argument or result of an entry function: its name for the outside.
inline constexpr llvm::StringLiteral nameAttr = "graph.name";
/// Argument that was a result before the boundary was defined.
inline constexpr llvm::StringLiteral outputAttr = "graph.output";
/// Function: bytes of arena that it needs.
inline constexpr llvm::StringLiteral arenaAttr = "graph.arena_bytes";
/// Function: the largest number of bytes alive at once, no plan needs less.
inline constexpr llvm::StringLiteral liveAttr = "graph.live_bytes";
/// Function: where that is, a location.
inline constexpr llvm::StringLiteral peakAttr = "graph.peak";
/// Function: what is computed again to save memory (graph-recompute).
inline constexpr llvm::StringLiteral recomputedAttr = "graph.recomputed";
/// Function: floating-point operations in its sums of products.
inline constexpr llvm::StringLiteral flopsAttr = "graph.product_flops";
/// Module: every variable with its type and offset in the block of variables.
inline constexpr llvm::StringLiteral variablesAttr = "graph.variables";
/// Module: bytes of the block of variables.
inline constexpr llvm::StringLiteral variableBytesAttr = "graph.variable_bytes";
/// Argument of a kernel: a tensor that is zero outside a box, of each axis
/// where that starts and how long it is.
inline constexpr llvm::StringLiteral boxAttr = "graph.box";
/// Argument: a constant that lies in memory as its product reads it. Both begin
/// with the number of elements there.
/// A matrix in panels of some columns, in each the words of one step of the sum
/// side by side, a word being one or more elements that follow each other along
/// the innermost loop of the sum: the panel's width, the columns and how far
/// apart they are in the constant as the model has it; the elements of a word,
/// of how many words that loop is made a multiple with zeros, and whether the
/// highest bit of each is flipped (1 or 0); then for each
/// loop of the sum, the outermost first, its length and how far apart its steps
/// are in the constant.
inline constexpr llvm::StringLiteral panelsAttr = "graph.panels";
/// A filter of 3 x 3 taps as the 16 matrices of F(2x2, 3x3), channels by
/// columns: their numbers, and in the constant as the model has it the first
/// tap and how far apart tap rows, tap columns, channels and columns are.
inline constexpr llvm::StringLiteral winogradAttr = "graph.winograd";
/// Module: the constants of an artefact with its weights in it, one dictionary
/// each: name, type, offset, and one of the two above where they lie so. And
/// the symbol of their bytes.
inline constexpr llvm::StringLiteral constantsAttr = "graph.constants";
inline constexpr llvm::StringLiteral constantsSymbol = "model.constants";
/// Private function: the body of a loop or branch; how many carries follow its
/// first argument, the counter (0 if it is no body of a `for`).
inline constexpr llvm::StringLiteral bodyAttr = "graph.body";
/// Body: which carries it updates in place.
inline constexpr llvm::StringLiteral inPlaceAttr = "graph.in_place";
/// Private function: a kernel.
inline constexpr llvm::StringLiteral kernelAttr = "graph.kernel";
/// Op: the group of ops that run row by row together; its own loops that run
/// over the rows; and, where that is more than one, how many rows of the last
/// of them it computes at a time.
inline constexpr llvm::StringLiteral groupAttr = "graph.group";
inline constexpr llvm::StringLiteral rowLoopsAttr = "graph.row_loops";
inline constexpr llvm::StringLiteral rowBlockAttr = "graph.row_block";
/// Op of a group: which indices of a loop a mask leaves to each row
/// (lib/Lowering/Reach.h).
inline constexpr llvm::StringLiteral reachAttr = "graph.reach";
/// Op: runs on each block of its group's product as soon as that is complete.
inline constexpr llvm::StringLiteral epilogueAttr = "graph.epilogue";
/// Loop: its iterations are independent parts, one for a thread. Function: runs
/// one part, the one that its first argument says; a call of it stands for
/// calls with every part.
inline constexpr llvm::StringLiteral partsAttr = "graph.parts";
/// Function without a body that launches a GPU kernel, named behind `launch.`:
/// the grid's three sizes and the threads of a block.
inline constexpr llvm::StringLiteral launchAttr = "graph.launch";
/// Of a launch: what the tensor map that each argument becomes is made of, or
/// nothing. Of a kernel: which parameters are tensor maps.
inline constexpr llvm::StringLiteral tensorMapsAttr = "graph.tensor_maps";
/// Of a launch: the bytes that it touches behind each argument, negative if it
/// may write there.
inline constexpr llvm::StringLiteral touchedAttr = "graph.touched";
/// How it computes, in words, for those who read its code.
inline constexpr llvm::StringLiteral planAttr = "graph.plan";
/// The gpu.module of the kernels; and, once compiled, its text.
inline constexpr llvm::StringLiteral kernelsSymbol = "kernels";
inline constexpr llvm::StringLiteral ptxAttr = "graph.ptx";
/// Module: the kernels assembled for one architecture.
inline constexpr llvm::StringLiteral cubinAttr = "graph.cubin";
/// Function without a body that moves memory between host and device: "copy";
/// "read", for the host; "bring" and "place", an input and an output on the
/// device. And how many bytes.
inline constexpr llvm::StringLiteral transferAttr = "graph.transfer";
inline constexpr llvm::StringLiteral bytesAttr = "graph.bytes";
/// Module: what the names of its C functions begin with.
inline constexpr llvm::StringLiteral cNameAttr = "graph.c_name";
/// Runs every part of a job (lib/Runtime/Parallel.h).
inline constexpr llvm::StringLiteral parallelFunction = "gradus_parallel";
/// Checks what the processor has (lib/Runtime/Processor.h).
inline constexpr llvm::StringLiteral needProcessorFunction =
    "gradus_need_processor";
/// Buffers and variables start at multiples of this many bytes: a cache line,
/// and the widest vector.
inline constexpr int64_t alignment = 64;

/// The buffer that a view, or a view of one, is of.
Value viewedBuffer(Value v);
/// Does the function, or one that it calls, run a loop?
bool runsLoops(Operation *function);
/// Does the op, or one inside, have the buffer or a view of it as an operand?
bool usesBuffer(Operation *op, Value buffer);
/// Is the scalar a constant zero?
bool isZero(Value v);
/// What an element takes in memory.
int64_t elementBytes(Type element);
/// What a tensor or buffer takes, without gaps.
int64_t byteCount(ShapedType type);
inline int64_t byteCount(Value v) {
  return byteCount(cast<ShapedType>(v.getType()));
}

/// Is the op a sum of products of its two inputs?
bool addsProducts(mlir::linalg::GenericOp op);

} // namespace gradus::lowering

#endif // GRADUS_LOWERING_H

//===- ContractionTiles.cpp - the tiles of a contraction's block ----------===//
//
// Rhs may be copied to panels by the tiles that read it first: those of the
// first rows read it where it lies, and store what they read. The stores cost
// nothing beside the products, which also hide some of the time that reading
// takes; the other rows read panels.
//
//===----------------------------------------------------------------------===//

#include "ContractionTiles.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace gradus;
namespace arith = mlir::arith;

ContractionTiles::Position ContractionTiles::moved(Position p, unsigned loop,
                                                   Value i) {
  p.lhs = advance(p.lhs, i, c.lhs.step[loop]);
  p.rhs = advance(p.rhs, i, c.rhs.step[loop]);
  p.out = advance(p.out, i, c.out.step[loop]);
  if (epilogue || !c.clips.empty())
    p.loops[loop] = p.loops[loop] ? add(p.loops[loop], i) : i;
  if (p.row && loop == *c.row)
    p.row = b.createOrFold<arith::AddIOp>(p.row, i);
  return p;
}

ContractionTiles::Position
ContractionTiles::movedToRow(const Position &p, unsigned loop, Value i) {
  Position there = moved(p, loop, i);
  if (c.lhs.isLocal)
    there.lhs = p.lhs;
  if (c.rhs.isLocal)
    there.rhs = p.rhs;
  if (c.out.isLocal)
    there.out = p.out;
  return there;
}

void ContractionTiles::groupsOf(
    const Position &block, int64_t rows, int64_t depth,
    function_ref<void(Position, Value, int64_t)> body) {
  blocks(rows, lhsGroup(rows), [&](Value g, int64_t some) {
    Position group = c.row ? moved(block, *c.row, g) : block;
    if (k.packLhs)
      group.lhs = lhsPanel(g, some, depth).first;
    body(group, g, some);
  });
}
ContractionTiles::Position ContractionTiles::movedInGroup(const Position &group,
                                                          Value r) {
  Position corner = c.row ? moved(group, *c.row, r) : group;
  if (k.packLhs)
    corner.lhs = advance(group.lhs, r, kernel->packedAcross);
  return corner;
}

void ContractionTiles::openRows(const Position &block, int64_t rows,
                                int64_t depth) {
  groupsOf(block, rows, depth, [&](Position group, Value g, int64_t some) {
    blocks(some, k.tileRows, [&](Value r, int64_t height) {
      Position corner = movedInGroup(group, r);
      kernel->openRows({corner.lhs, corner.rhs, corner.out}, add(g, r), height,
                       depth);
    });
  });
}

void ContractionTiles::tiles(const Position &block, int64_t rows,
                             int64_t columns, int64_t depth, bool zero,
                             bool last) {
  // Tiles of one size are prepared for once, before the loop over them.
  bool even = rows <= k.tileRows || rows % k.tileRows == 0;
  auto tilesOf = [&](Value j, int64_t width) {
    Position tile = moved(block, c.column, j);
    if (k.pack)
      tile.panel = advance(block.panel, j, kernel->steps(depth));
    groupsOf(tile, rows, depth, [&](Position group, Value g, int64_t some) {
      tileColumn(group, g, some, width, {depth, zero, last}, /*prepared=*/even);
    });
  };
  int64_t whole = columns / panel * panel;
  if (whole) {
    prepare(even, std::min(rows, k.tileRows), panel);
    blocks(whole, panel, tilesOf);
  }
  if (whole < columns) {
    prepare(even, std::min(rows, k.tileRows), columns - whole);
    tilesOf(index(whole), columns - whole);
  }
}

/// The tiles of some rows, whole ones and then the rest.
void ContractionTiles::tileColumn(const Position &group, Value first,
                                  int64_t rows, int64_t width, const Pass &pass,
                                  bool prepared) {
  auto tile = [&](Value r, int64_t height) {
    if (words.flips)
      kernel->row = add(first, r);
    multiply(movedInGroup(group, r), height, width, pass);
  };
  int64_t whole = rows / k.tileRows * k.tileRows;
  if (whole) {
    prepare(!prepared, k.tileRows, width);
    blocks(whole, k.tileRows, tile);
  }
  if (whole < rows) {
    prepare(!prepared, rows - whole, width);
    tile(index(whole), rows - whole);
  }
}

void ContractionTiles::multiply(const Position &corner, int64_t height,
                                int64_t width, const Pass &pass) {
  kernel->ranges = rangesAt(corner.loops, height, width);
  kernel->later = pass.last ? laterAt(corner) : SmallVector<LaterTile>();
  auto emit = [&](bool copies) {
    Offsets at{corner.lhs, corner.rhs, corner.out};
    if (copies)
      at.copyTo = corner.panel;
    else if (k.pack)
      at.rhs = corner.panel;
    kernel->emit(at, height, width, pass.depth, pass.zero);
  };
  if (!corner.row)
    return emit(/*copies=*/false);
  if (auto row = mlir::getConstantIntValue(corner.row))
    return emit(/*copies=*/*row == 0);
  Value isFirst =
      arith::CmpIOp::create(b, arith::CmpIPredicate::eq, corner.row, index(0));
  eitherWay(isFirst, emit);
}

/// Where the epilogue finds what belongs to the tile at `corner`.
SmallVector<LaterTile> ContractionTiles::laterAt(const Position &corner) {
  SmallVector<LaterTile> later;
  for (const LinearAccess &access : epilogueAccesses)
    later.push_back(
        {access.buffer, placeAt(access, corner.loops), access.step[*c.row]});
  return later;
}

void ContractionTiles::prepare(bool here, int64_t height, int64_t width) {
  if (here && !preparedOnce)
    kernel->prepare(height, width);
}

//===- Blocking.cpp - tiles, blocks and copies of a product ---------------===//
//
// Figures were found on processors with AVX2, AVX-512 and AMX;
// docs/rationale/products.md says how much each was worth.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "gradus/Lowering.h"
#include <numeric>

using namespace gradus;

int64_t gradus::evenPart(int64_t size, int64_t most) {
  if (size <= most)
    return size;
  for (int64_t part = most; part > most / 2; --part)
    if (size % part == 0)
      return part;
  return llvm::divideCeil(size, llvm::divideCeil(size, most));
}

static constexpr int64_t cacheBytes = 512 * 1024;
/// Steps of a block whose rhs is read where it lies, or is copied.
static constexpr int64_t deepestInPlace = 256, deepestOfPages = 128,
                         deepestPacked = 1024;
static constexpr int64_t pageBytes = 4096;
/// From a step of rhs to the next.
static int64_t rowBytes(const Contraction &c) {
  return std::abs(c.rhs.step[c.reductions.back()]) *
         lowering::elementBytes(c.element);
}

/// Would so many columns of rhs take no more than half of the first cache if
/// they lay side by side, but more places than it has where they do lie? Rows a
/// power of two apart share a few of its sets.
static bool collides(const Contraction &c, int64_t columns) {
  constexpr int64_t lineBytes = 64, sets = 64, ways = 8;
  int64_t apart = rowBytes(c);
  if (apart % lineBytes != 0)
    return false;
  int64_t rowLines =
      llvm::divideCeil(columns * lowering::elementBytes(c.element), lineBytes);
  int64_t lines = c.depth() * rowLines;
  int64_t starts = sets / std::gcd(sets, apart / lineBytes);
  return lines <= sets * ways / 2 &&
         lines > std::min(sets, starts * rowLines) * ways;
}

/// Is it a sum over several loops, in which tiles one after the other would
/// read rhs from memory?
static bool isDeepNest(const Contraction &c) {
  constexpr int64_t mostInTile = 6;
  int64_t bytes = lowering::elementBytes(elementOf(c.rhs.buffer));
  return c.reductions.size() > 1 && !c.words.tiles &&
         !c.isBound(c.reductions[0]) && c.uses() > mostInTile && c.panel == 0 &&
         c.depth() * c.columns() * bytes > cacheBytes;
}

/// Can tiles of the first rows copy rhs, vector by vector, as they read it?
static bool canPackOnUse(const Contraction &c) {
  auto isLess = [](const RuntimeLength &length) { return bool(length); };
  bool isWhole =
      llvm::none_of(c.lengths, isLess) && c.clips.empty() && !c.extent;
  return !c.words.part && c.rhs.step[c.column] == 1 &&
         c.reductions.size() == 1 && c.row && c.repeats.empty() && isWhole;
}

Blocking Blocking::choose(const Contraction &c, const RegisterFile &machine,
                          bool hasEpilogue, const Blocking *whole) {
  Blocking b;
  b.words = c.words;
  if (c.words.tiles)
    b.chooseTiles(c);
  else
    b.chooseVectors(c, machine);
  if (whole)
    b.pack = whole->pack;
  b.packsOnUse = b.pack && canPackOnUse(c);
  b.blockDepth = whole ? whole->blockDepth : b.chooseDepth(c);
  if (whole)
    b.blockLoop = whole->blockLoop;
  else if (isDeepNest(c))
    b.chooseNest(c);
  b.chooseCaches(c);
  b.streams = machine.streams && !hasEpilogue && b.chooseStreams(c);
  return b;
}

static constexpr int64_t wideVectors = 4, highVectors = 2, tallest = 14;

/// Is it one sum after the other, or cut into blocks of depth?
static bool isBlocked(const Contraction &c) {
  return c.reductions.size() == 1 || isDeepNest(c);
}
/// Wide tiles write the result in long stretches, high ones read rhs less
/// often: which is worth more depends on whether a panel of rhs stays in the
/// first cache, and how often it is read again.
static bool prefersHighTiles(const Contraction &c, int64_t panelBytes) {
  constexpr int64_t firstCacheBytes = 32 * 1024;
  // Lines a page apart have eight to twelve places in the first cache: too few
  // for the rows of more than two high tiles.
  bool inFewPlaces = c.row && c.rows() > 2 * tallest &&
                     c.lhs.step[*c.row] *
                             lowering::elementBytes(elementOf(c.lhs.buffer)) %
                             pageBytes ==
                         0;
  if (!isBlocked(c) || inFewPlaces)
    return false;
  // Narrow tiles leave more out.
  if (llvm::any_of(c.clips, [&](const Clip &clip) {
        return clip.place.step[c.column] != 0;
      }))
    return true;
  constexpr int64_t someRows = 48, manyColumns = 512;
  if (panelBytes > firstCacheBytes && c.rows() > someRows &&
      c.columns() >= manyColumns)
    return true;
  // Where rhs is read as it lies; one wide tile of columns reads lhs once.
  constexpr int64_t fewRows = 128;
  bool inPlace = c.reductions.size() == 1 && c.rhs.step[c.column] == 1 &&
                 (c.depth() <= deepestInPlace || c.rows() <= fewRows);
  if (!inPlace || c.rows() <= fewRows)
    return inPlace;
  return c.columns() > wideVectors * c.lanes &&
         2 * panelBytes > firstCacheBytes;
}

/// The tile is as large as vector registers hold, and of even height.
void Blocking::chooseVectors(const Contraction &c,
                             const RegisterFile &machine) {
  int64_t vectors = llvm::divideCeil(c.columns(), c.lanes);
  bool high = prefersHighTiles(c, words.steps(c.depth()) * wideVectors *
                                      machine.vectorBits / 8);
  // Accumulators, one row of rhs and one broadcast element fill the registers.
  int64_t widest = highVectors;
  if (machine.registers >= 32 && !high) {
    widest = wideVectors;
  } else if (machine.registers >= 32) {
    // Few rows leave room for more columns beside them.
    int64_t height =
        llvm::divideCeil(c.rows(), llvm::divideCeil(c.rows(), tallest));
    widest = std::clamp<int64_t>((machine.registers - 1) / (height + 1),
                                 highVectors, wideVectors);
  }
  tileVectors = c.panel ? c.panel / c.lanes : std::min(vectors, widest);
  int64_t most = (machine.registers - 1 - tileVectors) / tileVectors;
  most = std::clamp<int64_t>(most, 1, tallest);
  // Tiles of even height: 64 rows are 11 tiles of 6, not 10 and one of 4.
  int64_t tiles = llvm::divideCeil(c.rows(), most);
  tileRows = llvm::divideCeil(c.rows(), tiles);

  int64_t bytes = lowering::elementBytes(c.element);
  int64_t panel = tileVectors * c.lanes;
  int64_t rhsBytes = c.depth() * c.columns() * bytes;
  int64_t rowStride = rowBytes(c);
  bool turned = c.rhs.step[c.column] != 1, blocked = isBlocked(c);
  // Copying pays when the panels are read often, and from more pages or more
  // memory than the caches take, or where it makes the sum one block deep. An
  // element takes as long to copy as to multiply with some 16 rows; what is not
  // cut into blocks of depth reads all of rhs for each tile of rows.
  // Where a panel is one line wide, in place each step reads a line far from
  // the last one's.
  constexpr int64_t lineBytes = 64, farApart = 1024;
  bool free = c.isNarrow() || c.constant || !blocked;
  bool scattered = panel * bytes <= lineBytes && rowStride >= farApart;
  int64_t often = free                     ? 24
                  : rowStride >= pageBytes ? scattered ? 24 : 96
                  : scattered              ? 48
                                           : 192;
  // Rows that share places in the first cache are read slowly in place; a few
  // tiles make up for what copying costs those that read them anyway.
  if (rowStride % pageBytes == 0 && c.depth() > deepestInPlace &&
      canPackOnUse(c))
    often = std::min(often, 2 * tileRows + 1);
  bool deep = c.depth() > deepestInPlace &&
              (c.columns() >= 2 * panel || rowStride >= farApart);
  bool crowded = blocked && c.uses() >= 2 * often && collides(c, panel);
  pack = !c.panel &&
         (turned || words.part || crowded ||
          (c.uses() >= often && (rhsBytes > cacheBytes || c.isNarrow() ||
                                 rowStride >= pageBytes || deep)));
  // An lhs that lies the wrong way round is read a few elements at a time from
  // lines far apart, which the first cache keeps in few places. One of narrow
  // elements is widened once, not for each panel of rhs.
  unsigned inner = c.reductions.back();
  int64_t lhsStride = std::abs(c.lhs.step[inner]) * bytes;
  bool apart = c.row && c.lhs.step[*c.row] == 1 && lhsStride >= 512;
  bool widens = elementOf(c.lhs.buffer) != c.element;
  int64_t fewPanels = c.clips.empty() ? 2 : 4; // all is copied, not all is read
  packLhs = c.reductions.size() == 1 && c.row && (apart || widens) &&
            (c.columns() >= fewPanels * panel || lhsStride >= pageBytes) &&
            c.depth() >= 32;
  if (words.part)
    packLhs = !liesInWords(c.lhs, inner, c.size[inner], words);
}

/// Two by two registers of sums where there are as many rows and columns, and
/// otherwise three: eight, with those of the operands.
void Blocking::chooseTiles(const Contraction &c) {
  constexpr int64_t side = 16;
  int64_t rows = llvm::divideCeil(c.rows(), side);
  int64_t columns = llvm::divideCeil(c.columns(), side);
  tileVectors =
      c.panel ? c.panel / side : std::min<int64_t>(columns, rows == 1 ? 3 : 2);
  int64_t most = side * std::min<int64_t>(rows, tileVectors == 1   ? 3
                                                : tileVectors == 2 ? 2
                                                                   : 1);
  tileRows = llvm::divideCeil(c.rows(), llvm::divideCeil(c.rows(), most));
  pack = !c.panel;
  unsigned inner = c.reductions.back();
  packLhs = !liesInWords(c.lhs, inner, c.size[inner], words);
}

/// Of a sum over several loops, those inside a block are whole, and of the one
/// around them a part that leaves no rest.
void Blocking::chooseNest(const Contraction &c) {
  int64_t deepest = pack ? deepestPacked : deepestInPlace;
  // A block has whole lines of an image: words may lie along them.
  blockLoop = c.reductions.size() - 1;
  int64_t inside = c.size[c.reductions[blockLoop]], steps = 1, size;
  do {
    inside *= steps;
    size = c.size[c.reductions[--blockLoop]];
    steps = std::clamp<int64_t>(deepest / inside, 1, size);
    while (size % steps != 0)
      --steps;
  } while (steps == size && blockLoop > 0);
  blockDepth = inside * steps;
}

/// Packed panels stream from the second cache as fast as from the first, and
/// deeper blocks read and write the result less often.
int64_t Blocking::chooseDepth(const Contraction &c) const {
  if (c.reductions.size() != 1)
    return c.depth();
  // A row by itself reads rhs once, from memory: some rows of it side by side,
  // in the order in which they lie there; the sums stay in the first cache.
  constexpr int64_t rowsAtOnce = 4;
  if (c.uses() == 1 && c.rhs.step[c.column] == 1)
    return std::min<int64_t>(c.depth(), rowsAtOnce);
  constexpr int64_t deepestTiles = 512;
  int64_t deepest =
      words.elements * (words.tiles                ? deepestTiles
                        : pack || c.panel          ? deepestPacked
                        : rowBytes(c) >= pageBytes ? deepestOfPages
                                                   : deepestInPlace);
  int64_t blocks = llvm::divideCeil(c.depth(), deepest);
  int64_t depth = llvm::divideCeil(c.depth(), blocks);
  return blocks > 1 ? llvm::alignTo(depth, words.elements * words.stepsAtOnce)
                    : depth;
}

/// Is the result written once, to whole vectors, and more than caches keep for
/// who reads it next? In tile registers nothing is written so.
bool Blocking::chooseStreams(const Contraction &c) const {
  constexpr int64_t leastBytes = 32 << 20;
  auto isWhole = [&](unsigned d) {
    return d == c.column || c.out.step[d] % c.lanes == 0;
  };
  return !words.tiles && c.rowLoops.empty() && blockDepth == c.depth() &&
         c.out.start % c.lanes == 0 &&
         llvm::all_of(llvm::seq<unsigned>(c.size.size()), isWhole) &&
         lowering::byteCount(cast<ShapedType>(c.out.buffer.getType())) >=
             leastBytes;
}

/// A panel of rhs stays in the first cache and a block of lhs in the second.
void Blocking::chooseCaches(const Contraction &c) {
  int64_t bytes = lowering::elementBytes(c.element);
  int64_t panel = tileVectors * c.lanes, steps = words.steps(blockDepth);
  blockColumns = llvm::alignTo(c.columns(), panel);
  blockRows = c.rows();
  if (c.reductions.size() == 1) {
    int64_t rows = std::max<int64_t>(48 * 1024 / steps, tileRows);
    // Rows of the result lie on pages of their own: few of them at a time, or
    // writing it waits for their addresses.
    int64_t mostPages = words.tiles ? tileRows : 24;
    rows = std::min(rows, std::max(tileRows, mostPages));
    int64_t together =
        packLhs && !words.tiles ? std::lcm(tileRows, c.lanes) : tileRows;
    rows = llvm::alignTo(rows, together);
    // Ragged rows are a block of their own, and whole ones need no such tile.
    if (rows < c.rows())
      blockRows = evenPart(c.rows() / together, rows / together) * together;
  }
  if (pack || c.panel)
    blockColumns = std::min<int64_t>(
        blockColumns,
        llvm::alignTo(std::max<int64_t>(panel, 2 * cacheBytes / bytes / steps),
                      panel));
}

bool gradus::sharesPanels(const Contraction &c, const Blocking &blocking) {
  constexpr int64_t mostBytes = 4 << 20; // that caches hold
  auto isLong = [&](unsigned d) { return c.size[d] > 1; };
  auto isLess = [](const RuntimeLength &length) { return bool(length); };
  // Words of several elements are multiplied too fast to wait for each other.
  return blocking.pack && !blocking.packsOnUse && !c.words.part &&
         c.reductions.size() == 1 && llvm::none_of(c.outer, isLong) &&
         llvm::none_of(c.lengths, isLess) && c.rowLoops.empty() &&
         c.depth() * c.columns() * lowering::elementBytes(c.element) <=
             mostBytes;
}

std::optional<std::pair<unsigned, Split>>
gradus::splitContraction(const Contraction &c, const RegisterFile &machine,
                         int64_t threads) {
  double work = double(c.depth());
  for (unsigned d = 0; d < c.size.size(); ++d)
    if (!llvm::is_contained(c.reductions, d))
      work *= double(c.size[d]);
  if (threads < 2 || work < 4 * worthAThread)
    return std::nullopt;
  Blocking blocking = Blocking::choose(c, machine);
  std::optional<std::pair<unsigned, Split>> best;
  double bestValue = 0;
  auto consider = [&](unsigned d, int64_t unit, double value) {
    if (c.isBound(d)) // its parts would be of no known size
      return;
    Split split(c.size[d], unit, threads);
    value *= split.balance(threads);
    if (split.parts > 1 && value > bestValue) {
      bestValue = value;
      best = {d, split};
    }
  };
  for (unsigned d : c.outer)
    consider(d, 1, 1);
  // Parts that share an operand copy all of it to panels, each for itself. An
  // element takes as long to copy as to multiply with some 16 of the other's
  // lines; what parts copy together they read from each other's caches.
  auto shared = [&](double copying, int64_t uses) {
    return 1 / (1 + copying * double(threads - 1) / double(uses));
  };
  constexpr double alone = 16, together = 8;
  double copies = sharesPanels(c, blocking) ? shared(together, c.uses())
                  : blocking.pack           ? shared(alone, c.uses())
                                            : 1;
  // A thread that has rows finds most of what it reads next in its own cache,
  // as other ops are split by rows too; a small rhs is soon there.
  int64_t rhsBytes =
      c.depth() * c.columns() * lowering::elementBytes(elementOf(c.rhs.buffer));
  double columns = rhsBytes <= cacheBytes ? 0.85 : 0.99;
  if (blocking.packLhs)
    columns *= shared(alone, c.columns());
  for (unsigned d : c.repeats)
    consider(d, 1, copies);
  if (c.row) {
    // Equal parts are one piece of code.
    bool isEven =
        c.rows() % threads == 0 && c.rows() >= threads * blocking.tileRows;
    // Reading a large rhs takes longer than multiplying a few rows with it.
    constexpr int64_t few = 24;
    bool reads = rhsBytes > 2 * cacheBytes && c.uses() < few;
    consider(*c.row, isEven ? 1 : blocking.tileRows,
             reads ? 0.9 * copies : copies);
  }
  consider(c.column, blocking.tileVectors * c.lanes, columns);
  return best;
}

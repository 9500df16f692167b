//===- BulkCopies.cpp - boxes of tensors, and what waits for them ---------===//
//
// `cp.async.bulk.tensor` copies a box of a tensor that a map describes, with
// zeros where the tensor ends, and tells an mbarrier how many bytes came. A box
// lands when nothing else can go on: as late as a program allows. Until then
// its place counts as not written.
//
//===----------------------------------------------------------------------===//

#include "Handlers.h"
#include "Machine.h"

using namespace ptx;

namespace {
constexpr uint64_t patternBytes = 1024; ///< of the 128-byte swizzle

uint64_t sharedAddress(uint64_t address) {
  return address >= sharedWindow ? address - sharedWindow : address;
}

TensorMap mapAt(Warp &w, uint64_t address) {
  TensorMap map;
  const auto &params = w.block.params;
  uint64_t offset = address - paramWindow;
  if (address < paramWindow || offset > params.size() ||
      params.size() - offset < sizeof map)
    throw Error("a tensor map is no parameter of the kernel");
  std::memcpy(&map, params.data() + offset, sizeof map);
  if (map.magic != TensorMap::expectedMagic || offset % 64 != 0)
    throw Error("a parameter is no tensor map, or not aligned");
  return map;
}
uint64_t bytesOf(const TensorMap &map) {
  uint64_t bytes = map.elementBytes;
  for (uint32_t d = 0; d < map.rank; ++d)
    bytes *= map.box[d];
  return bytes;
}

/// `cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx
/// ::bytes [to], [map, {x, y}], [mbarrier]`; with `.multicast::cluster` and a
/// mask of blocks behind, to the same place of each of these.
void copyBox(Warp &w, const Instruction &i, uint32_t lanes) {
  if (!i.has("tile"))
    throw Error("instruction " + i.name() + " is not known");
  bool isMulticast = i.has("multicast::cluster");
  eachLane(lanes, [&](int l) {
    PendingBox box{};
    box.to =
        sharedAddress(w.get<uint64_t>(i.ins[0], l) + uint64_t(i.offsets[0]));
    box.map = mapAt(w, w.get<uint64_t>(i.ins[1], l) + uint64_t(i.offsets[1]));
    uint32_t rank = box.map.rank;
    if (i.ins.size() != rank + 3 + isMulticast ||
        i.opcode[4] != std::to_string(rank) + "d")
      throw Error("a box has other dimensions than its tensor");
    for (uint32_t d = 0; d < rank; ++d)
      box.first[d] = w.get<int32_t>(i.ins[2 + d], l);
    box.barrier = w.get<uint64_t>(i.ins[2 + rank], l) + uint64_t(i.offsets[2]);
    if (box.to % (box.map.swizzled ? patternBytes : 128) != 0)
      throw Error("an access that is not aligned");
    std::deque<Block> &blocks = w.block.cluster->blocks;
    uint32_t mask =
        isMulticast ? w.get<uint16_t>(i.ins[3 + rank], l) : 1U << w.block.rank;
    if (mask == 0 || mask >> blocks.size() != 0)
      throw Error("a copy to blocks that the cluster has not");
    for (Block &block : blocks) {
      if (!(mask >> block.rank & 1))
        continue;
      if (block.hasEnded)
        throw Error("a copy to a block of the cluster that has ended");
      block.shared.checkPassed(box.barrier);
      block.shared.forget(box.to, bytesOf(box.map));
      block.boxes.push_back(box);
    }
  });
}

void mbarrier(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    uint64_t address = w.get<uint64_t>(i.ins[0], l) + uint64_t(i.offsets[0]);
    SharedMemory &shared =
        i.has("shared::cluster") ? w.block.sharedAt(address) : w.block.shared;
    if (i.has("init")) {
      shared.makeBarrier(address, w.get<uint32_t>(i.ins[1], l));
    } else if (i.has("try_wait")) {
      w.set<bool>(i.outs[0], l,
                  shared.hasEnded(address, w.get<uint32_t>(i.ins[1], l)));
    } else if (i.has("arrive")) {
      if (i.has("expect_tx"))
        shared.expectBytes(address, w.get<uint32_t>(i.ins[1], l));
      else if (i.ins.size() > 1 && w.get<uint32_t>(i.ins[1], l) != 1)
        throw Error("instruction " + i.name() + " of several is not known");
      shared.arrive(address);
    } else {
      throw Error("instruction " + i.name() + " is not known");
    }
  });
}

void passBarriers(Warp &w, const Instruction &, uint32_t) {
  w.block.shared.passBarriers();
}
/// `mapa.shared::cluster.u64 there, own, rank`
void mapToBlock(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    uint64_t own = sharedAddress(w.get<uint64_t>(i.ins[0], l)),
             rank = w.get<uint32_t>(i.ins[1], l);
    w.set<uint64_t>(i.outs[0], l, own + (rank + 1) * clusterWindow);
  });
}
void arriveAtCluster(Warp &w, const Instruction &, uint32_t lanes) {
  w.arriveAtCluster(lanes);
}
/// Of registers and caches, which an interpreter has no need of.
void nothing(Warp &, const Instruction &, uint32_t) {}
} // namespace

void ptx::landBox(Block &block) {
  PendingBox box = block.boxes.front();
  block.boxes.pop_front();
  const TensorMap &map = box.map;
  uint64_t count = bytesOf(map) / map.elementBytes;
  for (uint64_t e = 0; e < count; ++e) {
    uint64_t rest = e, from = map.address;
    bool isInside = true;
    for (uint32_t d = 0; d < map.rank; ++d) {
      int64_t at = box.first[d] + int64_t(rest % map.box[d]);
      rest /= map.box[d];
      isInside &= at >= 0 && at < int64_t(map.sizes[d]);
      from += uint64_t(at) * (d == 0 ? map.elementBytes : map.strides[d - 1]);
    }
    char value[8] = {};
    if (isInside) {
      auto [begin, bytes] = block.memory.find(from);
      if (!begin ||
          from - reinterpret_cast<uint64_t>(begin) + map.elementBytes > bytes)
        throw Error("a tensor map goes outside its buffer");
      std::memcpy(value, reinterpret_cast<const char *>(from),
                  map.elementBytes);
    }
    uint64_t to = box.to + e * map.elementBytes;
    if (map.swizzled)
      to ^= (to / 128 % 8) << 4;
    block.shared.write(to, value, map.elementBytes);
  }
  block.shared.expectBytes(box.barrier, -int64_t(bytesOf(map)));
}

Handlers ptx::bulkInstructions() {
  return {{"mbarrier", mbarrier},
          {"bulk", copyBox},
          {"mapa.shared::cluster.u64", mapToBlock},
          {"barrier.cluster.arrive", arriveAtCluster},
          {"barrier.cluster.arrive.relaxed", arriveAtCluster},
          {"fence.mbarrier_init.release.cluster", passBarriers},
          {"prefetch.tensormap", nothing},
          {"setmaxnreg.inc.sync.aligned.u32", nothing},
          {"setmaxnreg.dec.sync.aligned.u32", nothing}};
}

//===- Machine.cpp - a warp, instruction by instruction -------------------===//

#include "Machine.h"

using namespace ptx;

static void checkAligned(uint64_t address, size_t bytes) {
  if (address % bytes != 0)
    throw Error("an access that is not aligned");
}
char *Warp::global(uint64_t address, size_t bytes) {
  checkAligned(address, bytes);
  auto inside = [&](std::pair<char *, size_t> buffer) {
    uint64_t offset = address - reinterpret_cast<uint64_t>(buffer.first);
    return offset <= buffer.second && bytes <= buffer.second - offset;
  };
  if (!inside(lastBuffer)) {
    lastBuffer = block.memory.find(address);
    if (!inside(lastBuffer))
      throw Error("an access outside its buffer");
  }
  return reinterpret_cast<char *>(address);
}
void Warp::load(Space space, uint64_t address, void *to, size_t bytes) {
  if (space == Space::Generic && address >= sharedWindow) {
    address -= sharedWindow;
    space = Space::Shared;
  }
  if (space != Space::Shared) {
    std::memcpy(to, global(address, bytes), bytes);
    return;
  }
  checkAligned(address, bytes);
  block.shared.read(address, to, bytes);
}
void Warp::store(Space space, uint64_t address, const void *from,
                 size_t bytes) {
  if (space == Space::Generic && address >= sharedWindow) {
    address -= sharedWindow;
    space = Space::Shared;
  }
  if (space != Space::Shared) {
    std::memcpy(global(address, bytes), from, bytes);
    return;
  }
  checkAligned(address, bytes);
  writeShared(address, from, bytes);
}
void Warp::writeShared(uint64_t address, const void *from, size_t bytes) {
  block.shared.write(address, from, bytes);
  if (!block.kernel.usesAsyncProxy)
    return;
  block.shared.hide(address, bytes);
  hidden.emplace_back(address, bytes);
}

void Warp::handOver(int reg, bool adds) {
  if (adds && inFlight[reg] == 0) {
    if (defined[reg] != allLanes)
      throw Error("a register is read before it is written");
    if (touched[reg])
      throw Error("a product adds to what no wgmma.fence hands over");
  }
  ++inFlight[reg];
  defined[reg] = 0;
}
void Warp::takeBack(int reg) {
  if (--inFlight[reg] == 0)
    defined[reg] = allLanes;
}

//===----------------------------------------------------------------------===//
// A warp
//===----------------------------------------------------------------------===//

Warp::Warp(Block &block, uint32_t firstThread, uint32_t threads)
    : block(block), number(firstThread / lanesAWarp),
      registers(block.kernel.registers), defined(block.kernel.registers),
      inFlight(block.kernel.registers), touched(block.kernel.registers),
      live(threads >= lanesAWarp ? allLanes : (1U << threads) - 1) {
  for (const Preset &p : block.kernel.presets) {
    for (int lane = 0; lane < lanesAWarp; ++lane)
      preset(p, lane, firstThread + uint32_t(lane));
    defined[p.reg] = allLanes;
  }
}

void Warp::preset(const Preset &p, int lane, uint32_t thread) {
  uint64_t value = p.value;
  if (p.kind == Preset::SharedAddress) {
    value = block.shared.addressOf(p.symbol);
  } else if (p.kind == Preset::Special) {
    size_t axis = size_t(p.symbol.back() - 'x');
    const auto &size = block.launch.block;
    std::array<uint32_t, 3> id{thread % size[0], thread / size[0] % size[1],
                               thread / size[0] / size[1]};
    if (p.symbol == "%laneid")
      value = uint64_t(lane);
    else if (p.symbol == "%warpid")
      value = thread / lanesAWarp;
    else if (p.symbol == "%cluster_ctarank")
      value = block.rank;
    else if (p.symbol.rfind("%tid", 0) == 0)
      value = id[axis];
    else if (p.symbol.rfind("%ntid", 0) == 0)
      value = size[axis];
    else if (p.symbol.rfind("%ctaid", 0) == 0)
      value = block.index[axis];
    else
      value = block.launch.grid[axis];
  }
  registers[p.reg][lane] = value;
}

uint32_t Warp::guarded(const Instruction &i, uint32_t lanes) const {
  if (i.guard < 0)
    return lanes;
  if (lanes & ~defined[i.guard])
    throw Error("a guard is read before it is written");
  uint32_t on = 0;
  for (int lane = 0; lane < lanesAWarp; ++lane)
    on |= uint32_t(registers[i.guard][lane] != 0) << lane;
  return lanes & (i.negated ? ~on : on);
}
void Warp::checkDefined(const Instruction &i, uint32_t lanes) const {
  for (int r : i.ins)
    if (lanes & ~defined[r])
      throw Error(i.name() + ": a register is read before it is written");
}

void Warp::arriveAtCluster(uint32_t lanes) {
  if (arrived & lanes)
    throw Error("a lane arrives at the cluster's barrier again");
  arrived |= lanes;
  eachLane(lanes, [&](int l) { arrivedIn[l] = block.cluster->phase; });
  block.cluster->arrive(uint32_t(std::popcount(lanes)));
}
bool Warp::passCluster(uint32_t lanes) {
  if (lanes & ~arrived)
    throw Error("a lane waits for the cluster and has not arrived");
  bool isOver = true;
  eachLane(lanes,
           [&](int l) { isOver &= arrivedIn[l] != block.cluster->phase; });
  if (isOver)
    arrived &= ~lanes;
  return isOver;
}

void Warp::sendTo(size_t instruction, uint32_t lanes) {
  eachLane(lanes, [&](int l) { next[l] = instruction; });
}

Warp::State Warp::run() {
  const auto &code = block.kernel.code;
  while (uint32_t runnable = live & ~waiting & ~meeting) {
    // The lanes that are furthest behind.
    size_t at = SIZE_MAX, ahead = SIZE_MAX;
    for (int lane = 0; lane < lanesAWarp; ++lane)
      if (runnable >> lane & 1)
        at = std::min(at, next[lane]);
    uint32_t lanes = 0;
    for (int lane = 0; lane < lanesAWarp; ++lane)
      if (runnable >> lane & 1) {
        if (next[lane] == at)
          lanes |= 1U << lane;
        else
          ahead = std::min(ahead, next[lane]);
      }
    bool together = true;
    while (together && at < code.size() && at != ahead) {
      const Instruction &i = code[at];
      try {
        uint32_t on = guarded(i, lanes);
        switch (i.control) {
        case Control::None:
          if (on) {
            checkDefined(i, on);
            i.run(*this, i, on);
            if (!i.isLater)
              for (int r : i.outs) {
                defined[r] |= on;
                touched[r] = true;
              }
          }
          ++at;
          break;
        case Control::Wait: {
          checkDefined(i, on);
          i.run(*this, i, on);
          bool isOver = true;
          eachLane(on, [&](int l) { isOver &= get<bool>(i.outs[0], l); });
          defined[i.outs[0]] |= on;
          ++at;
          if (isOver)
            break;
          sendTo(at, lanes);
          return state = State::Waiting;
        }
        case Control::ClusterWait:
          if (passCluster(on)) {
            ++at;
            break;
          }
          sendTo(at, lanes);
          return state = State::AtCluster;
        case Control::Return:
          live &= ~on;
          lanes &= ~on;
          ++at;
          together = lanes != 0;
          break;
        case Control::Barrier:
          waiting |= on;
          sendTo(at + 1, lanes);
          together = false;
          break;
        case Control::WarpBarrier:
          if (get<uint32_t>(i.ins[0], 0) != allLanes)
            throw Error("a barrier of some lanes of a warp");
          meeting |= on;
          sendTo(at + 1, lanes);
          if (meeting == live)
            meeting = 0;
          together = false;
          break;
        case Control::Branch:
          for (int lane = 0; lane < lanesAWarp; ++lane)
            if (lanes >> lane & 1)
              next[lane] = on >> lane & 1 ? i.target : at + 1;
          // All one way: no need to look who is behind, unless that is back.
          together = (on == 0 || on == lanes) && ahead == SIZE_MAX;
          at = on == 0 ? at + 1 : i.target;
          break;
        }
        if (!together)
          break;
      } catch (const Error &e) {
        throw Error(block.kernel.name + ", line " + std::to_string(i.line) +
                    ": " + e.what());
      }
    }
    if (together) {
      if (at >= code.size())
        live &= ~lanes;
      sendTo(at, lanes);
    }
  }
  if (meeting)
    throw Error(block.kernel.name +
                ": a barrier that not all lanes of a warp reach");
  if (live)
    return state = State::AtBarrier;
  if (!products.empty())
    throw Error(block.kernel.name + ": a warp ends before its products");
  return state = State::Done;
}

//===- Machine.cpp - blocks, warps, barriers ------------------------------===//

#include "Machine.h"
#include <atomic>
#include <mutex>
#include <thread>

using namespace ptx;

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

void DeviceMemory::add(void *begin, size_t bytes) {
  buffers[reinterpret_cast<uint64_t>(begin)] = bytes;
}
bool DeviceMemory::remove(void *begin) {
  return buffers.erase(reinterpret_cast<uint64_t>(begin)) != 0;
}
std::pair<char *, size_t> DeviceMemory::find(uint64_t address) const {
  auto it = buffers.upper_bound(address);
  if (it == buffers.begin())
    return {nullptr, 0};
  --it;
  if (address - it->first >= std::max<size_t>(it->second, 1))
    return {nullptr, 0};
  return {reinterpret_cast<char *>(it->first), it->second};
}

SharedMemory::SharedMemory(const Kernel &kernel, size_t moreBytes) {
  uint64_t bytes = 0;
  auto place = [&](const std::string &name, const SharedVariable &v) {
    bytes = (bytes + v.alignment - 1) / v.alignment * v.alignment;
    starts[name] = bytes;
    bytes += v.bytes;
  };
  for (auto &[name, variable] : kernel.shared)
    if (variable.bytes != 0)
      place(name, variable);
  for (auto &[name, variable] : kernel.shared)
    if (variable.bytes == 0)
      place(name, variable);
  data.resize(bytes + moreBytes);
  written.assign(data.size(), false);
  if (kernel.usesAsyncProxy)
    hidden.assign(data.size(), false);
}
char *SharedMemory::at(uint64_t address, size_t bytes) {
  if (address > data.size() || bytes > data.size() - address)
    throw Error("an access outside shared memory");
  return data.data() + address;
}
void SharedMemory::read(uint64_t address, void *to, size_t bytes) {
  const char *from = at(address, bytes);
  for (size_t b = 0; b < bytes; ++b)
    if (!written[address + b])
      throw Error("shared memory is read before it is written");
  std::memcpy(to, from, bytes);
}
void SharedMemory::write(uint64_t address, const void *from, size_t bytes) {
  std::memcpy(at(address, bytes), from, bytes);
  std::memset(written.data() + address, 1, bytes);
}
void SharedMemory::forget(uint64_t address, size_t bytes) {
  at(address, bytes);
  std::memset(written.data() + address, 0, bytes);
}

void SharedMemory::hide(uint64_t address, size_t bytes) {
  std::memset(hidden.data() + address, 1, bytes);
}
void SharedMemory::makeVisible(
    const std::vector<std::pair<uint64_t, size_t>> &places) {
  for (auto [address, bytes] : places)
    std::memset(hidden.data() + address, 0, bytes);
}
void SharedMemory::checkVisible(uint64_t address, size_t bytes) {
  at(address, bytes);
  for (size_t b = 0; b < bytes; ++b)
    if (hidden[address + b])
      throw Error("the asynchronous proxy reads what was not passed to it "
                  "(fence.proxy.async)");
}

SharedMemory::Barrier &SharedMemory::barrierAt(uint64_t address) {
  auto it = barriers.find(address);
  if (it == barriers.end())
    throw Error("there is no mbarrier at this address");
  return it->second;
}
void SharedMemory::makeBarrier(uint64_t address, uint32_t arrivals) {
  at(address, 8);
  if (address % 8 != 0 || arrivals == 0)
    throw Error("no mbarrier can be made so");
  barriers[address] = {arrivals, arrivals, 0, 0, false};
}
void SharedMemory::passBarriers() {
  for (auto &[address, b] : barriers)
    b.isPassed = true;
}
void SharedMemory::checkPassed(uint64_t address) {
  if (!barrierAt(address).isPassed)
    throw Error("a copy tells an mbarrier that no fence passed to it");
}
void SharedMemory::finishPhase(Barrier &b) {
  ++events;
  if (b.pending != 0 || b.bytes != 0)
    return;
  ++b.phase;
  b.pending = b.arrivals;
}
void SharedMemory::arrive(uint64_t address) {
  Barrier &b = barrierAt(address);
  if (b.pending == 0)
    throw Error("more threads arrive at an mbarrier than it was made for");
  --b.pending;
  finishPhase(b);
}
void SharedMemory::expectBytes(uint64_t address, int64_t bytes) {
  Barrier &b = barrierAt(address);
  b.bytes += bytes;
  // What was expected may have come; more is expected before threads arrive.
  if (bytes < 0)
    finishPhase(b);
}
bool SharedMemory::hasEnded(uint64_t address, uint32_t parity) {
  return (barrierAt(address).phase & 1) != parity;
}

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
          for (int lane = 0; lane < lanesAWarp; ++lane)
            if (lanes >> lane & 1)
              next[lane] = at;
          return state = State::Waiting;
        }
        case Control::Return:
          live &= ~on;
          lanes &= ~on;
          ++at;
          together = lanes != 0;
          break;
        case Control::Barrier:
          waiting |= on;
          for (int lane = 0; lane < lanesAWarp; ++lane)
            if (lanes >> lane & 1)
              next[lane] = at + 1;
          together = false;
          break;
        case Control::WarpBarrier:
          if (get<uint32_t>(i.ins[0], 0) != allLanes)
            throw Error("a barrier of some lanes of a warp");
          meeting |= on;
          for (int lane = 0; lane < lanesAWarp; ++lane)
            if (lanes >> lane & 1)
              next[lane] = at + 1;
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
      for (int lane = 0; lane < lanesAWarp; ++lane)
        if (lanes >> lane & 1)
          next[lane] = at;
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

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

static void runBlock(Block &block) {
  const auto &size = block.launch.block;
  uint32_t threads = size[0] * size[1] * size[2];
  std::vector<Warp> warps;
  warps.reserve((threads + lanesAWarp - 1) / lanesAWarp);
  for (uint32_t t = 0; t < threads; t += lanesAWarp)
    warps.emplace_back(block, t, threads - t);
  using State = Warp::State;
  auto count = [&](State s) {
    return size_t(std::count_if(warps.begin(), warps.end(),
                                [&](const Warp &w) { return w.state == s; }));
  };
  while (count(State::Done) < warps.size()) {
    size_t events = block.shared.events;
    bool goesOn = false;
    for (Warp &w : warps)
      if (w.state == State::Ready || w.state == State::Waiting) {
        bool wasWaiting = w.state == State::Waiting;
        goesOn |= w.run() != State::Waiting || !wasWaiting;
      }
    if (goesOn || events != block.shared.events)
      continue;
    if (!block.boxes.empty()) {
      landBox(block);
      continue;
    }
    size_t atBarrier = count(State::AtBarrier);
    if (atBarrier != warps.size())
      throw Error(block.kernel.name +
                  (atBarrier == 0
                       ? ": waits for an mbarrier that nothing can end"
                       : ": a barrier that only " + std::to_string(atBarrier) +
                             " of " + std::to_string(warps.size()) +
                             " warps reach"));
    for (Warp &w : warps) {
      w.passBarrier();
      w.state = State::Ready;
    }
  }
  if (!block.boxes.empty())
    throw Error(block.kernel.name + ": a block ends before its copies");
}

void ptx::run(const Kernel &kernel, const Launch &launch,
              const DeviceMemory &memory, const std::vector<char> &params) {
  if (params.size() != kernel.paramBytes)
    throw Error(kernel.name + " takes " + std::to_string(kernel.paramBytes) +
                " bytes of parameters, not " + std::to_string(params.size()));
  const auto &grid = launch.grid;
  uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
  std::atomic<uint64_t> following = 0;
  std::mutex lock;
  std::string message;
  auto work = [&] {
    for (uint64_t b; (b = following++) < blocks;) {
      try {
        Block block{kernel,
                    launch,
                    memory,
                    params,
                    {uint32_t(b % grid[0]), uint32_t(b / grid[0] % grid[1]),
                     uint32_t(b / grid[0] / grid[1])},
                    SharedMemory(kernel, launch.sharedBytes)};
        runBlock(block);
      } catch (const Error &e) {
        std::lock_guard guard(lock);
        message = e.what();
        following = blocks;
      }
    }
  };
  uint64_t count = std::min<uint64_t>(
      blocks, std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::thread> others;
  for (uint64_t t = 1; t < count; ++t)
    others.emplace_back(work);
  work();
  for (std::thread &t : others)
    t.join();
  if (!message.empty())
    throw Error(message);
}

//===- Machine.h - PTX run on the CPU ---------------------------*- C++ -*-===//
//
// Runs kernels 32 lanes at a time, so that they can be judged where there is no
// GPU. Lanes that part at a branch run on by turns, those that lag behind
// first, and meet again where they come to the same instruction. Errors are: an
// access outside a buffer, or not aligned; a barrier that not all threads
// reach; a register, or a byte of shared memory, that is read before it is
// written. Asynchronous copies land as late as a wait allows; until then the
// place they go to counts as not written. Of asynchronous products:
// Warpgroup.cpp.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_PTX_MACHINE_H
#define GRADUS_PTX_MACHINE_H

#include "Module.h"
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <deque>

namespace ptx {

inline constexpr int lanesAWarp = 32;
inline constexpr uint32_t allLanes = ~0U;
/// Shared memory as generic addresses see it.
inline constexpr uint64_t sharedWindow = uint64_t(1) << 60;
/// In shared::cluster, what is below this is the block's own; then comes that
/// of each block of the cluster.
inline constexpr uint64_t clusterWindow = uint64_t(1) << 40;

/// Device memory: places in this process that kernels may touch.
class DeviceMemory {
public:
  void add(void *begin, size_t bytes);
  /// False if nothing begins there.
  bool remove(void *begin);
  /// The bytes of the buffer that holds the address, from its start; none if
  /// there is no such buffer.
  std::pair<char *, size_t> find(uint64_t address) const;

private:
  std::map<uint64_t, size_t> buffers;
};

struct Launch {
  std::array<uint32_t, 3> grid{1, 1, 1}, block{1, 1, 1};
  size_t sharedBytes = 0; ///< besides what the kernel declares

  uint32_t threads() const { return block[0] * block[1] * block[2]; }
};

class SharedMemory {
public:
  SharedMemory(const Kernel &kernel, size_t moreBytes);
  uint64_t addressOf(const std::string &variable) const {
    return starts.at(variable);
  }
  char *at(uint64_t address, size_t bytes);
  void read(uint64_t address, void *to, size_t bytes);
  void write(uint64_t address, const void *from, size_t bytes);
  /// From now until it is written, the place holds nothing.
  void forget(uint64_t address, size_t bytes);

  /// An mbarrier: threads arrive, copies bring bytes; a phase ends when all of
  /// both are there.
  void makeBarrier(uint64_t address, uint32_t arrivals);
  /// Passes those that were made to copies (fence.mbarrier_init).
  void passBarriers();
  void checkPassed(uint64_t address);
  void arrive(uint64_t address);
  void expectBytes(uint64_t address, int64_t bytes);
  /// Has the phase of this parity ended?
  bool hasEnded(uint64_t address, uint32_t parity);
  /// Counts what could make a wait end.
  size_t events = 0;

  /// What threads wrote is hidden from the asynchronous proxy until they pass
  /// it on.
  void hide(uint64_t address, size_t bytes);
  void makeVisible(const std::vector<std::pair<uint64_t, size_t>> &places);
  void checkVisible(uint64_t address, size_t bytes);

private:
  std::map<std::string, uint64_t> starts;
  struct Barrier {
    uint32_t arrivals, pending, phase;
    int64_t bytes;
    bool isPassed;
  };
  Barrier &barrierAt(uint64_t address);
  void finishPhase(Barrier &b);

  std::map<uint64_t, Barrier> barriers;
  std::vector<char> data, written, hidden;
};

/// What cuTensorMapEncodeTiled makes of a tensor, as this interpreter has it.
struct TensorMap {
  static constexpr uint64_t expectedMagic = 0x70614d726f736e65;
  uint64_t magic, address;
  uint32_t rank, elementBytes, swizzled;
  uint32_t sizes[5], box[5];
  uint64_t strides[4]; ///< in bytes, from the second axis on
};
static_assert(sizeof(TensorMap) <= 128);

/// A copy to shared memory that has begun.
struct PendingCopy {
  uint64_t to;
  const char *from;
  size_t bytes, readBytes; ///< behind those read come zeros
};

/// A product of a warpgroup that has begun.
struct PendingProduct {
  const Instruction *instruction;
  uint64_t lhs, rhs; ///< descriptors
  bool adds;         ///< to what the sums were
};

/// A copy of a box of a tensor that has begun; it lands when nothing else can
/// go on.
struct PendingBox {
  uint64_t to, barrier;
  TensorMap map;
  std::array<int32_t, 5> first;
};

struct Cluster;
struct Block {
  const Kernel &kernel;
  const Launch &launch;
  const DeviceMemory &memory;
  const std::vector<char> &params;
  std::array<uint32_t, 3> index;
  SharedMemory shared;
  Cluster *cluster;
  uint32_t rank; ///< in the cluster
  std::deque<PendingBox> boxes{};
  bool hasEnded = false;

  /// Of this block or another of the cluster, and the address there.
  SharedMemory &sharedAt(uint64_t &address);
};
/// Blocks that run together.
struct Cluster {
  std::deque<Block> blocks;
  /// Threads, in all and at the barrier of the cluster; how often it was
  /// passed.
  uint32_t all = 0, arrived = 0, phase = 0;
  size_t events = 0; ///< that could make a wait end

  void arrive(uint32_t threads);
};
/// Lands the copy that began first.
void landBox(Block &block);

class Warp {
public:
  Warp(Block &block, uint32_t firstThread, uint32_t threads);

  enum class State { Ready, Waiting, AtCluster, AtBarrier, Done };
  /// Runs until a barrier, a wait that is not over, or the end.
  State run();
  State state = State::Ready;
  bool isWaiting() const {
    return state == State::Waiting || state == State::AtCluster;
  }
  void passBarrier() { waiting = 0; }
  void arriveAtCluster(uint32_t lanes);

  template <typename T> T get(int reg, int lane) const {
    uint64_t v = registers[reg][lane];
    if constexpr (std::is_same_v<T, bool>)
      return v != 0;
    else if constexpr (sizeof(T) == 8)
      return std::bit_cast<T>(v);
    else if constexpr (sizeof(T) == 4)
      return std::bit_cast<T>(uint32_t(v));
    else if constexpr (sizeof(T) == 2)
      return std::bit_cast<T>(uint16_t(v));
    else
      return std::bit_cast<T>(uint8_t(v));
  }
  template <typename T> void set(int reg, int lane, T value) {
    if constexpr (std::is_same_v<T, bool>)
      registers[reg][lane] = value;
    else if constexpr (sizeof(T) == 8)
      registers[reg][lane] = std::bit_cast<uint64_t>(value);
    else if constexpr (sizeof(T) == 4)
      registers[reg][lane] = std::bit_cast<uint32_t>(value);
    else if constexpr (sizeof(T) == 2)
      registers[reg][lane] = std::bit_cast<uint16_t>(value);
    else
      registers[reg][lane] = std::bit_cast<uint8_t>(value);
  }

  /// Of global memory, bounds and alignment checked.
  char *global(uint64_t address, size_t bytes);
  void load(Space space, uint64_t address, void *to, size_t bytes);
  void store(Space space, uint64_t address, const void *from, size_t bytes);

  /// A write to shared memory by a thread.
  void writeShared(uint64_t address, const void *from, size_t bytes);

  /// Gives a sum to a product that begins, or gets it back.
  void handOver(int reg, bool adds);
  void takeBack(int reg);
  void fenceProducts() { std::fill(touched.begin(), touched.end(), false); }

  Block &block;
  uint32_t number; ///< in the block
  std::vector<PendingProduct> products;
  std::vector<size_t> productGroups;
  /// Written to shared memory, and not passed to the asynchronous proxy.
  std::vector<std::pair<uint64_t, size_t>> hidden;
  std::array<std::vector<PendingCopy>, lanesAWarp> copies;
  /// How many of a lane's copies belong to each group that it closed.
  std::array<std::vector<size_t>, lanesAWarp> groups;
  std::pair<char *, size_t> lastBuffer{nullptr, 0};

private:
  uint32_t guarded(const Instruction &i, uint32_t lanes) const;
  void checkDefined(const Instruction &i, uint32_t lanes) const;
  void preset(const Preset &p, int lane, uint32_t thread);
  /// These lanes go on there.
  void sendTo(size_t instruction, uint32_t lanes);
  /// Has the cluster's barrier been passed by all that these lanes wait for?
  bool passCluster(uint32_t lanes);

  std::vector<std::array<uint64_t, lanesAWarp>> registers;
  std::vector<uint32_t> defined; ///< lanes, by register
  std::vector<int> inFlight;     ///< products that add to a register
  std::vector<char> touched;     ///< written since the last wgmma.fence
  std::array<size_t, lanesAWarp> next{};
  /// Lanes: not at their end; at a barrier of the block; of the warp.
  uint32_t live, waiting = 0, meeting = 0;
  /// Lanes that have arrived at the cluster's barrier, and in which phase.
  uint32_t arrived = 0;
  std::array<uint32_t, lanesAWarp> arrivedIn{};
};

/// Calls f(lane) for each lane whose bit is set.
template <typename F> void eachLane(uint32_t lanes, F f) {
  if (lanes == allLanes) {
    for (int lane = 0; lane < lanesAWarp; ++lane)
      f(lane);
    return;
  }
  for (int lane = 0; lane < lanesAWarp; ++lane)
    if (lanes >> lane & 1)
      f(lane);
}

/// Runs a kernel; `params` are the bytes of its parameters.
void run(const Kernel &kernel, const Launch &launch, const DeviceMemory &memory,
         const std::vector<char> &params);

} // namespace ptx

#endif // GRADUS_PTX_MACHINE_H

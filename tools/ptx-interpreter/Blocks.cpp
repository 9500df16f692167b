//===- Blocks.cpp - blocks of a kernel, and clusters of them --------------===//

#include "Machine.h"
#include <atomic>
#include <mutex>
#include <thread>

using namespace ptx;

SharedMemory &Block::sharedAt(uint64_t &address) {
  uint64_t window = address / clusterWindow;
  if (window == 0)
    return shared;
  if (window > cluster->blocks.size())
    throw Error("an access outside the cluster's shared memory");
  address %= clusterWindow;
  Block &other = cluster->blocks[window - 1];
  if (other.hasEnded)
    throw Error("a block of the cluster has ended before an access to it");
  return other.shared;
}

void Cluster::arrive(uint32_t threads) {
  arrived += threads;
  ++events;
  if (arrived < all)
    return;
  arrived = 0;
  ++phase;
}

namespace {
/// Runs the warps of a cluster's blocks by turns.
class ClusterRun {
public:
  explicit ClusterRun(Cluster &cluster) : cluster(cluster) {
    for (Block &block : cluster.blocks) {
      std::vector<Warp> &own = warps.emplace_back();
      uint32_t threads = block.launch.threads();
      own.reserve((threads + lanesAWarp - 1) / lanesAWarp);
      for (uint32_t t = 0; t < threads; t += lanesAWarp)
        own.emplace_back(block, t, threads - t);
      cluster.all += threads;
    }
  }

  void run() {
    while (!std::all_of(cluster.blocks.begin(), cluster.blocks.end(),
                        [](const Block &b) { return b.hasEnded; })) {
      // What was begun lands when nothing else can go on.
      if (runWarps() || passBarriers() || landOneBox())
        continue;
      reportDeadlock();
    }
  }

private:
  using State = Warp::State;

  size_t events() const {
    size_t n = cluster.events;
    for (const Block &b : cluster.blocks)
      n += b.shared.events;
    return n;
  }
  size_t count(size_t block, State s) const {
    return size_t(std::count_if(warps[block].begin(), warps[block].end(),
                                [&](const Warp &w) { return w.state == s; }));
  }

  bool runWarps() {
    size_t before = events();
    bool goesOn = false;
    for (size_t b = 0; b < warps.size(); ++b) {
      for (Warp &w : warps[b])
        if (w.state == State::Ready || w.isWaiting()) {
          State before = w.state;
          goesOn |= w.run() != before || !w.isWaiting();
        }
      end(b);
    }
    return goesOn || before != events();
  }
  void end(size_t b) {
    Block &block = cluster.blocks[b];
    if (count(b, State::Done) < warps[b].size())
      return;
    if (!block.boxes.empty())
      throw Error(block.kernel.name + ": a block ends before its copies");
    block.hasEnded = true;
  }
  bool passBarriers() {
    bool passes = false;
    for (size_t b = 0; b < warps.size(); ++b) {
      if (count(b, State::AtBarrier) < warps[b].size())
        continue;
      for (Warp &w : warps[b]) {
        w.passBarrier();
        w.state = State::Ready;
      }
      passes = true;
    }
    return passes;
  }
  bool landOneBox() {
    for (Block &block : cluster.blocks)
      if (!block.boxes.empty()) {
        landBox(block);
        return true;
      }
    return false;
  }
  [[noreturn]] void reportDeadlock() const {
    const std::string &name = cluster.blocks[0].kernel.name;
    for (size_t b = 0; b < warps.size(); ++b)
      if (size_t atBarrier = count(b, State::AtBarrier))
        throw Error(name + ": a barrier that only " +
                    std::to_string(atBarrier) + " of " +
                    std::to_string(warps[b].size()) + " warps reach");
    for (size_t b = 0; b < warps.size(); ++b)
      if (count(b, State::Waiting))
        throw Error(name + ": waits for an mbarrier that nothing can end");
    throw Error(name + ": a barrier of the cluster that only " +
                std::to_string(cluster.arrived) + " of " +
                std::to_string(cluster.all) + " threads reach");
  }

  Cluster &cluster;
  std::vector<std::vector<Warp>> warps; ///< of each block
};
} // namespace

void ptx::run(const Kernel &kernel, const Launch &launch,
              const DeviceMemory &memory, const std::vector<char> &params) {
  if (params.size() != kernel.paramBytes)
    throw Error(kernel.name + " takes " + std::to_string(kernel.paramBytes) +
                " bytes of parameters, not " + std::to_string(params.size()));
  const auto &grid = launch.grid;
  if (grid[0] % kernel.clusterBlocks != 0)
    throw Error(kernel.name + ": the grid is not made of whole clusters");
  uint64_t clusters =
      uint64_t(grid[0]) / kernel.clusterBlocks * grid[1] * grid[2];
  std::atomic<uint64_t> following = 0;
  std::mutex lock;
  std::string message;
  auto work = [&] {
    for (uint64_t c; (c = following++) < clusters;) {
      try {
        Cluster cluster;
        for (uint32_t rank = 0; rank < kernel.clusterBlocks; ++rank) {
          uint64_t b = c * kernel.clusterBlocks + rank;
          cluster.blocks.push_back(
              Block{kernel,
                    launch,
                    memory,
                    params,
                    {uint32_t(b % grid[0]), uint32_t(b / grid[0] % grid[1]),
                     uint32_t(b / grid[0] / grid[1])},
                    SharedMemory(kernel, launch.sharedBytes),
                    &cluster,
                    rank});
        }
        ClusterRun(cluster).run();
      } catch (const Error &e) {
        std::lock_guard guard(lock);
        message = e.what();
        following = clusters;
      }
    }
  };
  uint64_t count = std::min<uint64_t>(
      clusters, std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::thread> others;
  for (uint64_t t = 1; t < count; ++t)
    others.emplace_back(work);
  work();
  for (std::thread &t : others)
    t.join();
  if (!message.empty())
    throw Error(message);
}

//===- Driver.cpp - the CUDA driver's functions, on the CPU ---------------===//
//
// A library for GRADUS_CUDA_DRIVER: what a model's runtime asks of libcuda,
// done by the PTX interpreter. So a whole training step, compiled for a GPU,
// runs and is judged where there is none. Device memory is memory of this
// process that kernels may touch; host memory they may not.
//
//   GRADUS_PTX_LOG=FILE   a line for each call, appended
//   GRADUS_PTX=FILE       the kernels' text, in place of what is loaded
//   GRADUS_PTX_FORGETS=1  dependencies that are added are not: a bug to be
//   found
//
//===----------------------------------------------------------------------===//

#include "tools/ptx-interpreter/Machine.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>

namespace {
enum Result : int {
  Success = 0,
  InvalidValue = 1,
  OutOfMemory = 2,
  InvalidImage = 200,
  NoBinaryForGpu = 209,
  NotFound = 500,
  IllegalAddress = 700,
  LaunchFailed = 719,
};

struct Module {
  std::map<std::string, ptx::Kernel> kernels;
};
using Work = std::function<int()>;
/// What a stream was asked to do while it was recorded, and which steps wait
/// for which: pairs of an earlier one and one that waits for it.
struct Graph {
  std::vector<Work> steps;
  std::set<std::pair<size_t, size_t>> edges;

  using Node = void *;
  static Node nodeOf(size_t step) { return reinterpret_cast<Node>(step + 1); }
  /// The steps' number where the node is none.
  size_t stepOf(Node node) const {
    auto number = reinterpret_cast<uintptr_t>(node);
    return number >= 1 && number <= steps.size() ? number - 1 : steps.size();
  }
  /// As unlike the recording as the edges allow: of steps that wait for none,
  /// always the last. Not all steps if some wait for each other.
  std::vector<size_t> order() const;
  /// The steps of the longest chain, if they are in this order.
  size_t longestChain(const std::vector<size_t> &order) const;
};

std::vector<size_t> Graph::order() const {
  std::vector<size_t> waitsFor(steps.size());
  for (auto [from, to] : edges)
    ++waitsFor[to];
  std::set<size_t> ready;
  for (size_t i = 0; i < steps.size(); ++i)
    if (waitsFor[i] == 0)
      ready.insert(i);
  std::vector<size_t> order;
  while (!ready.empty()) {
    size_t next = *ready.rbegin();
    ready.erase(next);
    order.push_back(next);
    for (auto e = edges.lower_bound({next, 0});
         e != edges.end() && e->first == next; ++e)
      if (--waitsFor[e->second] == 0)
        ready.insert(e->second);
  }
  return order;
}
size_t Graph::longestChain(const std::vector<size_t> &order) const {
  std::vector<size_t> length(steps.size(), 1);
  size_t longest = 0;
  for (size_t step : order) {
    longest = std::max(longest, length[step]);
    for (auto e = edges.lower_bound({step, 0});
         e != edges.end() && e->first == step; ++e)
      length[e->second] = std::max(length[e->second], length[step] + 1);
  }
  return longest;
}
/// Steps in the order that they are replayed in.
struct Replay {
  std::vector<Work> steps;
};

struct Device {
  ptx::DeviceMemory memory;
  /// An error is every later call's, as on a device.
  int failure = Success;
  std::unique_ptr<Graph> recording;
  /// What functions may have at most, where more than usual was asked for.
  std::map<void *, unsigned> sharedBytes;
  FILE *log = nullptr;

  Device() {
    if (const char *path = std::getenv("GRADUS_PTX_LOG"))
      log = std::fopen(path, "a");
  }
  ~Device() {
    if (log)
      std::fclose(log);
  }
  template <typename... Args> void write(const char *format, Args... args) {
    if (!log)
      return;
    std::fprintf(log, format, args...);
    std::fflush(log);
  }
  /// Does it now, or once the recording is replayed.
  int submit(Work work) {
    if (failure != Success)
      return failure;
    if (recording) {
      recording->steps.push_back(std::move(work));
      return Success;
    }
    return failure = work();
  }
};
Device &device() {
  static Device d;
  return d;
}

std::string replacement() {
  const char *path = std::getenv("GRADUS_PTX");
  if (!path)
    return "";
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}
} // namespace

extern "C" {
int cuInit(unsigned) { return Success; }
int cuDriverGetVersion(int *version) {
  *version = 13000;
  return Success;
}
int cuDeviceGetCount(int *count) {
  *count = 1;
  return Success;
}
int cuDeviceGet(int *d, int number) {
  *d = number;
  return number == 0 ? Success : InvalidValue;
}
int cuDeviceGetAttribute(int *value, int attribute, int) {
  // Few multiprocessors, so that blocks of small models have to go on.
  switch (attribute) {
  case 16:
    *value = 4;
    break;
  case 75: // the major compute capability; the minor is 0
    *value = 9;
    break;
  default:
    *value = 0;
  }
  return Success;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *, int,
                                                size_t) {
  *blocks = 1;
  return Success;
}
int cuDevicePrimaryCtxRetain(void **context, int) {
  *context = &device();
  return Success;
}
int cuCtxSetCurrent(void *) { return Success; }

int cuModuleLoadDataEx(void **module, const void *image, unsigned count,
                       int *options, void **values) {
  try {
    if (std::memcmp(image,
                    "\x7f"
                    "ELF",
                    4) == 0) {
      device().write("%s", "no interpreter for a cubin\n");
      return NoBinaryForGpu;
    }
    std::string text = replacement();
    if (text.empty())
      text = static_cast<const char *>(image);
    auto m = std::make_unique<Module>();
    m->kernels = ptx::parse(text);
    device().write("load %zu kernels\n", m->kernels.size());
    *module = m.release();
    return Success;
  } catch (const ptx::Error &e) {
    // CU_JIT_ERROR_LOG_BUFFER and the bytes of it.
    char *log = nullptr;
    size_t bytes = 0;
    for (unsigned i = 0; i < count; ++i) {
      if (options[i] == 5)
        log = static_cast<char *>(values[i]);
      if (options[i] == 6)
        bytes = reinterpret_cast<size_t>(values[i]);
    }
    if (log)
      std::snprintf(log, bytes, "%s", e.what());
    return InvalidImage;
  }
}
int cuModuleUnload(void *module) {
  delete static_cast<Module *>(module);
  return Success;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  auto &kernels = static_cast<Module *>(module)->kernels;
  auto it = kernels.find(name);
  if (it == kernels.end())
    return NotFound;
  *function = &it->second;
  return Success;
}

/// A tensor's map; only what the runtime asks for is known.
int cuTensorMapEncodeTiled(void *to, int type, unsigned rank, void *address,
                           const uint64_t *sizes, const uint64_t *strides,
                           const uint32_t *box, const uint32_t *elementSteps,
                           int interleave, int swizzle, int, int) {
  constexpr int bytesOfType[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2};
  constexpr int swizzle128 = 3;
  if (rank < 1 || rank > 5 || type < 0 || type > 9 || interleave != 0 ||
      (swizzle != 0 && swizzle != swizzle128))
    return InvalidValue;
  ptx::TensorMap map{};
  map.magic = ptx::TensorMap::expectedMagic;
  map.address = reinterpret_cast<uint64_t>(address);
  map.rank = rank;
  map.elementBytes = unsigned(bytesOfType[type]);
  map.swizzled = swizzle == swizzle128;
  bool isFine = map.address % 16 == 0;
  for (unsigned d = 0; d < rank; ++d) {
    map.sizes[d] = uint32_t(sizes[d]);
    map.box[d] = box[d];
    isFine &= sizes[d] >= 1 && sizes[d] <= UINT32_MAX && box[d] >= 1 &&
              box[d] <= 256 && elementSteps[d] == 1;
    if (d + 1 < rank) {
      map.strides[d] = strides[d];
      isFine &= strides[d] % 16 == 0 && strides[d] >> 40 == 0;
    }
  }
  isFine &= box[0] * map.elementBytes % 16 == 0 &&
            (swizzle == 0 || box[0] * map.elementBytes <= 128);
  if (!isFine)
    return InvalidValue;
  std::memcpy(to, &map, sizeof map);
  return Success;
}

int cuFuncSetAttribute(void *function, int attribute, int value) {
  constexpr int mostOfABlock = 227 * 1024;
  if (attribute != 8 || value > mostOfABlock) // dynamic shared memory
    return InvalidValue;
  device().sharedBytes[function] = unsigned(value);
  return Success;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz,
                   unsigned bx, unsigned by, unsigned bz, unsigned sharedBytes,
                   void *, void **args, void **) {
  auto *kernel = static_cast<ptx::Kernel *>(function);
  std::vector<char> params(kernel->paramBytes);
  for (size_t i = 0; i < kernel->params.size(); ++i)
    std::memcpy(params.data() + kernel->params[i].offset, args[i],
                kernel->params[i].bytes);
  ptx::Launch launch{{gx, gy, gz}, {bx, by, bz}, sharedBytes};
  constexpr unsigned unasked = 48 * 1024;
  if (sharedBytes > std::max(unasked, device().sharedBytes[function]))
    return InvalidValue;
  device().write("launch %s grid %u %u %u block %u\n", kernel->name.c_str(), gx,
                 gy, gz, bx);
  return device().submit([=] {
    try {
      ptx::run(*kernel, launch, device().memory, params);
      return Success;
    } catch (const ptx::Error &e) {
      std::cerr << "PTX: " << e.what() << "\n";
      return LaunchFailed;
    }
  });
}

int cuMemAlloc_v2(uint64_t *memory, size_t bytes) {
  void *p = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!p)
    return OutOfMemory;
  // What is not written shows.
  std::memset(p, 0xff, bytes);
  device().memory.add(p, bytes);
  device().write("allocate %zu\n", bytes);
  *memory = reinterpret_cast<uint64_t>(p);
  return Success;
}
int cuMemAllocManaged(uint64_t *memory, size_t bytes, unsigned) {
  return cuMemAlloc_v2(memory, bytes);
}
int cuMemFree_v2(uint64_t memory) {
  auto *p = reinterpret_cast<void *>(memory);
  if (!device().memory.remove(p))
    return InvalidValue;
  std::free(p);
  return Success;
}
int cuMemcpyAsync(uint64_t to, uint64_t from, size_t bytes, void *) {
  device().write("copy %zu\n", bytes);
  // One side at least is the device's, and whole.
  auto inside = [&](uint64_t address) {
    auto [begin, size] = device().memory.find(address);
    return begin && address - reinterpret_cast<uint64_t>(begin) + bytes <= size;
  };
  if (!inside(to) && !inside(from))
    return InvalidValue;
  return device().submit([=] {
    std::memmove(reinterpret_cast<void *>(to),
                 reinterpret_cast<const void *>(from), bytes);
    return int(Success);
  });
}

int cuPointerGetAttribute(void *value, int attribute, uint64_t address) {
  if (attribute != 2 || !device().memory.find(address).first) // memory type
    return InvalidValue;
  *static_cast<unsigned *>(value) = 2; // the device's
  return Success;
}

int cuStreamCreate(void **stream, unsigned) {
  *stream = &device();
  return Success;
}
int cuStreamSynchronize(void *) {
  if (device().recording)
    return InvalidValue;
  return device().failure;
}
int cuStreamBeginCapture_v2(void *, int) {
  device().recording = std::make_unique<Graph>();
  return Success;
}
int cuStreamEndCapture(void *, void **graph) {
  device().write("recorded %zu\n", device().recording->steps.size());
  Graph &chain = *device().recording;
  for (size_t i = 1; i < chain.steps.size(); ++i)
    chain.edges.insert({i - 1, i});
  *graph = device().recording.release();
  return Success;
}
int cuGraphGetNodes(void *graph, void **nodes, size_t *count) {
  size_t steps = static_cast<Graph *>(graph)->steps.size();
  // In no order that means something.
  for (size_t i = 0; nodes && i < std::min(*count, steps); ++i)
    nodes[i] = Graph::nodeOf(steps - 1 - i);
  *count = steps;
  return Success;
}
int cuGraphGetEdges(void *graph, void **from, void **to, size_t *count) {
  const auto &edges = static_cast<Graph *>(graph)->edges;
  size_t i = 0;
  for (auto e = edges.rbegin(); from && e != edges.rend() && i < *count;
       ++e, ++i) {
    from[i] = Graph::nodeOf(e->first);
    to[i] = Graph::nodeOf(e->second);
  }
  *count = edges.size();
  return Success;
}
int cuGraphAddDependencies(void *graph, void *const *from, void *const *to,
                           size_t count) {
  auto *g = static_cast<Graph *>(graph);
  if (std::getenv("GRADUS_PTX_FORGETS"))
    return Success;
  for (size_t i = 0; i < count; ++i) {
    size_t a = g->stepOf(from[i]), b = g->stepOf(to[i]);
    if (std::max(a, b) >= g->steps.size() || !g->edges.insert({a, b}).second)
      return InvalidValue;
  }
  return Success;
}
int cuGraphRemoveDependencies(void *graph, void *const *from, void *const *to,
                              size_t count) {
  auto *g = static_cast<Graph *>(graph);
  for (size_t i = 0; i < count; ++i)
    if (!g->edges.erase({g->stepOf(from[i]), g->stepOf(to[i])}))
      return InvalidValue;
  return Success;
}
int cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long) {
  const auto &g = *static_cast<Graph *>(graph);
  std::vector<size_t> order = g.order();
  if (order.size() != g.steps.size())
    return InvalidValue;
  device().write("instantiated %zu, the longest chain %zu\n", order.size(),
                 g.longestChain(order));
  auto *replay = new Replay;
  for (size_t step : order)
    replay->steps.push_back(g.steps[step]);
  *exec = replay;
  return Success;
}
int cuGraphLaunch(void *exec, void *) {
  device().write("replay %zu\n", static_cast<Replay *>(exec)->steps.size());
  for (const Work &work : static_cast<Replay *>(exec)->steps)
    if (int result = device().submit(work))
      return result;
  return Success;
}
int cuGraphDestroy(void *graph) {
  delete static_cast<Graph *>(graph);
  return Success;
}
int cuGraphExecDestroy(void *exec) {
  delete static_cast<Replay *>(exec);
  return Success;
}

int cuGetErrorString(int result, const char **text) {
  *text = result == Success        ? "no error"
          : result == OutOfMemory  ? "out of memory"
          : result == InvalidImage ? "device kernel image is invalid"
          : result == NotFound     ? "named symbol not found"
          : result == IllegalAddress
              ? "an illegal memory access was encountered"
          : result == LaunchFailed ? "unspecified launch failure"
                                   : "invalid argument";
  return Success;
}
}

//===- Memory.cpp - of the device, and shared by a block ------------------===//

#include "Machine.h"

using namespace ptx;

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

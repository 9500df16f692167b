//===- MemoryInstructions.cpp - loads, stores, copies, shuffles, votes ----===//

#include "Handlers.h"
#include "Machine.h"

using namespace ptx;

static void load(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    size_t count = i.outs.size(), bytes = count * i.bytes;
    char values[64];
    if (i.variant == 1) { // a parameter
      if (size_t(i.offsets[0]) + bytes > w.block.params.size())
        throw Error("an access outside the parameters");
      std::memcpy(values, w.block.params.data() + i.offsets[0], bytes);
    } else {
      w.load(i.space, w.get<uint64_t>(i.ins[0], l) + uint64_t(i.offsets[0]),
             values, bytes);
    }
    for (size_t n = 0; n < count; ++n) {
      uint64_t v = 0;
      std::memcpy(&v, values + n * i.bytes, i.bytes);
      // A register may be wider than what it is loaded from.
      if (uint32_t rest = 64 - 8 * i.bytes; i.opcode.back()[0] == 's')
        v = uint64_t(int64_t(v << rest) >> rest);
      w.set(i.outs[n], l, v);
    }
  });
}
static void store(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    size_t count = i.ins.size() - 1;
    char values[64];
    for (size_t n = 0; n < count; ++n) {
      auto v = w.get<uint64_t>(i.ins[n + 1], l);
      std::memcpy(values + n * i.bytes, &v, i.bytes);
    }
    w.store(i.space, w.get<uint64_t>(i.ins[0], l) + uint64_t(i.offsets[0]),
            values, count * i.bytes);
  });
}

/// `cp.async.cg.shared.global [to], [from], bytes{, read}`
static void copyAsync(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    uint64_t to = w.get<uint64_t>(i.ins[0], l) + uint64_t(i.offsets[0]),
             from = w.get<uint64_t>(i.ins[1], l) + uint64_t(i.offsets[1]);
    auto bytes = w.get<uint32_t>(i.ins[2], l);
    uint32_t read = i.ins.size() > 3 ? w.get<uint32_t>(i.ins[3], l) : bytes;
    if (to % bytes != 0 || read > bytes)
      throw Error("an access that is not aligned");
    if (read != 0) {
      if (from % bytes != 0)
        throw Error("an access that is not aligned");
      w.global(from, read & -read); // in bounds at its start..
      w.global(from + read - 1, 1); // ..and at its end
    }
    w.block.shared.forget(to, bytes);
    w.copies[l].push_back(
        {to, reinterpret_cast<const char *>(from), bytes, read});
  });
}
static void commitCopies(Warp &w, const Instruction &, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    size_t grouped = 0;
    for (size_t n : w.groups[l])
      grouped += n;
    w.groups[l].push_back(w.copies[l].size() - grouped);
  });
}
/// All groups land but the last `n`; `wait_all` closes what is open.
static void waitForCopies(Warp &w, const Instruction &i, uint32_t lanes) {
  if (i.has("wait_all"))
    commitCopies(w, i, lanes);
  eachLane(lanes, [&](int l) {
    size_t stay = i.ins.empty() ? 0 : w.get<uint32_t>(i.ins[0], l);
    while (w.groups[l].size() > stay) {
      for (size_t n = w.groups[l].front(); n > 0; --n) {
        PendingCopy c = w.copies[l].front();
        w.copies[l].erase(w.copies[l].begin());
        char bytes[16] = {};
        std::memcpy(bytes, c.from, c.readBytes);
        w.writeShared(c.to, bytes, c.bytes);
      }
      w.groups[l].erase(w.groups[l].begin());
    }
  });
}

/// `shfl.sync.bfly.b32 d{|p}, value, by, clamp, members`
static void shuffle(Warp &w, const Instruction &i, uint32_t lanes) {
  std::array<uint32_t, lanesAWarp> values{};
  for (int l = 0; l < lanesAWarp; ++l)
    values[l] = w.get<uint32_t>(i.ins[0], l);
  eachLane(lanes, [&](int l) {
    if (w.get<uint32_t>(i.ins[3], l) != lanes)
      throw Error("shfl: not all lanes that it names are there");
    auto by = w.get<uint32_t>(i.ins[1], l), c = w.get<uint32_t>(i.ins[2], l);
    uint32_t segment = c >> 8 & 31, clamp = c & 31, lane = uint32_t(l);
    uint32_t least = lane & segment, most = least | (clamp & ~segment);
    uint32_t from = i.has("bfly")   ? lane ^ by
                    : i.has("down") ? lane + by
                    : i.has("up")   ? lane - by
                                    : least | (by & ~segment);
    bool inside = i.has("up") ? int32_t(from) >= int32_t(most) || by <= lane
                              : from <= most;
    if (!inside)
      from = lane;
    w.set(i.outs[0], l, values[from & 31]);
    if (i.outs.size() > 1)
      w.set<bool>(i.outs[1], l, inside);
  });
}

/// `elect.sync d|p, lanes`
static void elect(Warp &w, const Instruction &i, uint32_t lanes) {
  bool isFirst = true;
  eachLane(lanes, [&](int l) {
    if (w.get<uint32_t>(i.ins[0], l) != lanes)
      throw Error("elect: not all lanes that it names are there");
    w.set(i.outs[0], l, uint32_t(std::countr_zero(lanes)));
    w.set<bool>(i.outs[1], l, isFirst);
    isFirst = false;
  });
}

/// `vote.sync.ballot.b32 d, p, lanes`
static void vote(Warp &w, const Instruction &i, uint32_t lanes) {
  uint32_t ballot = 0;
  eachLane(lanes, [&](int l) {
    if (w.get<uint32_t>(i.ins[1], l) != lanes)
      throw Error("vote: not all lanes that it names are there");
    ballot |= uint32_t(w.get<bool>(i.ins[0], l)) << l;
  });
  eachLane(lanes, [&](int l) { w.set(i.outs[0], l, ballot); });
}

Handlers ptx::memoryInstructions() {
  return {{"ld", load},
          {"st", store},
          {"cp", copyAsync},
          {"shfl", shuffle},
          {"elect.sync", elect},
          {"vote.sync.ballot.b32", vote},
          {"cp.async.commit_group", commitCopies},
          {"cp.async.wait_group", waitForCopies},
          {"cp.async.wait_all", waitForCopies}};
}

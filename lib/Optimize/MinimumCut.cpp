//===- MinimumCut.cpp - the cheapest way to part a network ----------------===//
//
// Dinic 1970: shortest paths to the sink are filled, all of one length at a
// time.
//
//===----------------------------------------------------------------------===//

#include "MinimumCut.h"
#include <queue>

using namespace gradus;

Choices::Id Choices::add() {
  leaving.emplace_back();
  return Id(leaving.size() - 1);
}
void Choices::connect(Id from, Id to, int64_t capacity) {
  leaving[from].push_back(unsigned(edges.size()));
  edges.push_back({to, capacity});
  leaving[to].push_back(unsigned(edges.size()));
  edges.push_back({from, 0});
}
void Choices::price(Id choice, int64_t cost) {
  if (cost < 0) {
    gains -= cost;
    connect(source, choice, -cost);
  } else if (cost > 0) {
    connect(choice, sink, cost);
  }
}
void Choices::demand(Id choice) { connect(source, choice, never); }
void Choices::demand(Id choice, Id other) { connect(choice, other, never); }

bool Choices::findLevels() {
  level.assign(leaving.size(), -1);
  level[source] = 0;
  std::queue<Id> reached({source});
  while (!reached.empty()) {
    Id from = reached.front();
    reached.pop();
    for (unsigned e : leaving[from])
      if (auto [to, capacity] = edges[e]; capacity > 0 && level[to] < 0) {
        level[to] = level[from] + 1;
        reached.push(to);
      }
  }
  return level[sink] >= 0;
}

/// Sends at most that much from a node to the sink, along one path.
int64_t Choices::push(Id from, int64_t most) {
  if (from == sink)
    return most;
  for (size_t &i = next[from]; i < leaving[from].size(); ++i) {
    unsigned e = leaving[from][i];
    if (edges[e].capacity <= 0 || level[edges[e].to] != level[from] + 1)
      continue;
    int64_t sent = push(edges[e].to, std::min(most, edges[e].capacity));
    if (sent == 0)
      continue;
    edges[e].capacity -= sent;
    edges[e ^ 1].capacity += sent;
    return sent;
  }
  return 0;
}

int64_t Choices::solve() {
  int64_t flow = 0;
  while (findLevels()) {
    next.assign(leaving.size(), 0);
    while (int64_t sent = push(source, never))
      flow += sent;
  }
  return flow - gains;
}

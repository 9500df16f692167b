//===- Matrix.cpp - products of small matrices in a warp ------------------===//
//
// Which lane holds which element: PTX ISA, "Warp-level matrix instructions".
//
//===----------------------------------------------------------------------===//

#include "Handlers.h"
#include "Machine.h"
#include "SmallFloat.h"

using namespace ptx;

static void wantAllLanes(uint32_t lanes) {
  if (lanes != allLanes)
    throw Error("a matrix instruction without all lanes of the warp");
}

namespace {
/// A product d = a b + c of an instruction: 16 x 8 x k, or 8 x 8 x 4 of f64.
struct Product {
  Warp &w;
  const Instruction &i;
  double a[16][16], b[16][8], c[16][8];
};

/// Elements of 16 bits, two a register.
template <float (*From)(uint16_t)> void readHalves(Product &p) {
  for (int l = 0; l < lanesAWarp; ++l) {
    int row = l / 4, pair = l % 4;
    for (int r = 0; r < 4; ++r) {
      auto word = p.w.get<uint32_t>(p.i.ins[r], l);
      for (int h = 0; h < 2; ++h)
        p.a[row + r % 2 * 8][pair * 2 + h + r / 2 * 8] =
            From(uint16_t(word >> (16 * h)));
    }
    for (int r = 0; r < 2; ++r) {
      auto word = p.w.get<uint32_t>(p.i.ins[4 + r], l);
      for (int h = 0; h < 2; ++h)
        p.b[pair * 2 + h + r * 8][row] = From(uint16_t(word >> (16 * h)));
    }
  }
}
void readTf32(Product &p) {
  for (int l = 0; l < lanesAWarp; ++l) {
    int row = l / 4, column = l % 4;
    for (int r = 0; r < 4; ++r)
      p.a[row + r % 2 * 8][column + r / 2 * 4] =
          fromTf32(p.w.get<uint32_t>(p.i.ins[r], l));
    for (int r = 0; r < 2; ++r)
      p.b[column + r * 4][row] = fromTf32(p.w.get<uint32_t>(p.i.ins[4 + r], l));
  }
}

/// Sums in f32, as exact as the order of a tensor core allows to say.
template <void (*Read)(Product &), int depth>
void multiply(Warp &w, const Instruction &i, uint32_t lanes) {
  wantAllLanes(lanes);
  Product p{w, i, {}, {}, {}};
  Read(p);
  for (int l = 0; l < lanesAWarp; ++l)
    for (int r = 0; r < 4; ++r) {
      int row = l / 4 + r / 2 * 8, column = l % 4 * 2 + r % 2;
      double sum = w.get<float>(i.ins[6 + r], l);
      for (int k = 0; k < depth; ++k)
        sum += p.a[row][k] * p.b[k][column];
      w.set(i.outs[r], l, float(sum));
    }
}

void multiplyF64(Warp &w, const Instruction &i, uint32_t lanes) {
  wantAllLanes(lanes);
  double a[8][4], b[4][8];
  for (int l = 0; l < lanesAWarp; ++l) {
    a[l / 4][l % 4] = w.get<double>(i.ins[0], l);
    b[l % 4][l / 4] = w.get<double>(i.ins[1], l);
  }
  for (int l = 0; l < lanesAWarp; ++l)
    for (int r = 0; r < 2; ++r) {
      auto sum = w.get<double>(i.ins[2 + r], l);
      for (int k = 0; k < 4; ++k)
        sum += a[l / 4][k] * b[k][l % 4 * 2 + r];
      w.set(i.outs[r], l, sum);
    }
}

/// Matrices of 8 x 8 halves from shared memory: lanes 8 m .. 8 m + 7 say where
/// the rows of matrix m are.
template <int count, bool turned>
void loadMatrices(Warp &w, const Instruction &i, uint32_t lanes) {
  wantAllLanes(lanes);
  for (int m = 0; m < count; ++m) {
    uint16_t rows[8][8];
    for (int r = 0; r < 8; ++r) {
      uint64_t address =
          w.get<uint64_t>(i.ins[0], 8 * m + r) + uint64_t(i.offsets[0]);
      w.load(Space::Shared, address, rows[r], 16);
    }
    for (int l = 0; l < lanesAWarp; ++l) {
      int row = l / 4, column = l % 4 * 2;
      uint32_t low = turned ? rows[column][row] : rows[row][column],
               high = turned ? rows[column + 1][row] : rows[row][column + 1];
      w.set(i.outs[m], l, high << 16 | low);
    }
  }
}
} // namespace

Handlers ptx::matrixInstructions() {
  const std::string load = "ldmatrix.sync.aligned.m8n8.";
  return {
      {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
       multiply<readHalves<fromBf16>, 16>},
      {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
       multiply<readHalves<fromF16>, 16>},
      {"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
       multiply<readTf32, 8>},
      {"mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64", multiplyF64},
      {load + "x1.shared.b16", loadMatrices<1, false>},
      {load + "x2.shared.b16", loadMatrices<2, false>},
      {load + "x4.shared.b16", loadMatrices<4, false>},
      {load + "x1.trans.shared.b16", loadMatrices<1, true>},
      {load + "x2.trans.shared.b16", loadMatrices<2, true>},
      {load + "x4.trans.shared.b16", loadMatrices<4, true>},
  };
}

//===- Kernel.cpp - a GPU kernel under construction -----------------------===//

#include "Kernel.h"
#include "Touches.h"
#include "gradus/Graph.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace func = mlir::func;
namespace memref = mlir::memref;
namespace NVVM = mlir::NVVM;

SmallVector<Value> IndexBuilder::takenApart(Value flat,
                                            ArrayRef<int64_t> sizes) {
  SmallVector<Value> indices(sizes.size());
  for (size_t i = sizes.size(); i-- > 0;) {
    indices[i] = i == 0 ? flat : rem(flat, sizes[i]);
    if (i > 0)
      flat = div(flat, sizes[i]);
  }
  return indices;
}

std::optional<Access> Access::of(Value buffer) {
  auto type = cast<mlir::MemRefType>(buffer.getType());
  Access a;
  a.element = type.getElementType();
  if (failed(type.getStridesAndOffset(a.steps, a.offset)) ||
      llvm::is_contained(a.steps, mlir::ShapedType::kDynamic))
    return std::nullopt;
  a.root = lowering::viewedBuffer(buffer);
  if (!cast<mlir::MemRefType>(a.root.getType()).getLayout().isIdentity())
    return std::nullopt;
  if (mlir::ShapedType::isDynamic(a.offset)) {
    OpBuilder b(buffer.getContext());
    b.setInsertionPointAfterValue(buffer);
    a.start =
        memref::ExtractStridedMetadataOp::create(b, buffer.getLoc(), buffer)
            .getOffset();
    a.offset = 0;
  }
  return a;
}

/// The runtime takes no device memory that begins at no multiple of 16 bytes,
/// and a loop's slices begin at multiples of their size.
static constexpr int64_t bufferAlignment = 16;
static bool isAligned(Value root) {
  auto type = dyn_cast<mlir::MemRefType>(root.getType());
  return type && lowering::byteCount(type) % bufferAlignment == 0;
}

int64_t Element::alignment() const {
  int64_t bytes =
      llvm::divideCeilSigned(access.element.getIntOrFloatBitWidth(), 8);
  int64_t ofPlace = multiple & -multiple; // a power of two
  return isAligned(access.root) && !access.start
             ? std::clamp(ofPlace * bytes, bytes,
                          std::max(bytes, bufferAlignment))
             : bytes;
}

Kernel::Kernel(mlir::gpu::GPUModuleOp module, StringRef kind, Location loc,
               int64_t threads)
    : b(loc, module.getContext()), at(b), threadCount(threads) {
  b.setInsertionPointToEnd(module.getBody());
  int64_t number = llvm::range_size(module.getOps<mlir::gpu::GPUFuncOp>());
  f = mlir::gpu::GPUFuncOp::create(b, (kind + Twine(number)).str(),
                                   b.getFunctionType({}, {}));
  f->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  f.setKnownBlockSizeAttr(b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  b.setInsertionPointToStart(&f.getBody().front());
  threadIndex = mlir::gpu::ThreadIdOp::create(b, mlir::gpu::Dimension::x);
  lastScalar = threadIndex.getDefiningOp();
}

Value Kernel::parameter(Type type, Value hostValue) {
  Value v = newParameter(type, hostValue);
  known.map(hostValue, v);
  return v;
}
Value Kernel::newParameter(Type type, Value hostValue) {
  unsigned i = hostArgs.size();
  Value v = f.getBody().front().insertArgument(i, type, b.getLoc());
  SmallVector<Type> types(f.getFunctionType().getInputs());
  types.push_back(type);
  f.setFunctionType(b.getFunctionType(types, {}));
  hostArgs.push_back(hostValue);
  maps.push_back(b.getDenseI64ArrayAttr({}));
  return v;
}

Value Kernel::tensorMap(const TensorBoxes &boxes) {
  namespace LLVM = mlir::LLVM;
  int64_t bytes = lowering::elementBytes(boxes.element);
  // As gradus_gpu_tensor_map (lib/Runtime/Gpu.h) reads it.
  SmallVector<int64_t> map{bytes, boxes.offset * bytes,
                           int64_t(boxes.sizes.size())};
  llvm::append_range(map, boxes.sizes);
  for (int64_t step : ArrayRef(boxes.steps).drop_front())
    map.push_back(step * bytes);
  llvm::append_range(map, boxes.box);
  Value v =
      newParameter(LLVM::LLVMPointerType::get(b.getContext()), boxes.root);
  maps.back() = b.getDenseI64ArrayAttr(map);
  SmallVector<int64_t> which;
  for (auto [i, m] : llvm::enumerate(maps))
    if (!cast<mlir::DenseI64ArrayAttr>(m).empty())
      which.push_back(int64_t(i));
  f->setAttr(lowering::tensorMapsAttr, b.getDenseI64ArrayAttr(which));
  return v;
}

Value Kernel::pointer(Value root) {
  if (Value v = known.lookupOrNull(root))
    return v;
  auto type = cast<mlir::MemRefType>(root.getType());
  auto space = mlir::gpu::AddressSpaceAttr::get(
      b.getContext(), mlir::gpu::AddressSpace::Global);
  return parameter(
      mlir::MemRefType::get({std::max<int64_t>(type.getNumElements(), 1)},
                            type.getElementType(),
                            mlir::MemRefLayoutAttrInterface(), space),
      root);
}

Value Kernel::inside(Value v) {
  if (Value there = known.lookupOrNull(v))
    return there;
  // At the start: it may be asked for again anywhere.
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfter(lastScalar);
  Operation *op = v.getDefiningOp();
  if (auto load = llvm::dyn_cast_or_null<memref::LoadOp>(op))
    if (auto access = Access::of(load.getMemRef())) {
      SmallVector<Value> indices = llvm::map_to_vector(
          load.getIndices(), [&](Value i) { return inside(i); });
      b.setInsertionPointAfter(lastScalar);
      Value there = this->load(*access, indices);
      lastScalar = there.getDefiningOp();
      known.map(v, there);
      return there;
    }
  bool isArithmetic =
      op && op->getNumRegions() == 0 && op->getNumResults() == 1 &&
      mlir::isPure(op) &&
      !isa<memref::ExtractStridedMetadataOp, graph::RuntimeSizeOp>(op) &&
      llvm::none_of(op->getOperandTypes(), llvm::IsaPred<mlir::BaseMemRefType>);
  if (!isArithmetic)
    return parameter(v.getType(), v);
  for (Value operand : op->getOperands())
    inside(operand);
  b.setInsertionPointAfter(lastScalar);
  lastScalar = b.clone(*op, known);
  return lastScalar->getResult(0);
}

Value Kernel::length(Operation *op, const RuntimeLength &length) {
  Value &size = sizes[length.dim];
  if (!size) {
    OpBuilder host(op);
    size = inside(RuntimeLength{length.dim, 1}.build(host, op->getLoc()));
  }
  return at.mul(size, length.times);
}

Value Kernel::placeOf(const Access &access, ValueRange indices) {
  Value place = at.number(access.offset);
  if (access.start)
    place = at.add(place, inside(access.start));
  for (auto [i, step] : llvm::zip(indices, access.steps))
    place = at.add(place, at.mul(i, step));
  return place;
}
Value Kernel::addressBehind(const Element &e) {
  // A truth value lies in a byte: memref's lowering knows.
  if (e.behind == 0 || e.access.element.isInteger(1))
    return {};
  namespace LLVM = mlir::LLVM;
  Value first = address(pointer(e.access.root), e.place);
  return LLVM::GEPOp::create(b, first.getType(), e.access.element, first,
                             ArrayRef<LLVM::GEPArg>{int32_t(e.behind)});
}
Value Kernel::load(const Element &e) {
  if (Value there = addressBehind(e))
    return mlir::LLVM::LoadOp::create(b, e.access.element, there);
  auto load = memref::LoadOp::create(b, pointer(e.access.root),
                                     at.add(e.place, e.behind));
  if (e.behind == 0)
    load.setAlignment(uint64_t(e.alignment()));
  return load;
}
void Kernel::store(const Element &e, Value v) {
  if (Value there = addressBehind(e)) {
    mlir::LLVM::StoreOp::create(b, v, there);
    return;
  }
  auto store = memref::StoreOp::create(b, v, pointer(e.access.root),
                                       at.add(e.place, e.behind));
  if (e.behind == 0)
    store.setAlignment(uint64_t(e.alignment()));
}

Value Kernel::shared(Type element, int64_t elements, int64_t alignment) {
  auto space = mlir::gpu::AddressSpaceAttr::get(
      b.getContext(), mlir::gpu::AddressSpace::Workgroup);
  auto type = mlir::MemRefType::get({elements}, element,
                                    mlir::MemRefLayoutAttrInterface(), space);
  Value v = f.addWorkgroupAttribution(type, b.getLoc());
  f.setWorkgroupAttributionAttr(
      f.getNumWorkgroupAttributions() - 1,
      b.getStringAttr(mlir::LLVM::LLVMDialect::getAlignAttrName()),
      b.getI64IntegerAttr(alignment));
  return v;
}

/// A memref as its descriptor when the kernel is lowered, with indices of 32
/// bits: a cast between the two then meets its counterpart.
static mlir::LLVM::LLVMStructType descriptorType(mlir::MemRefType type) {
  namespace LLVM = mlir::LLVM;
  auto *context = type.getContext();
  auto space = cast<mlir::gpu::AddressSpaceAttr>(type.getMemorySpace());
  bool isShared = space.getValue() == mlir::gpu::AddressSpace::Workgroup;
  auto pointer = LLVM::LLVMPointerType::get(
      context, unsigned(isShared ? NVVM::NVVMMemorySpace::Shared
                                 : NVVM::NVVMMemorySpace::Global));
  Type index = IntegerType::get(context, 32),
       one = LLVM::LLVMArrayType::get(index, 1);
  return LLVM::LLVMStructType::getLiteral(context,
                                          {pointer, pointer, index, one, one});
}

Value Kernel::largeShared(Type element, int64_t elements, int64_t alignment) {
  namespace LLVM = mlir::LLVM;
  // An array without a size: the launch says how much there is.
  constexpr llvm::StringLiteral name = "large_shared";
  constexpr int64_t mostAligned = 1024;
  assert(alignment <= mostAligned && "the array's own alignment is less");
  auto module = f->getParentOfType<mlir::gpu::GPUModuleOp>();
  if (!module.lookupSymbol(name)) {
    OpBuilder start = OpBuilder::atBlockBegin(module.getBody());
    LLVM::GlobalOp::create(
        start, module.getLoc(), LLVM::LLVMArrayType::get(b.getI8Type(), 0),
        /*isConstant=*/false, LLVM::Linkage::External, name, Attribute(),
        mostAligned, unsigned(NVVM::NVVMMemorySpace::Shared));
  }
  int64_t start = llvm::alignTo(largeSharedBytes, alignment);
  largeSharedBytes = start + elements * lowering::elementBytes(element);

  auto type = mlir::MemRefType::get(
      {elements}, element, mlir::MemRefLayoutAttrInterface(),
      mlir::gpu::AddressSpaceAttr::get(b.getContext(),
                                       mlir::gpu::AddressSpace::Workgroup));
  auto descriptor = descriptorType(type);
  auto pointer = cast<LLVM::LLVMPointerType>(descriptor.getBody()[0]);
  Value all = LLVM::AddressOfOp::create(b, pointer, name);
  Value first = LLVM::GEPOp::create(b, pointer, b.getI8Type(), all,
                                    ArrayRef<LLVM::GEPArg>{int32_t(start)});
  auto number = [&](int64_t n) -> Value {
    return LLVM::ConstantOp::create(b, b.getI32Type(), n);
  };
  Value parts = LLVM::PoisonOp::create(b, descriptor);
  auto insert = [&](Value v, ArrayRef<int64_t> at) {
    parts = LLVM::InsertValueOp::create(b, parts, v, at);
  };
  insert(first, {0});
  insert(first, {1});
  insert(number(0), {2});
  insert(number(elements), {3, 0});
  insert(number(1), {4, 0});
  return mlir::UnrealizedConversionCastOp::create(b, type, parts).getResult(0);
}

Value Kernel::address(Value memory, Value place) {
  namespace LLVM = mlir::LLVM;
  auto type = cast<mlir::MemRefType>(memory.getType());
  auto descriptor = descriptorType(type);
  Type pointer = descriptor.getBody()[0];
  Value parts = mlir::UnrealizedConversionCastOp::create(b, descriptor, memory)
                    .getResult(0);
  Value base = LLVM::ExtractValueOp::create(b, parts, 1);
  Value offset = arith::IndexCastUIOp::create(b, b.getI32Type(), place);
  return LLVM::GEPOp::create(b, pointer, type.getElementType(), base,
                             ArrayRef<LLVM::GEPArg>{offset});
}

Value Kernel::sum(Value x, Value y) {
  if (isa<FloatType>(x.getType()))
    return arith::AddFOp::create(b, x, y);
  return arith::AddIOp::create(b, x, y);
}

void Kernel::formClusters(int64_t blocks) {
  clusterBlocks = blocks;
  f.setKnownClusterSizeAttr(b.getDenseI32ArrayAttr({int32_t(blocks), 1, 1}));
}
Value Kernel::rankInCluster() {
  return arith::IndexCastUIOp::create(
      b, b.getIndexType(), NVVM::ClusterId::create(b, b.getI32Type()));
}
void Kernel::arriveAtCluster() {
  NVVM::ClusterArriveRelaxedOp::create(b, /*aligned=*/UnitAttr());
}
void Kernel::waitForCluster() {
  NVVM::ClusterWaitOp::create(b, /*aligned=*/UnitAttr());
}

void Kernel::mustFit(int64_t blocks) {
  f->setAttr(mlir::NVVM::NVVMDialect::getMinctasmAttrName(),
             b.getI32IntegerAttr(int32_t(blocks)));
}

void Kernel::describe(StringRef plan) {
  f->setAttr(lowering::planAttr, b.getStringAttr(plan));
}

Value Kernel::uniform(Value index) {
  auto word = [&](int64_t n) -> Value {
    return arith::ConstantIntOp::create(b, b.getI32Type(), n);
  };
  Value own = arith::IndexCastUIOp::create(b, b.getI32Type(), index);
  Value firstLanes = NVVM::ShflOp::create(
      b, b.getI32Type(), word(-1), own, word(0), word(warpSize - 1),
      NVVM::ShflKind::idx, mlir::UnitAttr());
  return arith::IndexCastUIOp::create(b, b.getIndexType(), firstLanes);
}

void Kernel::limitRegisters(bool few) {
  constexpr int64_t registersOfAll = 65536, mostOfOne = 255;
  if (threadCount * mostOfOne <= registersOfAll)
    return;
  // Two warpgroups with many, one with few: 64,512 in all.
  if (few)
    NVVM::SetMaxRegisterOp::create(b, 40, NVVM::SetMaxRegisterAction::decrease);
  else
    NVVM::SetMaxRegisterOp::create(b, 232,
                                   NVVM::SetMaxRegisterAction::increase);
}

void Kernel::promiseAlignment() {
  Attribute none = b.getDictionaryAttr({}),
            promise = b.getDictionaryAttr(
                b.getNamedAttr(mlir::LLVM::LLVMDialect::getAlignAttrName(),
                               b.getI64IntegerAttr(bufferAlignment)));
  SmallVector<Attribute> all;
  for (Value v : hostArgs)
    all.push_back(isAligned(v) ? promise : none);
  f.setArgAttrsAttr(b.getArrayAttr(all));
}

void Kernel::when(Value condition, function_ref<void()> body) {
  if (!condition)
    return body();
  auto branch = mlir::scf::IfOp::create(b, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  body();
}

Kernel::Values Kernel::choose(Value condition, mlir::TypeRange types,
                              function_ref<Values()> then,
                              function_ref<Values()> otherwise) {
  if (!condition)
    return then();
  bool withElse = !types.empty();
  auto branch = mlir::scf::IfOp::create(b, types, condition, withElse);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  Values values = then();
  if (withElse) {
    mlir::scf::YieldOp::create(b, values);
    b.setInsertionPointToStart(branch.elseBlock());
    mlir::scf::YieldOp::create(b, otherwise());
  }
  return Values(branch.getResults());
}

void Kernel::launch(OpBuilder &host, ArrayRef<int64_t> grid) {
  launch(host, grid, /*isResident=*/false);
}
void Kernel::launchResident(OpBuilder &host, int64_t mostBlocks) {
  launch(host, {mostBlocks}, /*isResident=*/true);
}
void Kernel::launch(OpBuilder &host, ArrayRef<int64_t> grid, bool isResident) {
  mlir::gpu::ReturnOp::create(b);
  promiseAlignment();
  // The host calls a function of the same name; what it does is launch.
  auto module = f->getParentOfType<ModuleOp>();
  OpBuilder atEnd = OpBuilder::atBlockEnd(module.getBody());
  auto stub = func::FuncOp::create(
      atEnd, f.getLoc(), ("launch." + f.getName()).str(),
      atEnd.getFunctionType(ValueRange(hostArgs).getTypes(), {}));
  stub.setPrivate();
  SmallVector<int64_t> sizes(grid);
  sizes.resize(3, 1);
  sizes.push_back(threadCount);
  sizes.push_back(largeSharedBytes);
  sizes.push_back(isResident ? clusterBlocks : 0);
  stub->setAttr(lowering::launchAttr, b.getDenseI64ArrayAttr(sizes));
  if (auto plan = f->removeAttr(lowering::planAttr))
    stub->setAttr(lowering::planAttr, plan);
  stub->setAttr(lowering::touchedAttr,
                b.getDenseI64ArrayAttr(touchedBytes(f, hostArgs)));
  if (f->hasAttr(lowering::tensorMapsAttr))
    stub->setAttr(lowering::tensorMapsAttr, b.getArrayAttr(maps));
  func::CallOp::create(host, b.getLoc(), stub, hostArgs);
}

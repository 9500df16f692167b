//===- LaunchKernels.cpp - calls of the GPU's runtime ---------------------===//
//
// On the LLVM dialect. In: functions without a body that stand for launches and
// copies; the PTX of the kernels (`graph.ptx`). Out: they call the runtime
// (lib/Runtime/Gpu.h); the PTX is a constant of the object. Constants that
// kernels read are looked up on the device. Each entry function returns a
// message if the GPU cannot be used or fails, and the model gets
//
//   NAME_device(number)            chooses a GPU
//   NAME_allocate, NAME_release    device memory
//   NAME_copy(to, from, bytes)     between host and device
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace gradus {
#define GEN_PASS_DEF_LAUNCHKERNELS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace LLVM = mlir::LLVM;

namespace {
struct LaunchKernels : impl::LaunchKernelsBase<LaunchKernels> {
  using LaunchKernelsBase::LaunchKernelsBase;

  void runOnOperation() override {
    auto ptx = getOperation()->getAttrOfType<StringAttr>(lowering::ptxAttr);
    if (!ptx)
      return;
    kernels.clear();
    arrays = 0;
    pointer = LLVM::LLVMPointerType::get(&getContext());
    i64 = IntegerType::get(&getContext(), 64);
    i32 = IntegerType::get(&getContext(), 32);
    SmallVector<LLVM::AddressOfOp> constants;
    getOperation().walk([&](LLVM::AddressOfOp op) { constants.push_back(op); });
    declareModel(ptx.getValue());
    for (LLVM::AddressOfOp op : constants)
      lookUp(op);
    auto functions = llvm::to_vector(getOperation().getOps<LLVM::LLVMFuncOp>());
    int32_t slot = 0;
    for (LLVM::LLVMFuncOp f : functions)
      if (f->hasAttr(lowering::launchAttr))
        defineLaunch(f);
      else if (f->hasAttr(lowering::transferAttr))
        defineTransfer(f);
    for (LLVM::LLVMFuncOp f : functions)
      if (mlir::SymbolTable::getSymbolVisibility(f) ==
              mlir::SymbolTable::Visibility::Public &&
          f.getLinkage() == LLVM::Linkage::External && !f.isExternal())
        wrapEntry(f, slot++);
    nameKernels();
    if (auto name =
            getOperation()->getAttrOfType<StringAttr>(lowering::cNameAttr)) {
      exportRuntime(name.getValue());
      getOperation()->removeAttr(lowering::cNameAttr);
    }
    getOperation()->removeAttr(lowering::ptxAttr);
    getOperation()->removeAttr(lowering::cubinAttr);
  }

private:
  //===-- Constants ---------------------------------------------------------//

  LLVM::GlobalOp bytes(StringRef name, StringRef text) {
    OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
    std::string ended = text.str();
    ended.push_back('\0');
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), ended.size());
    return LLVM::GlobalOp::create(b, getOperation().getLoc(), type,
                                  /*isConstant=*/true, LLVM::Linkage::Internal,
                                  name, b.getStringAttr(ended));
  }

  /// struct gradus_gpu (lib/Runtime/Gpu.h)
  Type modelType() {
    return LLVM::LLVMStructType::getLiteral(
        &getContext(), {pointer, pointer, i64, pointer, i64, i64, pointer});
  }
  void declareModel(StringRef ptx) {
    OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
    bytes("gpu.ptx", ptx);
    if (auto cubin =
            getOperation()->getAttrOfType<StringAttr>(lowering::cubinAttr))
      bytes("gpu.cubin", cubin.getValue());
    model =
        LLVM::GlobalOp::create(b, getOperation().getLoc(), modelType(),
                               /*isConstant=*/false, LLVM::Linkage::Internal,
                               "gpu.model", Attribute());
  }
  /// The model's constant part: its PTX, and its kernels' names.
  void nameKernels() {
    Location loc = getOperation().getLoc();
    OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
    auto arrayType = LLVM::LLVMArrayType::get(pointer, kernels.size());
    for (const std::string &name : kernels)
      bytes("gpu.name." + name, name);
    auto names = LLVM::GlobalOp::create(b, loc, arrayType, /*isConstant=*/true,
                                        LLVM::Linkage::Internal, "gpu.names",
                                        Attribute());
    auto address = [&](StringRef symbol) -> Value {
      return LLVM::AddressOfOp::create(b, loc, pointer, symbol);
    };
    b.createBlock(&names.getInitializerRegion());
    Value array = LLVM::PoisonOp::create(b, loc, arrayType);
    for (auto [i, name] : llvm::enumerate(kernels))
      array = LLVM::InsertValueOp::create(b, loc, array,
                                          address("gpu.name." + name), i);
    LLVM::ReturnOp::create(b, loc, array);
    b.createBlock(&model.getInitializerRegion());
    Value null = LLVM::ZeroOp::create(b, loc, pointer);
    auto number = [&](int64_t n) -> Value {
      return LLVM::ConstantOp::create(b, loc, i64, n);
    };
    bool hasCubin = getOperation()->hasAttr(lowering::cubinAttr);
    Value fields[] = {address("gpu.ptx"),
                      hasCubin ? address("gpu.cubin") : null,
                      number(architecture),
                      address("gpu.names"),
                      number(int64_t(kernels.size())),
                      number(hasHost),
                      null};
    Value whole = LLVM::PoisonOp::create(b, loc, modelType());
    for (auto [i, field] : llvm::enumerate(fields))
      whole = LLVM::InsertValueOp::create(b, loc, whole, field, i);
    LLVM::ReturnOp::create(b, loc, whole);
  }

  /// A constant of the host's becomes its copy on the device.
  void lookUp(LLVM::AddressOfOp op) {
    auto global =
        getOperation().lookupSymbol<LLVM::GlobalOp>(op.getGlobalName());
    if (!global)
      return;
    ImplicitLocOpBuilder b(op.getLoc(), op->getContext());
    b.setInsertionPointAfter(op);
    Value size = LLVM::GEPOp::create(b, pointer, global.getGlobalType(),
                                     LLVM::ZeroOp::create(b, pointer),
                                     ArrayRef<LLVM::GEPArg>{1});
    Value count = LLVM::PtrToIntOp::create(b, i64, size);
    auto there = call(b, "gradus_gpu_constant", pointer,
                      {modelAddress(b), op.getResult(), count});
    op.getResult().replaceAllUsesExcept(there.getResult(), there);
  }

  //===-- Calls of the runtime ----------------------------------------------//

  LLVM::CallOp call(ImplicitLocOpBuilder &b, StringRef name, Type result,
                    ValueRange args) {
    auto f = getOperation().lookupSymbol<LLVM::LLVMFuncOp>(name);
    if (!f) {
      OpBuilder at = OpBuilder::atBlockBegin(getOperation().getBody());
      f = LLVM::LLVMFuncOp::create(
          at, getOperation().getLoc(), name,
          LLVM::LLVMFunctionType::get(result,
                                      llvm::to_vector(args.getTypes())));
    }
    return LLVM::CallOp::create(b, f, args);
  }
  Type none() { return LLVM::LLVMVoidType::get(&getContext()); }
  Value modelAddress(ImplicitLocOpBuilder &b) {
    return LLVM::AddressOfOp::create(b, pointer, "gpu.model");
  }
  Value number(ImplicitLocOpBuilder &b, Type type, int64_t n) {
    return LLVM::ConstantOp::create(b, type, n);
  }

  ImplicitLocOpBuilder define(LLVM::LLVMFuncOp f) {
    f.setLinkage(LLVM::Linkage::Internal);
    ImplicitLocOpBuilder b(f.getLoc(), &getContext());
    b.setInsertionPointToStart(f.addEntryBlock(b));
    return b;
  }

  /// A constant array.
  Value numbers(ImplicitLocOpBuilder &b, StringRef name,
                ArrayRef<int64_t> values) {
    OpBuilder start = OpBuilder::atBlockBegin(getOperation().getBody());
    auto constant = LLVM::GlobalOp::create(
        start, b.getLoc(), LLVM::LLVMArrayType::get(i64, values.size()),
        /*isConstant=*/true, LLVM::Linkage::Internal,
        (name + "." + Twine(arrays++)).str(), start.getI64TensorAttr(values));
    return LLVM::AddressOfOp::create(b, pointer, constant.getSymName());
  }
  /// Pointers in memory; NULL for values that are none.
  Value pointers(ImplicitLocOpBuilder &b, ValueRange values) {
    auto array =
        LLVM::LLVMArrayType::get(pointer, std::max<size_t>(values.size(), 1));
    Value all = LLVM::AllocaOp::create(b, pointer, array, number(b, i64, 1));
    for (auto [i, v] : llvm::enumerate(values)) {
      bool isPointer = isa<LLVM::LLVMPointerType>(v.getType());
      Value place = LLVM::GEPOp::create(b, pointer, array, all,
                                        ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
      LLVM::StoreOp::create(
          b, isPointer ? v : LLVM::ZeroOp::create(b, pointer).getResult(),
          place);
    }
    return all;
  }

  /// The map of a tensor that begins at `memory`, on the stack.
  Value tensorMap(ImplicitLocOpBuilder &b, Value memory,
                  ArrayRef<int64_t> tensor) {
    constexpr unsigned bytes = 128, alignment = 64;
    Value map = LLVM::AllocaOp::create(
        b, pointer, LLVM::LLVMArrayType::get(b.getI8Type(), bytes),
        number(b, i64, 1), alignment);
    call(b, "gradus_gpu_tensor_map", none(),
         {modelAddress(b), map, memory, numbers(b, "gpu.tensor", tensor)});
    return map;
  }

  /// Values in memory, and where each is; a map is made where `maps` describes
  /// one.
  Value spilled(ImplicitLocOpBuilder &b, ValueRange values,
                ArrayAttr maps = {}) {
    Value one = number(b, i64, 1);
    SmallVector<Value> places;
    for (auto [i, v] : llvm::enumerate(values)) {
      auto map = maps ? cast<mlir::DenseI64ArrayAttr>(maps[i]).asArrayRef()
                      : ArrayRef<int64_t>();
      if (!map.empty()) {
        places.push_back(tensorMap(b, v, map));
        continue;
      }
      places.push_back(LLVM::AllocaOp::create(b, pointer, v.getType(), one));
      LLVM::StoreOp::create(b, v, places.back());
    }
    return pointers(b, places);
  }

  void defineLaunch(LLVM::LLVMFuncOp f) {
    ImplicitLocOpBuilder b = define(f);
    auto sizes = f->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::launchAttr)
                     .asArrayRef();
    SmallVector<Value> args{modelAddress(b), number(b, i64, kernels.size())};
    // "launch.k12"
    kernels.push_back(f.getSymName().split('.').second.str());
    for (int64_t s : sizes)
      args.push_back(number(b, i32, s));
    args.push_back(
        spilled(b, f.getArguments(),
                f->getAttrOfType<ArrayAttr>(lowering::tensorMapsAttr)));
    f->removeAttr(lowering::tensorMapsAttr);
    auto touched =
        f->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::touchedAttr);
    SmallVector<int64_t> counted{int64_t(touched.size())};
    llvm::append_range(counted, touched.asArrayRef());
    args.push_back(numbers(b, "gpu.touched", counted));
    args.push_back(pointers(b, f.getArguments()));
    f->removeAttr(lowering::touchedAttr);
    f->removeAttr(lowering::planAttr);
    call(b, "gradus_gpu_launch", none(), args);
    LLVM::ReturnOp::create(b, ValueRange());
    f->removeAttr(lowering::launchAttr);
  }

  void defineTransfer(LLVM::LLVMFuncOp f) {
    StringRef kind =
        f->getAttrOfType<StringAttr>(lowering::transferAttr).getValue();
    ImplicitLocOpBuilder b = define(f);
    // So many as the call says, or all.
    Value size =
        f.getNumArguments() == 3
            ? f.getArgument(2)
            : number(
                  b, i64,
                  f->getAttrOfType<IntegerAttr>(lowering::bytesAttr).getInt());
    if (kind != "read") {
      auto done = call(
          b, ("gradus_gpu_" + kind).str(), kind == "copy" ? none() : pointer,
          {modelAddress(b), f.getArgument(0), f.getArgument(1), size});
      LLVM::ReturnOp::create(b, done.getResults());
    } else {
      Type type = f.getFunctionType().getReturnType();
      // A truth value takes a byte.
      Type stored = type.isInteger(1) ? b.getI8Type() : type;
      Value here =
          LLVM::AllocaOp::create(b, pointer, stored, number(b, i64, 1));
      call(b, "gradus_gpu_read", none(),
           {modelAddress(b), here, f.getArgument(0), size});
      Value v = LLVM::LoadOp::create(b, stored, here);
      if (stored != type)
        v = LLVM::TruncOp::create(b, type, v);
      LLVM::ReturnOp::create(b, v);
    }
    f->removeAttr(lowering::transferAttr);
    f->removeAttr(lowering::bytesAttr);
  }

  //===-- Entry functions ---------------------------------------------------//

  /// Has the work of an entry function recorded once and replayed, unless the
  /// host decides by what it reads meanwhile.
  void replayWork(LLVM::LLVMFuncOp entry, int32_t slot) {
    LLVM::CallOp work;
    entry.walk([&](LLVM::CallOp c) {
      if (c.getCallee() && c.getCallee()->ends_with(".work"))
        work = c;
    });
    if (!work || readsBack(*work.getCallee()))
      return;
    ImplicitLocOpBuilder b(work.getLoc(), work);
    Block *before = work->getBlock(), *run = before->splitBlock(work),
          *after = run->splitBlock(std::next(Block::iterator(work)));
    b.setInsertionPointToEnd(before);
    Value slotNumber = number(b, i32, slot);
    Value replayed =
        call(b, "gradus_gpu_replay", i32,
             {modelAddress(b), slotNumber, spilled(b, work.getArgOperands()),
              number(b, i32, int64_t(work.getArgOperands().size()))})
            .getResult();
    Value isDone = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, replayed,
                                        number(b, i32, 0));
    LLVM::CondBrOp::create(b, isDone, after, run);
    b.setInsertionPointToEnd(run);
    call(b, "gradus_gpu_recorded", none(), {modelAddress(b), slotNumber});
    LLVM::BrOp::create(b, after);
  }
  bool readsBack(StringRef function) {
    auto f = getOperation().lookupSymbol<LLVM::LLVMFuncOp>(function);
    bool reads = false;
    f.walk([&](LLVM::CallOp c) {
      StringRef callee = c.getCallee().value_or("");
      reads |= callee == "gradus_gpu_read" ||
               (!callee.starts_with("gradus_") && readsBack(callee));
    });
    return reads;
  }

  void wrapEntry(LLVM::LLVMFuncOp f, int32_t slot) {
    replayWork(f, slot);
    std::string name = f.getSymName().str();
    ImplicitLocOpBuilder b(f.getLoc(), f);
    f.setSymName(name + ".device");
    f.setLinkage(LLVM::Linkage::Internal);
    auto wrapper = LLVM::LLVMFuncOp::create(
        b, name, LLVM::LLVMFunctionType::get(pointer, f.getArgumentTypes()));
    for (unsigned i = 0; i < f.getNumArguments(); ++i)
      if (Attribute size = f.removeArgAttr(i, lowering::sizeAttr))
        wrapper.setArgAttr(i, lowering::sizeAttr, size);
    Block *start = wrapper.addEntryBlock(b),
          *refuse = b.createBlock(&wrapper.getBody(), wrapper.getBody().end()),
          *go = b.createBlock(&wrapper.getBody(), wrapper.getBody().end());
    b.setInsertionPointToEnd(start);
    Value problem =
        call(b, "gradus_gpu_begin", pointer, modelAddress(b)).getResult();
    Value bad = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, problem,
                                     LLVM::ZeroOp::create(b, pointer));
    LLVM::CondBrOp::create(b, bad, refuse, go);
    b.setInsertionPointToEnd(refuse);
    LLVM::ReturnOp::create(b, problem);
    b.setInsertionPointToEnd(go);
    LLVM::CallOp::create(b, f, start->getArguments());
    Value result =
        call(b, "gradus_gpu_end", pointer, modelAddress(b)).getResult();
    LLVM::ReturnOp::create(b, result);
  }

  /// The runtime's functions under the model's name.
  void exportRuntime(StringRef name) {
    struct Export {
      StringRef name;
      Type result;
      SmallVector<Type> params;
    } exports[] = {{"device", pointer, {i32}},
                   {"allocate", pointer, {i64}},
                   {"allocate_shared", pointer, {i64}},
                   {"release", none(), {pointer}},
                   {"copy", pointer, {pointer, pointer, i64}}};
    for (const Export &e : exports) {
      ImplicitLocOpBuilder b(getOperation().getLoc(), &getContext());
      b.setInsertionPointToEnd(getOperation().getBody());
      auto f = LLVM::LLVMFuncOp::create(
          b, (name + "_" + e.name).str(),
          LLVM::LLVMFunctionType::get(e.result, e.params));
      b.setInsertionPointToStart(f.addEntryBlock(b));
      SmallVector<Value> args{modelAddress(b)};
      llvm::append_range(args, f.getArguments());
      auto result =
          call(b, ("gradus_gpu_user_" + e.name).str(), e.result, args);
      LLVM::ReturnOp::create(b, result.getResults());
    }
  }

  Type pointer, i64, i32;
  LLVM::GlobalOp model;
  std::vector<std::string> kernels;
  size_t arrays = 0; ///< of numbers, made so far
};
} // namespace

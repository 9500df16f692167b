"""Checks compiled models on a GPU, then times them; beside PyTorch (cuBLAS) and JAX where they are installed. Needs Python alone.

usage: run.py FOLDER [--check-only] [--json FILE] [--markdown FILE]

Products are compared with sums in double precision at 200 places; training steps with the same model on this CPU, over five
steps. Times are of whole calls, data on the device, each waited for: best and median of 20. Steps of models that the peers train
too are timed in turns with theirs, five rounds (beside.py), and every step a second time with each launch waiting for the one
before (GRADUS_GPU_CHAIN=1). The table is written to FOLDER/performance-gpu.md and .json, or to the files that are named.

Each case runs in a process of its own, for at most so many seconds: one that faults or hangs leaves the GPU to the others.
"""

import argparse
import ctypes
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import time

import beside

VOID = ctypes.c_void_p


class Model:
    """A compiled model, and the sizes that its header declares."""

    def __init__(self, folder, file, name):
        self.library = ctypes.CDLL(os.path.join(os.path.abspath(folder), file))
        self.name = name
        with open(os.path.join(folder, file + ".h"), encoding="utf-8") as f:
            self.header = f.read()

    def size(self, what):
        found = re.search(rf"#define {self.name.upper()}_{what}_BYTES (\d+)", self.header)
        return int(found.group(1)) if found else 0

    def call(self, function, *args):
        f = getattr(self.library, f"{self.name}_{function}")
        f.restype = ctypes.c_char_p
        problem = f(*args)
        if problem:
            raise RuntimeError(problem.decode())

    def allocate(self, size):
        f = getattr(self.library, self.name + "_allocate")
        f.restype, f.argtypes = VOID, [ctypes.c_int64]
        memory = f(size)
        if not memory:
            raise RuntimeError(f"the GPU has no {size} bytes left")
        return VOID(memory)

    def release(self, memory):
        f = getattr(self.library, self.name + "_release")
        f.restype, f.argtypes = None, [VOID]
        f(memory)

    def copy(self, to, source, size):
        self.call("copy", to, source, ctypes.c_int64(size))


def chip():
    """Which of the models that are there GPU 0 takes."""
    try:
        driver = ctypes.CDLL(os.environ.get("GRADUS_CUDA_DRIVER", "libcuda.so.1"))
    except OSError:
        return "sm_80"  # whose runtime says what is missing
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    driver.cuInit(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
    return "sm_90a" if (major.value, minor.value) == (9, 0) else "sm_80"


def gpu_model(folder, case, name):
    return Model(folder, f"{case['name']}.{chip()}.so", name)


def measure(call):
    """Best and median seconds of a call."""
    call()
    call()
    times = []
    for _ in range(20):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times), statistics.median(times)


def encoded(x, element):
    """The bits of a number, and what they stand for."""
    if element == "f16":
        bits = struct.pack("e", x)
        return bits, struct.unpack("e", bits)[0]
    bits = struct.pack("f", x)
    if element == "bf16":
        bits = bits[2:]
        return bits, struct.unpack("f", b"\0\0" + bits)[0]
    return bits, struct.unpack("f", bits)[0]


class Numbers:
    """Numbers in [-1, 1), few different ones: making them takes less than multiplying them."""

    def __init__(self, count, seed, element):
        source = random.Random(seed)
        block = [encoded(source.uniform(-1, 1), element) for _ in range(min(count, 9973))]
        self.values = [value for _, value in block]
        width = len(block[0][0])
        self.size = count * width
        self.array = (ctypes.c_char * self.size)()
        whole = b"".join(bits for bits, _ in block)
        for at in range(0, self.size, len(whole)):
            ctypes.memmove(ctypes.byref(self.array, at), whole, min(len(whole), self.size - at))

    def __getitem__(self, i):
        return self.values[i % len(self.values)]


def run_product(folder, case, check_only, _):
    m, n, k = case["m"], case["n"], case["k"]
    model = gpu_model(folder, case, "product")
    model.call("device", 0)
    a, b = (Numbers(size, seed, case["element"]) for size, seed in ((m * k, 1), (k * n, 2)))
    c = (ctypes.c_float * (m * n))()
    memory = [model.allocate(size) for size in (a.size, b.size, 4 * m * n)]
    arena = model.allocate(max(model.size("ARENA"), 1))
    model.copy(memory[0], a.array, a.size)
    model.copy(memory[1], b.array, b.size)
    model.call("multiply", *memory, arena)
    model.copy(c, memory[2], 4 * m * n)
    source, worst = random.Random(3), 0.0
    for _ in range(200):
        i, j = source.randrange(m), source.randrange(n)
        exact = sum(a[i * k + t] * b[t * n + j] for t in range(k))
        worst = max(worst, abs(c[i * n + j] - exact) / (k**0.5 / 3))
    result = {"worst": worst, "ok": worst < case["tolerance"]}
    if not check_only:
        result["best"], result["median"] = measure(lambda: model.call("multiply", *memory, arena))
        result["tflops"] = 2 * m * n * k / result["best"] / 1e12
        if cublas := time_cublas(case):
            result["peers"] = {"cuBLAS": {"best": cublas[0], "median": cublas[1]}}
    for p in (*memory, arena):
        model.release(p)
    return result


def time_cublas(case):
    """Best and median of the same product in PyTorch, if it is there."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    kinds = {"f16": torch.float16, "bf16": torch.bfloat16}
    inner = kinds.get(case["precision"], torch.float32)
    outer = kinds.get(case["element"], torch.float32)
    torch.backends.cuda.matmul.allow_tf32 = case["precision"] == "tf32"
    a = torch.rand(case["m"], case["k"], device="cuda", dtype=outer)
    b = torch.rand(case["k"], case["n"], device="cuda", dtype=outer)

    def call():
        torch.matmul(a.to(inner), b.to(inner))
        torch.cuda.synchronize()

    return measure(call)


def run_step(folder, case, check_only, device_of_peers):
    name, batch = case["model"], case["batch"]
    gpu = gpu_model(folder, case, name)
    cpu = Model(folder, name + "-cpu.so", name)
    gpu.call("device", 0)
    inputs, outputs = ports(gpu.header, name)
    seed = ctypes.c_int64(1)
    source = random.Random(5)
    data = []
    for kind, count in inputs:
        array = (kind * count)()
        for i in range(count):
            array[i] = source.randrange(10) if kind is ctypes.c_int32 else source.random()
        data.append(array)
    results = {}
    for who, model in (("cpu", cpu), ("gpu", gpu)):
        sizes = model.size("VARIABLES"), model.size("ARENA")
        if who == "gpu":
            variables, arena = (model.allocate(size) for size in sizes)
        else:
            variables, arena = (aligned(size) for size in sizes)
        invoke = model.call if who == "gpu" else model_void(model)
        invoke("init", variables, ctypes.byref(seed), arena)
        losses = []
        out = [(kind * count)() for kind, count in outputs]
        for _ in range(5):
            invoke("fit_step", variables, *data, *out, arena)
            losses.append(out[0][0])
        results[who] = losses
        if who == "gpu" and not check_only:
            device = []
            for array in data:
                device.append(model.allocate(ctypes.sizeof(array)))
                model.copy(device[-1], array, ctypes.sizeof(array))
            results["time"] = beside.compare(
                lambda: measure(lambda: model.call("fit_step", variables, *device, *out, arena)), case, device_of_peers
            )
    worst = max(abs(x - y) / max(abs(x), 1e-3) for x, y in zip(results["cpu"], results["gpu"]))
    result = {"worst": worst, "ok": worst < case["tolerance"]}
    if not check_only:
        result |= results["time"]
    return result


def model_void(model):
    """Calls of functions that return nothing."""

    def invoke(function, *args):
        f = getattr(model.library, f"{model.name}_{function}")
        f.restype = None
        f(*args)

    return invoke


KEEP = []


def aligned(size):
    memory = ctypes.create_string_buffer(size + 64)
    KEEP.append(memory)
    return VOID((ctypes.addressof(memory) + 63) // 64 * 64)


def ports(header, name):
    """Types and counts of the inputs and outputs of the training step."""
    comment = re.search(r"/\* @fit\.step(.*?)\*/", header, re.S).group(1)
    kinds = {"f32": ctypes.c_float, "i32": ctypes.c_int32}
    inputs, outputs = [], []
    for line in comment.splitlines():
        found = re.search(r"\*\s+(->)?\s*[\w.]+: (\w+)\[([\d, ]*)\]", line)
        if not found:
            continue
        count = 1
        for size in found.group(3).split(","):
            count *= int(size) if size.strip() else 1
        (outputs if found.group(1) else inputs).append((kinds[found.group(2)], count))
    return inputs, outputs


def markdown(rows):
    lines = [
        "# Performance on a GPU",
        "",
        f"Written by `./dev gpu`, which took the code for {chip()}.",
        "",
        "| case | worst error | best ms | median ms | as a chain, best ms | TFLOP/s | fastest peer | its median ms | its time / ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case, r in rows:
        peers = {name: p["median"] for name, p in r.get("peers", {}).items() if "median" in p}
        fastest = min(peers, key=peers.get, default=None)
        lines.append(
            f"| {case['name']} | {verdict(r)} "
            + "".join(f"| {1e3 * r[key]:.3f} " if key in r else "| " for key in ("best", "median", "chain"))
            + (f"| {r['tflops']:.1f} " if "tflops" in r else "| ")
            + (f"| {fastest} | {1e3 * peers[fastest]:.3f} | {peers[fastest] / r['median']:.2f} |" if fastest else "| | | |")
        )
    return "\n".join(lines) + "\n"


def verdict(r):
    if "failed" in r:
        return "FAILED: " + r["failed"]
    return f"{r['worst']:.1e}{'' if r['ok'] else ' WRONG'}"


def run_case(args, case):
    """Prints the result, as JSON, on the last line."""
    run = run_product if case["kind"] == "product" else run_step
    if args.alone:
        case["peers"] = {}
    try:
        result = run(args.folder, case, args.check_only, args.peers_device)
    except RuntimeError as e:
        result = {"ok": False, "failed": str(e)}
    print(json.dumps(result))


def run_apart(args, case, *options, **environment):
    """The case's result, from a process of its own."""
    command = [sys.executable, os.path.abspath(__file__), args.folder, "--case", case["name"], "--peers-device", args.peers_device]
    command += options
    if args.check_only:
        command.append("--check-only")
    # Peers compile, too.
    seconds = args.seconds * (1 if args.check_only else 1 + len(case.get("peers", {})))
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"ok": False, "failed": f"no end after {seconds} s"}
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return {"ok": False, "failed": f"the process ended with {done.returncode}: {said}"}
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--check-only", action="store_true")
    parser.add_argument("--json", help="(default: FOLDER/performance-gpu.json)")
    parser.add_argument("--markdown", help="(default: FOLDER/performance-gpu.md)")
    parser.add_argument("--case", help="this one, in this process")
    parser.add_argument("--seconds", type=float, default=120, help="that a case may take, and as many again for each of its peers")
    parser.add_argument("--alone", action="store_true", help="without peers")
    parser.add_argument("--peers-device", default="cuda", help="as PyTorch and JAX call it")
    args = parser.parse_args()
    with open(os.path.join(args.folder, "cases.json"), encoding="utf-8") as f:
        cases = json.load(f)
    if args.case:
        named = [c for c in cases if c["name"] == args.case]
        if not named:
            parser.error(f"there is no case {args.case}; there are {', '.join(c['name'] for c in cases)}")
        run_case(args, named[0])
        return 0
    rows, wrong = [], 0
    for case in cases:
        result = run_apart(args, case)
        if result.get("failed", "").startswith("no GPU"):
            sys.exit(f"error: {case['name']}: {result['failed']}")
        if "best" in result and case["kind"] != "product":
            chain = run_apart(args, case, "--alone", GRADUS_GPU_CHAIN="1")
            if "best" in chain:
                result["chain"] = chain["best"]
        rows.append((case, result))
        wrong += not result["ok"]
        best = f", best {1e3 * result['best']:.3f} ms" if "best" in result else ""
        print(f"{'ok   ' if result['ok'] else 'WRONG'} {case['name']}: error {verdict(result)}{best}", flush=True)
        for name, peer in result.get("peers", {}).items():
            said = peer.get("why") or f"median {1e3 * peer['median']:.3f} ms, {peer['median'] / result['median']:.2f} of ours"
            print(f"      {name}: {said}", flush=True)
    table = os.path.join(args.folder, "performance-gpu")
    for path, text in (
        (args.json or table + ".json", json.dumps([{**c, **r} for c, r in rows], indent=1)),
        (args.markdown or table + ".md", markdown(rows)),
    ):
        try:
            with open(path + ".tmp", "w", encoding="utf-8") as f:
                f.write(text)
            os.replace(path + ".tmp", path)
        except OSError as e:
            sys.exit(f"error: the table cannot be written to {path}: {e.strerror}; name another with --json and --markdown")
    print(f"{len(rows) - wrong} right, {wrong} wrong")
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

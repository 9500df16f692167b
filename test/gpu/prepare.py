"""Everything that a machine with a GPU needs to check and time Gradus, in one folder: compiled models, and run.py.

usage: prepare.py --build build --out build/gpu [--small]

Each model is there for every GPU since sm_80, and for Hopper (sm_90a).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BENCH = os.path.join(ROOT, "bench")
sys.path.insert(0, BENCH)

import cases as work  # noqa: E402  (from there)

SHAPES = [(10000, 2000, 1000), (4096, 4096, 4096), (8192, 8192, 8192), (1023, 1031, 517), (128, 512, 784), (64, 64, 65536)]
SMALL = [(37, 70, 53), (20, 24, 1000)]
# Relative to the size of a sum of k products of numbers in [-1, 1], sqrt(k)/3.
TOLERANCE = {"strict": 2e-6, "f32": 4e-6, "tf32": 4e-3, "f16": 2e-3, "bf16": 1.5e-2}
CHIPS = ["sm_80", "sm_90a"]
# Model texts, batches, and what the peers call the same training, if they have it.
STEPS = [(text, batch, name) for name, (text, batch, _, _) in work.TRAININGS.items()] + [("lenet.mlir", 64, None)]
SMALL_STEPS = [("mlp.mlir", 4, None)]
PEERS = {"torch.compile": "pytorch:compile", "torch.compile, CUDA graphs": "pytorch:graphs", "JAX": "xla"}
PEER_FILES = ["cases.py", "workloads.py", "worker.py", "contenders/pytorch.py", "contenders/xla.py"]


def compile_model(gradus, out, *options):
    subprocess.run([gradus, "compile", *options, "--emit=so", "-o", out, "--header=" + out + ".h"], check=True)


def compile_for_gpus(gradus, folder, name, *options):
    for chip in CHIPS:
        compile_model(gradus, os.path.join(folder, f"{name}.{chip}.so"), *options, "--target=nvptx64", "-mcpu=" + chip)


def write_product(path, m, n, k, element):
    to = "" if element == "f32" else ", to = f32"
    with open(path, "w", encoding="utf-8") as f:
        f.write(
            "graph.model @product {\n"
            f"  func @multiply(%a: {element}[{m}, {k}], %b: {element}[{k}, {n}]) {{\n"
            f"    %c = matmul %a, %b{to}\n    return %c\n  }}\n}}\n"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--small", action="store_true", help="cases that an interpreter runs in seconds")
    args = parser.parse_args()
    gradus = os.path.join(args.build, "bin", "gradus")
    shutil.rmtree(args.out, ignore_errors=True)
    os.makedirs(args.out)
    cases = []
    for m, n, k in SMALL if args.small else SHAPES:
        model = os.path.join(args.out, "product.mlir")
        for precision, tolerance in TOLERANCE.items():
            # f32 that is rounded; and numbers that have 16 bits in memory.
            for element in ("f32", precision) if precision in ("f16", "bf16") else ("f32",):
                name = f"{m}x{n}x{k}-{precision}" + ("-operands" if element != "f32" else "")
                write_product(model, m, n, k, element)
                compile_for_gpus(gradus, args.out, name, model, "--matmul-precision=" + precision)
                case = {"kind": "product", "name": name, "m": m, "n": n, "k": k, "tolerance": tolerance}
                cases.append({**case, "precision": precision, "element": element})
        os.remove(model)
    for text, batch, trains in SMALL_STEPS if args.small else STEPS:
        path = os.path.join(ROOT, "docs", "examples", text)
        model = os.path.basename(text).removesuffix(".mlir")
        common = [path, "--dims", f"batch={batch}", "--function=fit.step,init"]
        compile_model(gradus, os.path.join(args.out, model + "-cpu.so"), *common, "-march=x86-64-v3")
        for precision in ("strict", "tf32"):
            name = f"{model}-{precision}"
            compile_for_gpus(gradus, args.out, name, *common, "--matmul-precision=" + precision)
            case = {"kind": "step", "name": name, "model": model, "batch": batch, "tolerance": 1e-2, "precision": precision}
            cases.append({**case, "trains": trains, "peers": PEERS if trains else {}})
    with open(os.path.join(args.out, "cases.json"), "w", encoding="utf-8") as f:
        json.dump(cases, f, indent=1)
    for file in ("run.py", "beside.py"):
        shutil.copy(os.path.join(HERE, file), args.out)
    os.makedirs(os.path.join(args.out, "peers", "contenders"))
    for file in PEER_FILES:
        shutil.copy(os.path.join(BENCH, file), os.path.join(args.out, "peers", file))
    size = sum(os.path.getsize(os.path.join(folder, f)) for folder, _, files in os.walk(args.out) for f in files)
    print(f"{len(cases)} cases in {args.out}, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()

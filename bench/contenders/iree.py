"""IREE, on the StableHLO that export_stablehlo.py wrote."""

import os
import subprocess
import sys

import numpy as np

import workloads

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "bench")
BEST = ["--iree-opt-level=O3", "--iree-opt-data-tiling", "--iree-llvmcpu-enable-ukernels=all"]
# Several models meet the compiler's limits on stacks or vectors: the first flags that compile are used.
STACK = "--iree-llvmcpu-stack-allocation-limit=262144"
FLAGS = [BEST, [*BEST, STACK], ["--iree-opt-level=O3", STACK], [STACK]]


def setup(threads, mode):
    global rt, THREADS
    THREADS = threads
    import iree.runtime as rt

    if threads > 1:
        # With the default of 128 KiB some steps overflow their workers' stacks.
        rt.flags.parse_flags(f"--task_topology_group_count={threads}", "--task_worker_stack_size=8388608")


def version():
    from importlib.metadata import version

    return "IREE " + version("iree-base-compiler")


def compiled(name):
    """The device, and the function of a model."""
    source, out = os.path.join(FOLDER, name + ".mlir"), os.path.join(FOLDER, f"{name}-{THREADS}.vmfb")
    command = [os.path.join(os.path.dirname(sys.executable), "iree-compile"), source, "-o", out, "--iree-hal-target-device=local"]
    command += ["--iree-hal-local-target-device-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=host"]
    for flags in FLAGS:
        if subprocess.run([*command, *flags], capture_output=True).returncode == 0:
            break
    else:
        raise NotImplementedError
    config = rt.Config("local-sync" if THREADS == 1 else "local-task")
    module = rt.VmModule.mmap(config.vm_instance, out)
    return config.device, rt.load_vm_module(module, config)["main"]


def load(case):
    kind, model = case[0], case[1]
    if kind not in ("train", "infer"):
        raise NotImplementedError
    device, function = compiled("-".join(str(c) for c in case))
    on_device = lambda a: rt.asdevicearray(device, np.asarray(a))
    # JAX flattens dictionaries in the order of their keys.
    p = [v for _, v in sorted(workloads.parameters(model).items())]
    if kind == "infer":
        inputs = [on_device(a) for a in (*p, workloads.batch(model, case[2])[0])]

        def call():
            return function(*inputs).to_host()

        call.result = call
        return call

    _, size, optimiser, _ = workloads.TRAININGS[model]
    zeros = [np.zeros_like(a) for a in p] if optimiser == "adam" else []
    count = [np.float32(0)] if optimiser == "adam" else []
    state = [on_device(a) for a in (*p, *zeros, *zeros, *count)]
    inputs = [on_device(a) for a in workloads.batch(model, size)]

    def call():
        *state[:], loss = function(*state, *inputs)
        return float(loss.to_host())

    call.losses = lambda n: [call() for _ in range(n)]
    return call

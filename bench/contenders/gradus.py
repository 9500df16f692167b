"""Gradus: the shared library and C header that `gradus compile` writes, called through ctypes."""

import ctypes
import os
import re
import subprocess

import numpy as np

import workloads

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GRADUS = os.path.join(ROOT, "build", "bin", "gradus")
FOLDER = os.path.join(ROOT, "build", "bench")


def setup(threads, mode):
    global THREADS
    THREADS = threads
    os.makedirs(FOLDER, exist_ok=True)


def version():
    return subprocess.check_output([GRADUS, "--version"], text=True).split()[1]


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


class Artefact:
    """A compiled model with its memory."""

    def __init__(self, text, dims, *flags):
        name = re.sub(r"\W", "_", "-".join([os.path.basename(text), *dims, str(THREADS), *flags[:1]]))
        library, header = (os.path.join(FOLDER, name + end) for end in (".so", ".h"))
        subprocess.check_call(
            [GRADUS, "compile", os.path.join(ROOT, "docs", "examples", text), "-o", library, "--header", header]
            + [f"--threads={THREADS}", *flags] + [f"--dims={d}" for d in dims]
        )
        self.code = ctypes.CDLL(library)
        with open(header, encoding="utf-8") as file:
            self.header = file.read()
        self.model = re.search(r"model '(\w+)'", self.header).group(1)
        self.arena = workloads.aligned((self.number("ARENA_BYTES"),), np.uint8)
        self.variables = workloads.aligned((self.number("VARIABLES_BYTES"),), np.uint8) if "_VARIABLES_BYTES" in self.header else None

    def number(self, name):
        return int(re.search(rf"#define {self.model.upper()}_{name} (\d+)", self.header).group(1))

    def set(self, name, value):
        offset = re.search(rf"_OFFSET (\d+) /\* {re.escape(name)} ", self.header)
        start = int(offset.group(1))
        self.variables[start : start + value.nbytes] = np.frombuffer(value.tobytes(), np.uint8)

    def call(self, function, *arrays):
        entry = getattr(self.code, f"{self.model}_{function}")
        entry.restype = None
        first = [pointer(self.variables)] if self.variables is not None else []
        arguments = first + [pointer(a) for a in arrays] + [pointer(self.arena)]
        # The pointers do not keep their arrays alive.
        return lambda _self=self, _arrays=arrays: entry(*arguments)


def load(case):
    kind, what = case[0], case[1]
    if kind in ("matmul", "narrow"):
        *dtype, shape = what.split()
        m, k, n = shape.split("x")
        text = "_".join(["bench/product", *dtype]) + ".mlir"
        made = Artefact(text, [f"m={m}", f"k={k}", f"n={n}"])
        a, b, out = (workloads.narrow_matrices if dtype else workloads.matrices)(what)
        run = made.call("product", a, b, out)

        def call():
            run()

        call.result = lambda: out
        return call
    if kind == "attention":
        operands, gradient = workloads.attention(what)
        batch, time = operands[0].shape[:2]
        name = "gradient" if gradient else "attend"
        made = Artefact("bench/attention.mlir", [f"batch={batch}", f"time={time}"], "--function=" + name)
        results = [workloads.aligned(operands[0].shape) for _ in range(3 if gradient else 1)]
        run = made.call(name, *operands, *results)

        def call():
            run()

        call.result = lambda: np.stack(results)
        return call
    if kind == "conv":
        c = workloads.Convolution(what)
        operands, like = {
            "": ((c.image, c.filter), c.cotangent),
            "image": ((c.cotangent, c.filter), c.image),
            "filter": ((c.image, c.cotangent), c.filter),
        }[c.gradient]
        name, out = "_".join(filter(None, (c.function, c.gradient))), workloads.aligned(like.shape)
        dims = [f"{name}={n}" for name, n in c.dims.items()]
        run = Artefact("bench/convolution.mlir", dims, "--function=" + name).call(name, *operands, out)

        def convolve():
            run()

        convolve.result = lambda: out
        return convolve
    text, size = workloads.text_of(what), case[2] if kind == "infer" else workloads.TRAININGS[what][1]
    x, y = workloads.batch(what, size)
    if kind == "infer":
        # As the peers' sessions and compilers have them, the weights are constants.
        weights = os.path.join(FOLDER, what + ".safetensors")
        workloads.save(weights, workloads.parameters(what))
        made = Artefact(text, [f"batch={size}"], "--function=logits", "--freeze=" + weights)
        out = workloads.aligned(workloads.result_shape(what, size))
        infer = made.call("logits", x, out)

        def call():
            infer()

        call.result = lambda: out
        return call
    made = Artefact(text, [f"batch={size}"])

    def restart():
        made.variables[:] = 0
        for name, value in workloads.parameters(what).items():
            made.set(name, value)

    restart()
    loss = workloads.aligned((1,))
    run = made.call("fit_step", x, y, loss)

    def call():
        run()
        return float(loss[0])

    def losses(n):
        restart()
        return [call() for _ in range(n)]

    call.losses = losses
    return call

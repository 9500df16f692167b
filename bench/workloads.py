"""Parameters and batches, the same for every contender.

Parameters carry the names of the model texts in docs/examples. Dense weights are [in, out], images NHWC, filters HWIO.
"""

import json
import os
import struct

import numpy as np
from cases import ADAM, ATTENTION, BERT, BLOCKS, CONVOLUTIONS, GPT, IMAGES, LAYERS, STAGES, TEXTS, TRAININGS  # noqa: F401  (for the contenders)


def aligned(shape, dtype=np.float32):
    """Zeros that start at a cache line, as every runtime's own allocator gives them; NumPy's start 16 bytes after one."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def parameters(model):
    draw, made = np.random.default_rng(0), {}

    def normal(name, *shape, fan_in=None):
        scale = 1 / np.sqrt(fan_in or np.prod(shape[:-1]))
        made[name] = (draw.standard_normal(shape) * scale).astype(np.float32)

    def dense(name, inputs, outputs):
        normal(name + ".w", inputs, outputs)
        made[name + ".b"] = np.zeros(outputs, np.float32)

    def norm(name, width):
        made[name + ".gain"], made[name + ".bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)

    if model == "mlp":
        dense("fc1", 784, 512), dense("fc2", 512, 256), dense("fc3", 256, 10)
    elif model == "cnn":
        for name, inputs, outputs in (("c1", 1, 32), ("c2", 32, 64)):
            normal(name + ".w", 3, 3, inputs, outputs)
            made[name + ".b"] = np.zeros(outputs, np.float32)
        dense("fc1", 7 * 7 * 64, 128), dense("fc2", 128, 10)
    elif model == "separable":
        normal("stem.w", 3, 3, 3, 32)
        made["stem.b"] = np.zeros(32, np.float32)
        norm("stem", 32)
        for name, inputs, outputs, _ in BLOCKS:
            normal(name + ".w", 3, 3, 1, inputs)
            norm(name + ".mix.before", inputs), norm(name + ".mix.after", outputs)
            normal(name + ".mix.w", 1, 1, inputs, outputs)
        dense("fc", 256, 10)
    elif model == "resnet":

        def conv(name, size, inputs, outputs):
            normal(name + ".w", size, size, inputs, outputs)
            made[name + ".b"] = (draw.standard_normal(outputs) * 0.1).astype(np.float32)

        conv("stem", 7, 3, 64)
        before = 64
        for stage, width in STAGES:
            if stage != "a":
                conv(f"{stage}.down", 3, before, width), conv(f"{stage}.same", 3, width, width)
                conv(f"{stage}.project", 1, before, width)
            for block in "01" if stage == "a" else "1":
                for name in ("c1", "c2"):
                    conv(f"{stage}.{block}.{name}", 3, width, width)
            before = width
        dense("fc", 512, 1000)
    elif model == "mobile":

        def filtered(name, *shape):
            normal(name + ".w", *shape)
            made[name + ".b"] = (draw.standard_normal(shape[-1]) * 0.1).astype(np.float32)

        filtered("stem", 3, 3, 3, 32)
        before = 32
        for i, (outputs, _) in enumerate(LAYERS, 1):
            filtered(f"d{i}", 3, 3, 1, before), filtered(f"p{i}", 1, 1, before, outputs)
            before = outputs
        dense("fc", 1024, 1000)
    elif model == "bert":
        d = BERT["width"]
        normal("tokens", BERT["tokens"], d, fan_in=2500), normal("positions", BERT["time"], d, fan_in=2500)
        norm("norm", d)
        for i in range(BERT["layers"]):
            for part in ("q", "k", "v", "proj"):
                dense(f"h.{i}.attention.{part}", d, d)
            norm(f"h.{i}.ln1", d), norm(f"h.{i}.ln2", d)
            dense(f"h.{i}.fc", d, 4 * d), dense(f"h.{i}.out", 4 * d, d)
    else:
        d = GPT["width"]
        normal("tokens", GPT["tokens"], d, fan_in=2500), normal("positions", GPT["time"], d, fan_in=2500)
        for i in range(GPT["layers"]):
            h = f"h.{i}"
            norm(f"{h}.ln1", d), norm(f"{h}.ln2", d)
            for part in ("q", "k", "v", "proj"):
                dense(f"{h}.attention.{part}", d, d)
            dense(f"{h}.feed_forward.fc", d, 4 * d), dense(f"{h}.feed_forward.out", 4 * d, d)
        norm("norm", d), normal("head", d, GPT["tokens"])
    return made


def save(path, tensors):
    """Writes f32 tensors as safetensors, whole or not at all."""
    header, offset = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [offset, offset + value.nbytes]}
        offset += value.nbytes
    text = json.dumps(header).encode()
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            file.write(np.ascontiguousarray(value).tobytes())
    os.rename(temporary, path)


def result_shape(model, size):
    """Of the logits."""
    shapes = {"gpt": (GPT["time"], GPT["tokens"]), "bert": (BERT["time"], BERT["width"]), "resnet": (1000,), "mobile": (1000,)}
    return (size, *shapes.get(model, (10,)))


def text_of(model):
    return TEXTS[model] if model in TEXTS else TRAININGS[model][0]


def batch(model, size):
    """(inputs, labels)"""
    draw = np.random.default_rng(1)
    if model == "gpt":
        text = draw.integers(0, GPT["tokens"], (size, GPT["time"] + 1)).astype(np.int32)
        return np.ascontiguousarray(text[:, :-1]), np.ascontiguousarray(text[:, 1:])
    if model == "bert":
        return draw.integers(0, BERT["tokens"], (size, BERT["time"])).astype(np.int32), None
    shape = {"mlp": (784,), "cnn": (28, 28, 1), "resnet": (224, 224, 3), "mobile": (224, 224, 3), "separable": (64, 64, 3)}[model]
    return draw.standard_normal((size, *shape)).astype(np.float32), draw.integers(0, 10, size).astype(np.int32)


def attention(what):
    """Queries, keys and values, [batch, time, heads, width]; and whether the gradient is wanted, too."""
    time, _, gradient = what.partition(" ")
    shape = (ATTENTION["positions"] // int(time), int(time), ATTENTION["heads"], ATTENTION["width"])
    draw, operands = np.random.default_rng(0), [aligned(shape) for _ in "qkv"]
    for x in operands:
        x[:] = draw.standard_normal(shape, np.float32)
    return operands, bool(gradient)


class Convolution:
    """Image [batch, size, size, in], filter [taps, taps, in of a group, out], cotangent of the result; and which of the three is computed."""

    def __init__(self, what):
        name, _, self.gradient = what.partition(": ")
        self.function, size, taps, inputs, outputs = CONVOLUTIONS[name]
        self.stride = 2 if self.function == "strided" else 1
        self.dilation = 2 if self.function == "dilated" else 1
        self.groups = {"grouped": 4, "depthwise": inputs}.get(self.function, 1)
        self.padding = self.dilation * (taps - 1) // 2
        part, rest = inputs // self.groups, (size - 1) // self.stride + 1
        self.dims = dict(batch=IMAGES, size=size, taps=taps, out=outputs) | {"in": inputs}
        draw = np.random.default_rng(0)
        self.image, self.filter, self.cotangent = (
            aligned(s) for s in ((IMAGES, size, size, inputs), (taps, taps, part, outputs), (IMAGES, rest, rest, outputs))
        )
        for x in (self.image, self.filter, self.cotangent):
            x[:] = draw.standard_normal(x.shape, np.float32)
        # Results of size 1, about.
        self.filter /= np.sqrt(taps * taps * part)
        if self.gradient == "filter":
            self.image /= np.sqrt(IMAGES) * rest


def matrices(shape):
    """The operands, and room for the result."""
    m, k, n = map(int, shape.split("x"))
    draw = np.random.default_rng(0)
    a, b, out = (aligned(s) for s in ((m, k), (k, n), (m, n)))
    a[:], b[:] = draw.random(a.shape, np.float32) - 0.5, draw.random(b.shape, np.float32) - 0.5
    return a, b, out


def narrow_matrices(what):
    """Operands of bf16, as their upper 16 bits, or of i8; and room for the result."""
    dtype, shape = what.split()
    a, b, _ = matrices(shape)
    m, k, n = map(int, shape.split("x"))
    if dtype == "i8":
        parts = [aligned(x.shape, np.int8) for x in (a, b)]
        for part, x in zip(parts, (a, b)):
            part[:] = x * 255
        return *parts, aligned((m, n), np.int32)
    parts = [aligned(x.shape, np.uint16) for x in (a, b)]
    for part, x in zip(parts, (a, b)):
        part[:] = x.view(np.uint32) >> 16
    return *parts, aligned((m, n), np.uint16)


def widened(array):
    """The numbers that bf16's bits or integers are, in f64."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.float64)

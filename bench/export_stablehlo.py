"""Writes every training step and inference as StableHLO; run with JAX's environment."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
from contenders import xla  # noqa: E402

xla.setup(threads=1, mode="")


def write(name, function, *inputs):
    with open(f"{sys.argv[1]}/{name}.mlir", "w") as file:
        file.write(xla.jax.jit(function).lower(*inputs).as_text())


for model in cases.TRAININGS:
    write(f"train-{model}", *xla.training(model))
for model, size in cases.INFERENCES:
    write(f"infer-{model}-{size}", *xla.inference(model, size))

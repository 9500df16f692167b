"""Writes the inference cases as ONNX files; run with PyTorch's environment."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import torch  # noqa: E402

import cases  # noqa: E402
from contenders import pytorch  # noqa: E402

pytorch.setup(threads=1, mode="eager")


class Model(torch.nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name, self.p = name, pytorch.parameters(name)

    def forward(self, x):
        return pytorch.logits(self.name, self.p, x)


for model, size in cases.INFERENCES:
    x = pytorch.batch(model, size)[0]
    torch.onnx.export(Model(model).eval(), (x,), f"{sys.argv[1]}/{model}-{size}.onnx", dynamo=True, external_data=False, verbose=False)

"""PyTorch: eager (its products are MKL's), torch.compile, which generates C++ or Triton, and that with CUDA graphs (mode graphs)."""

import functools

import numpy as np
import torch
import torch.nn.functional as F

import workloads
from workloads import BERT, BLOCKS, GPT, LAYERS, STAGES


def setup(threads, mode, device="cpu", precision="strict"):
    global COMPILED, DEVICE
    COMPILED, DEVICE = {"compile": "default", "graphs": "reduce-overhead"}.get(mode), device
    torch.set_num_threads(threads)
    if device != "cpu":
        torch.set_float32_matmul_precision({"strict": "highest", "tf32": "high"}[precision])
        torch.backends.cudnn.allow_tf32 = precision == "tf32"


def version():
    return "PyTorch " + torch.__version__.split("+")[0]


def dense(p, name, x):
    return x @ p[name + ".w"] + p[name + ".b"]


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".gain"], p[name + ".bias"])


def attention(p, name, x, count, causal):
    b, t, d = x.shape
    heads = (b, t, 3 * count, d // count)
    q, k, v = (x @ p[name + ".qkv.w"] + p[name + ".qkv.b"]).view(heads).transpose(1, 2).split(count, 1)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return dense(p, name + ".proj", y.transpose(1, 2).reshape(b, t, d))


def residual(p, x):
    def conv(name, x, stride, padding):
        return F.conv2d(x, p[name + ".w"], p[name + ".b"], stride=stride, padding=padding)

    x = F.max_pool2d(conv("stem", x, 2, 3).relu(), 3, 2, 1)
    for stage, _ in STAGES:
        for block in ("0", "1") if stage == "a" else ("1",):
            if stage != "a":
                y = conv(stage + ".same", conv(stage + ".down", x, 2, 1).relu(), 1, 1)
                x = (y + conv(stage + ".project", x, 2, 0)).relu()
            y = conv(f"{stage}.{block}.c2", conv(f"{stage}.{block}.c1", x, 1, 1).relu(), 1, 1)
            x = (y + x).relu()
    return dense(p, "fc", x.mean((2, 3)))


def separable(p, x):
    def normal(name, x):
        return F.batch_norm(x, None, None, p[name + ".gain"], p[name + ".bias"], training=True, eps=1e-5).relu()

    x = normal("stem", F.conv2d(x, p["stem.w"], p["stem.b"], padding=1))
    for name, inputs, _, stride in BLOCKS:
        x = normal(name + ".mix.before", F.conv2d(x, p[name + ".w"], stride=stride, padding=1, groups=inputs))
        x = normal(name + ".mix.after", F.conv2d(x, p[name + ".mix.w"]))
    return dense(p, "fc", x.mean((2, 3)))


def mobile(p, x):
    x = F.conv2d(x, p["stem.w"], p["stem.b"], stride=2, padding=1).relu()
    for i, (_, stride) in enumerate(LAYERS, 1):
        x = F.conv2d(x, p[f"d{i}.w"], p[f"d{i}.b"], stride=stride, padding=1, groups=x.shape[1]).relu()
        x = F.conv2d(x, p[f"p{i}.w"], p[f"p{i}.b"]).relu()
    return dense(p, "fc", x.mean((2, 3)))


def logits(model, p, x):
    if model == "mlp":
        return dense(p, "fc3", dense(p, "fc2", dense(p, "fc1", x).relu()).relu())
    if model == "cnn":
        for name in ("c1", "c2"):
            x = F.max_pool2d(F.conv2d(x, p[name + ".w"], p[name + ".b"], padding=1).relu(), 2)
        return dense(p, "fc2", dense(p, "fc1", x.flatten(1)).relu())
    if model == "resnet":
        return residual(p, x)
    if model == "separable":
        return separable(p, x)
    if model == "mobile":
        return mobile(p, x)
    h = p["tokens"][x] + p["positions"]
    if model == "bert":
        h = norm(p, "norm", h)
        for i in range(BERT["layers"]):
            n = f"h.{i}"
            h = norm(p, n + ".ln1", h + attention(p, n + ".attention", h, BERT["heads"], False))
            h = norm(p, n + ".ln2", h + dense(p, n + ".out", F.gelu(dense(p, n + ".fc", h))))
        return h
    for i in range(GPT["layers"]):
        n = f"h.{i}"
        h = h + attention(p, n + ".attention", norm(p, n + ".ln1", h), GPT["heads"], True)
        wide = F.gelu(dense(p, n + ".feed_forward.fc", norm(p, n + ".ln2", h)))
        h = h + dense(p, n + ".feed_forward.out", wide)
    return norm(p, "norm", h) @ p["head"]


def parameters(model):
    """In PyTorch's own layouts: filters OIHW, features CHW, one product for q, k and v."""
    p = workloads.parameters(model)
    if model == "cnn":
        for name in ("c1.w", "c2.w"):
            p[name] = np.ascontiguousarray(p[name].transpose(3, 2, 0, 1))
        p["fc1.w"] = np.ascontiguousarray(p["fc1.w"].reshape(7, 7, 64, 128).transpose(2, 0, 1, 3).reshape(-1, 128))
    if model in ("resnet", "separable", "mobile"):
        for name in p:
            if p[name].ndim == 4:
                p[name] = np.ascontiguousarray(p[name].transpose(3, 2, 0, 1))
    if model in ("gpt", "bert"):
        for i in range({"gpt": GPT, "bert": BERT}[model]["layers"]):
            for part in ("w", "b"):
                names = [f"h.{i}.attention.{n}.{part}" for n in "qkv"]
                p[f"h.{i}.attention.qkv.{part}"] = np.concatenate([p.pop(n) for n in names], axis=-1)
    tensors = {name: torch.tensor(value, device=DEVICE) for name, value in p.items()}
    if model in ("separable", "mobile"):
        tensors = {name: value.to(memory_format=layout_of(value)) for name, value in tensors.items()}
    return tensors


def layout_of(value):
    """Convolutions of each channel by itself are several times as fast so."""
    return torch.channels_last if value.ndim == 4 else torch.contiguous_format


def batch(model, size):
    x, y = workloads.batch(model, size)
    if model in ("cnn", "resnet", "separable", "mobile"):
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    x = torch.tensor(x).long() if model in ("gpt", "bert") else torch.tensor(x)
    if model in ("separable", "mobile"):
        x = x.to(memory_format=layout_of(x))
    return x.to(DEVICE), None if y is None else torch.tensor(y).long().to(DEVICE)


def convolution(what):
    """In channels_last, as the operands lie: oneDNN is fastest so."""
    c = workloads.Convolution(what)
    x, g = (torch.from_numpy(v).permute(0, 3, 1, 2) for v in (c.image, c.cotangent))
    w = torch.from_numpy(c.filter).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    how = ([c.stride] * 2, [c.padding] * 2, [c.dilation] * 2, False, [0, 0], c.groups)
    wanted = [c.gradient == "image", c.gradient == "filter", False]

    def call():
        with torch.inference_mode():
            if not c.gradient:
                call.last = torch.convolution(x, w, None, *how)
            else:
                call.last = next(d for d in torch.ops.aten.convolution_backward(g, x, w, None, *how, wanted) if d is not None)

    order = (2, 3, 1, 0) if c.gradient == "filter" else (0, 2, 3, 1)
    call.result = lambda: call.last.permute(order).contiguous().numpy()
    return call


def load(case):
    kind, what = case[0], case[1]
    compiled = functools.partial(torch.compile, mode=COMPILED) if COMPILED else lambda f: f
    if kind == "matmul":
        if COMPILED:
            raise NotImplementedError
        a, b, out = map(torch.from_numpy, workloads.matrices(what))

        def multiply():
            torch.mm(a, b, out=out)

        multiply.result = lambda: out.numpy()
        return multiply
    if kind == "narrow":
        a, b, out = workloads.narrow_matrices(what)
        if what.startswith("i8"):
            x, y = torch.from_numpy(a), torch.from_numpy(b)

            def multiply():
                multiply.last = torch._int_mm(x, y)

            multiply.result = lambda: multiply.last.numpy()
            return multiply
        x, y, z = (torch.from_numpy(v).view(torch.bfloat16) for v in (a, b, out))

        def multiply_halves():
            torch.mm(x, y, out=z)

        multiply_halves.result = lambda: out
        return multiply_halves
    if kind == "attention":
        operands, gradient = workloads.attention(what)
        q, k, v = (torch.from_numpy(x).requires_grad_(gradient) for x in operands)

        def attend():
            heads = (x.transpose(1, 2) for x in (q, k, v))
            return F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2)

        def both_ways():
            return torch.autograd.grad(attend().square().sum(), (q, k, v))

        def forward_only():
            with torch.inference_mode():
                return (attend(),)

        run = both_ways if gradient else forward_only

        def call():
            return run()

        call.result = lambda: np.stack([x.numpy() for x in call()])
        return call
    if kind == "conv":
        return convolution(what)
    if kind == "infer":
        p, (x, _) = parameters(what), batch(what, case[2])
        forward = compiled(lambda x: logits(what, p, x))

        def infer():
            with torch.inference_mode():
                return forward(x)

        infer.result = lambda: infer().numpy()
        return infer

    _, size, optimiser, rate = workloads.TRAININGS[what]
    x, y = batch(what, size)
    p = {name: value.requires_grad_() for name, value in parameters(what).items()}
    loss_of = compiled(lambda x, y: F.cross_entropy(logits(what, p, x).flatten(0, -2), y.flatten()))
    step = torch.optim.SGD(p.values(), rate) if optimiser == "sgd" else torch.optim.Adam(p.values(), rate, fused=True)

    def train():
        step.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        step.step()
        return loss.item()

    train.losses = lambda n: [train() for _ in range(n)]
    return train

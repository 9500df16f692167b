"""XLA, by way of JAX."""

import os

import numpy as np

import workloads
from workloads import ADAM, BERT, BLOCKS, GPT, LAYERS, STAGES


def setup(threads, mode, device="cpu", precision="strict"):
    global jax, jnp, lax
    os.environ["JAX_PLATFORMS"] = device
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    import jax
    import jax.numpy as jnp
    from jax import lax

    if device != "cpu":
        jax.config.update("jax_default_matmul_precision", {"strict": "highest", "tf32": "tensorfloat32"}[precision])


def version():
    return "JAX " + jax.__version__


def dense(p, name, x):
    return x @ p[name + ".w"] + p[name + ".b"]


def norm(p, name, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p[name + ".gain"] + p[name + ".bias"]


def heads(q, k, v, causal):
    """Attention of queries, keys and values [batch, time, heads, width]."""
    t, width = q.shape[1], q.shape[3]
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(width))
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf)
    return (jax.nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3)


def attention(p, name, x, count, causal):
    b, t, d = x.shape
    q, k, v = (dense(p, f"{name}.{n}", x).reshape(b, t, count, -1) for n in "qkv")
    return dense(p, name + ".proj", heads(q, k, v, causal).reshape(b, t, d))


def residual(p, x):
    def conv(name, x, stride, padding):
        window = ((padding, padding), (padding, padding))
        y = lax.conv_general_dilated(x, p[name + ".w"], (stride, stride), window, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + p[name + ".b"]

    x = jax.nn.relu(conv("stem", x, 2, 3))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for stage, _ in STAGES:
        for block in ("0", "1") if stage == "a" else ("1",):
            if stage != "a":
                y = conv(stage + ".same", jax.nn.relu(conv(stage + ".down", x, 2, 1)), 1, 1)
                x = jax.nn.relu(y + conv(stage + ".project", x, 2, 0))
            y = conv(f"{stage}.{block}.c2", jax.nn.relu(conv(f"{stage}.{block}.c1", x, 1, 1)), 1, 1)
            x = jax.nn.relu(y + x)
    return dense(p, "fc", x.mean((1, 2)))


def filtered(p, name, x, stride, padding, groups):
    window = ((padding, padding), (padding, padding))
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, p[name + ".w"], (stride, stride), window, dimension_numbers=numbers, feature_group_count=groups)


def mobile(p, x):
    x = jax.nn.relu(filtered(p, "stem", x, 2, 1, 1) + p["stem.b"])
    for i, (_, stride) in enumerate(LAYERS, 1):
        x = jax.nn.relu(filtered(p, f"d{i}", x, stride, 1, x.shape[-1]) + p[f"d{i}.b"])
        x = jax.nn.relu(filtered(p, f"p{i}", x, 1, 0, 1) + p[f"p{i}.b"])
    return dense(p, "fc", x.mean((1, 2)))


def separable(p, x):
    def normal(name, x):
        centred = x - x.mean((0, 1, 2))
        scaled = centred * lax.rsqrt((centred**2).mean((0, 1, 2)) + 1e-5)
        return jax.nn.relu(scaled * p[name + ".gain"] + p[name + ".bias"])

    x = normal("stem", filtered(p, "stem", x, 1, 1, 1) + p["stem.b"])
    for name, inputs, _, stride in BLOCKS:
        x = normal(name + ".mix.before", filtered(p, name, x, stride, 1, inputs))
        x = normal(name + ".mix.after", filtered(p, name + ".mix", x, 1, 0, 1))
    return dense(p, "fc", x.mean((1, 2)))


def logits(model, p, x):
    if model == "mlp":
        return dense(p, "fc3", jax.nn.relu(dense(p, "fc2", jax.nn.relu(dense(p, "fc1", x)))))
    if model == "cnn":
        for name in ("c1", "c2"):
            x = lax.conv_general_dilated(x, p[name + ".w"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = lax.reduce_window(jax.nn.relu(x + p[name + ".b"]), -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return dense(p, "fc2", jax.nn.relu(dense(p, "fc1", x.reshape(x.shape[0], -1))))
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
            wide = jax.nn.gelu(dense(p, n + ".fc", h), approximate=False)
            h = norm(p, n + ".ln2", h + dense(p, n + ".out", wide))
        return h
    for i in range(GPT["layers"]):
        n = f"h.{i}"
        h = h + attention(p, n + ".attention", norm(p, n + ".ln1", h), GPT["heads"], True)
        wide = jax.nn.gelu(dense(p, n + ".feed_forward.fc", norm(p, n + ".ln2", h)), approximate=False)
        h = h + dense(p, n + ".feed_forward.out", wide)
    return norm(p, "norm", h) @ p["head"]


def loss(model, p, x, y):
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits(model, p, x), -1), y[..., None], -1)
    return -picked.mean()


def training(model):
    """The step, not yet compiled, and what it is called with: parameters, the optimiser's state, images, labels."""
    _, size, optimiser, rate = workloads.TRAININGS[model]
    x, y = map(jnp.asarray, workloads.batch(model, size))
    each = jax.tree.map

    def sgd(p, state, x, y):
        value, g = jax.value_and_grad(lambda p: loss(model, p, x, y))(p)
        return each(lambda p, g: p - rate * g, p, g), state, value

    def adam(p, state, x, y):
        value, g = jax.value_and_grad(lambda p: loss(model, p, x, y))(p)
        (m, v, t), b1, b2 = state, ADAM["beta1"], ADAM["beta2"]
        t = t + 1
        m = each(lambda m, g: b1 * m + (1 - b1) * g, m, g)
        v = each(lambda v, g: b2 * v + (1 - b2) * g * g, v, g)
        scale_m, scale_v = 1 - b1**t, 1 - b2**t
        p = each(lambda p, m, v: p - rate * (m / scale_m) / (jnp.sqrt(v / scale_v) + ADAM["eps"]), p, m, v)
        return p, (m, v, t), value

    p = each(jnp.asarray, workloads.parameters(model))
    state = () if optimiser == "sgd" else (each(jnp.zeros_like, p), each(jnp.zeros_like, p), jnp.float32(0))
    return sgd if optimiser == "sgd" else adam, p, state, x, y


def inference(model, size):
    """The forward pass, and what it is called with."""
    p, x = jax.tree.map(jnp.asarray, workloads.parameters(model)), jnp.asarray(workloads.batch(model, size)[0])
    return (lambda p, x: logits(model, p, x)), p, x


def train(model):
    step, p, state, x, y = training(model)
    step = jax.jit(step, donate_argnums=(0, 1))

    def call():
        nonlocal p, state
        p, state, value = step(p, state, x, y)
        return float(value)

    call.losses = lambda n: [call() for _ in range(n)]
    return call


def load(case):
    kind, what = case[0], case[1]
    if kind == "train":
        return train(what)
    if kind == "attention":
        operands, gradient = workloads.attention(what)
        q, k, v = map(jnp.asarray, operands)
        squares = lambda *operands: (heads(*operands, causal=True) ** 2).sum()
        run = jax.jit(jax.grad(squares, (0, 1, 2)) if gradient else lambda *operands: heads(*operands, causal=True))

        def attend():
            return jax.block_until_ready(run(q, k, v))

        attend.result = lambda: np.stack(attend()) if gradient else np.asarray(attend())
        return attend
    if kind != "infer":
        raise NotImplementedError
    forward, p, x = inference(what, case[2])
    forward = jax.jit(forward)

    def call():
        return forward(p, x).block_until_ready()

    call.result = lambda: np.asarray(call())
    return call

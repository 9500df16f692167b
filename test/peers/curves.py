"""`./dev peers-check`: training curves of the example models beside the same models in JAX.

Both start from Gradus's initial parameters and see the same batches and random numbers; the losses of every step are
compared. In f32, so they drift apart in the end: the share of the loss by which they do is printed.
"""

import argparse
import gzip
import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "bench"), os.path.join(ROOT, "bench", "contenders")]

import gradus

IMAGES = "/usr/share/datasets/fashion-mnist"
TEXT = "/usr/share/common-licenses/GPL-3"


def read_idx(name):
    for folder in (IMAGES, "/usr/share/dataset-fashion-mnist"):
        for path, opener in ((os.path.join(folder, name), open), (os.path.join(folder, name + ".gz"), gzip.open)):
            if os.path.exists(path):
                with opener(path, "rb") as file:
                    data = file.read()
                rank = data[3]
                shape = np.frombuffer(data, ">i4", rank, 4)
                return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
    sys.exit(f"error: there is no {name}; install dataset-fashion-mnist")


def images(step, batch):
    rows = slice(step * batch, (step + 1) * batch)
    x = read_idx.images[rows].reshape(batch, -1).astype(np.float32) / np.float32(255)
    return x, read_idx.labels[rows].astype(np.int32)


def text(step, batch, length):
    with open(TEXT, "rb") as file:
        data = np.frombuffer(file.read(), np.uint8)
    at = (np.arange(batch) + step * batch) * (length - 1) % (len(data) - length)
    return np.stack([data[a:a + length] for a in at]).astype(np.int32)


# ----------------------------------------------------------------------------------------------------------------------
# Optimiser
# ----------------------------------------------------------------------------------------------------------------------

def adam(parameters, gradients, moments, step, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """One step of Adam (Kingma and Ba 2014), as the standard library has it."""
    new, kept = {}, {}
    for name, g in gradients.items():
        m, v = moments[name]
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        direction = m / (1 - beta1**step) / (jnp.sqrt(v / (1 - beta2**step)) + eps)
        new[name], kept[name] = parameters[name] - lr * direction, (m, v)
    return new, kept


# ----------------------------------------------------------------------------------------------------------------------
# Models: `loss(parameters, inputs)`, and what else it takes
# ----------------------------------------------------------------------------------------------------------------------

def dense(p, name, x):
    return x @ p[name + ".w"] + p[name + ".b"]


def cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, -1), labels[..., None], -1).mean()


def norm(p, name, x):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5) * p[name + ".gain"] + p[name + ".bias"]


class LSTM:
    file, dims, step, lr = "lstm.mlir", ["batch=16"], "fit_step", 3e-3

    def inputs(self, step, _):
        return [text(step, 16, 65)]

    def loss(self, p, data):
        x, following = data[:, :-1], data[:, 1:]

        def cell(carry, xt):
            h, memory = carry
            f, i, o, n = jnp.split(xt @ p["wx"] + p["bias"] + h @ p["wh"], 4, -1)
            memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(n)
            h = jax.nn.sigmoid(o) * jnp.tanh(memory)
            return (h, memory), h

        start = jnp.zeros((16, 128))
        _, hs = lax.scan(cell, (start, start), p["letters"][x].swapaxes(0, 1))
        return cross_entropy(dense(p, "head", hs.swapaxes(0, 1)), following)


class GPT:
    file, dims, step, lr = "gpt.mlir", ["batch=4"], "read_step", 1e-3

    def inputs(self, step, _):
        return [text(step, 4, 129)]

    def loss(self, p, data):
        x, following = data[:, :-1], data[:, 1:]
        h = p["tokens"][x] + p["positions"]
        seen = jnp.tril(jnp.ones((128, 128), bool))
        for i in range(4):
            block = f"h.{i}"
            a = norm(p, block + ".ln1", h)
            q, k, v = (dense(p, f"{block}.attention.{n}", a).reshape(4, 128, 4, 64) for n in "qkv")
            s = jnp.where(seen, jnp.einsum("bqhd,bkhd->bhqk", q, k) * 0.125, -1e30)
            o = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(s, -1), v).reshape(4, 128, 256)
            h = h + dense(p, block + ".attention.proj", o)
            f = jax.nn.gelu(dense(p, block + ".feed_forward.fc", norm(p, block + ".ln2", h)), approximate=False)
            h = h + dense(p, block + ".feed_forward.out", f)
        return cross_entropy(norm(p, "norm", h) @ p["head"], following)


class VAE:
    file, dims, step, lr = "vae.mlir", ["batch=64"], "fit_step", 1e-3

    def inputs(self, step, artefact):
        x, _ = images(step, 64)
        seed = np.int32(step + 1)
        return [x, seed], [x, artefact.results("noise", [x, seed], [(64, 16)])[0]]

    def loss(self, p, x, e):
        h = jax.nn.relu(dense(p, "encoder.hidden", x))
        mean, logvar = dense(p, "encoder.mean", h), dense(p, "encoder.logvar", h)
        z = mean + jnp.exp(0.5 * logvar) * e
        y = dense(p, "decoder.image", jax.nn.relu(dense(p, "decoder.hidden", z)))
        pixels = jax.nn.relu(y) + jnp.log1p(jnp.exp(-jnp.abs(y))) - x * y
        code = 0.5 * (jnp.exp(logvar) + mean**2 - logvar - 1).sum(1)
        return pixels.sum(1).mean() + code.mean()


class PINN:
    file, dims, step, lr = "pinn.mlir", [], "fit_step", 3e-3

    def inputs(self, step, artefact):
        seed = np.int32(step + 1)
        return [seed], artefact.results("points", [seed], [(256,), (256,)])

    extra = 1  # the step reports the distance, too

    def loss(self, p, t, x):
        def field(t, x):
            h = jnp.tanh(dense(p, "hidden1", jnp.stack([t, x])))
            u = dense(p, "value", jnp.tanh(dense(p, "hidden2", h)))[0]
            return u * x * (1 - x)

        def residual(t, x):
            u_xx = jax.grad(jax.grad(field, 1), 1)(t, x)
            return jax.grad(field, 0)(t, x) - 0.1 * u_xx

        inside = (jax.vmap(residual)(t, x) ** 2).mean()
        start = jax.vmap(lambda x: field(0.0, x))(x)
        return inside + 10 * ((start - jnp.sin(jnp.float32(3.14159265) * x)) ** 2).mean()


class NeuralODE:
    file, dims, step, lr = "neural_ode.mlir", [], "fit_step", 3e-3

    def inputs(self, step, artefact):
        seed = np.int32(step + 1)
        return [seed], artefact.results("start", [seed], [(32, 2)])

    def loss(self, p, y0):
        matrix = jnp.asarray([[-0.1, 2.0], [-2.0, -0.1]])

        def path(slope):
            def step(y, _):
                k1 = slope(y)
                k2 = slope(y + 0.025 * k1)
                k3 = slope(y + 0.025 * k2)
                k4 = slope(y + 0.05 * k3)
                z = y + 0.0083333333 * (k1 + k4 + 2 * (k2 + k3))
                return z, z

            return lax.scan(step, y0, None, length=10)[1]

        guess = path(lambda y: dense(p, "slope", jnp.tanh(dense(p, "hidden", y**3))))
        return ((guess - path(lambda y: y**3 @ matrix)) ** 2).mean()


class Ridge:
    file, dims, step, lr = "ridge.mlir", [], "fit_step", 0.1
    extra = 1

    def inputs(self, step, _):
        return list(images(step, 1000))

    def loss(self, p, x, label):
        """Through the solution by a factorisation, where the model solves by conjugate gradients."""
        x, y = x - 0.5, jax.nn.one_hot(label, 10)
        x1, x2, y1, y2 = x[:500], x[500:], y[:500], y[500:]
        a = x1.T @ x1 + jnp.exp(p["log_penalty"]) * jnp.eye(784)
        w = jnp.linalg.solve(a, x1.T @ y1)
        return ((x2 @ w - y2) ** 2).mean()


class WGAN:
    file, dims, step, lr = "wgan_gp.mlir", ["batch=16"], "fit_step", 2e-4
    extra = 1
    betas = 0.0, 0.9

    def inputs(self, step, artefact):
        x, _ = images(step, 16)
        seed = np.int32(step + 1)
        return [x, seed], [x, *artefact.results("noise", [x, seed], [(16, 64), (16, 1)])]

    def loss(self, p, x, z, mix):
        def generate(z):
            h = jax.nn.relu(dense(p, "generator.hidden1", z))
            return jax.nn.sigmoid(dense(p, "generator.image", jax.nn.relu(dense(p, "generator.hidden2", h))))

        def critic(p, x):
            h = jax.nn.silu(x @ p["critic.w1"] + p["critic.b1"])
            return (jax.nn.silu(h @ p["critic.w2"] + p["critic.b2"]) @ p["critic.w3"])[0]

        image = generate(z)
        fake = lax.stop_gradient(image)
        scores = jax.vmap(critic, (None, 0))
        slope = jax.vmap(lambda x: jax.grad(critic, 1)(p, x))(x + mix * (fake - x))
        penalty = ((jnp.sqrt((slope**2).sum(1) + 1e-12) - 1) ** 2).mean()
        still = lax.stop_gradient({k: v for k, v in p.items() if k.startswith("critic")})
        return 10 * penalty - (scores(p, x).mean() - scores(p, fake).mean()) - scores(still, image).mean()


MODELS = {"lstm": LSTM, "gpt": GPT, "vae": VAE, "pinn": PINN, "neural_ode": NeuralODE, "ridge": Ridge, "wgan_gp": WGAN}


class Trained(gradus.Artefact):
    """A compiled model, its functions called with arrays."""

    def results(self, function, inputs, shapes):
        outputs = [np.zeros(shape, np.float32) for shape in shapes]
        held = [np.ascontiguousarray(i) for i in inputs]
        self.call(function, *held, *outputs)()
        return outputs

    def parameters(self):
        found = {}
        for offset, name, dims in re_parameters(self.header):
            shape = [int(n) for n in dims.split(",") if n.strip()]
            size = int(np.prod(shape, dtype=np.int64)) * 4
            found[name] = np.frombuffer(self.variables[offset:offset + size].tobytes(), np.float32).reshape(shape)
        return found


def re_parameters(header):
    import re

    for match in re.finditer(r"_OFFSET (\d+) /\* (\S+) f32\[([^\]]*)\], parameter", header):
        yield int(match[1]), match[2], match[3]


def compare(name, steps):
    model = MODELS[name]()
    artefact = Trained(model.file, model.dims)
    artefact.call("init", np.asarray([1], np.int64))()
    parameters = {k: jnp.asarray(v) for k, v in artefact.parameters().items()}
    moments = {k: (jnp.zeros_like(v), jnp.zeros_like(v)) for k, v in parameters.items()}
    beta1, beta2 = getattr(model, "betas", (0.9, 0.999))

    @jax.jit
    def train(parameters, moments, step, inputs):
        loss, gradients = jax.value_and_grad(model.loss)(parameters, *inputs)
        parameters, moments = adam(parameters, gradients, moments, step, model.lr, beta1, beta2)
        return loss, parameters, moments

    ours, theirs = [], []
    for step in range(steps):
        given = model.inputs(step, artefact)
        mine, jaxes = given if isinstance(given, tuple) else (given, given)
        ours.append(float(artefact.results(model.step, mine, [()] * (1 + getattr(model, "extra", 0)))[0]))
        loss, parameters, moments = train(parameters, moments, jnp.float32(step + 1), jaxes)
        theirs.append(float(loss))
    scale = np.maximum(np.abs(theirs), 1e-3 * np.max(np.abs(theirs)))
    apart = np.abs(np.asarray(ours) - theirs) / scale
    half = float(apart[: steps // 2].max())
    print(f"curve {name:<10} {steps} steps: loss {theirs[0]:.4f} -> {theirs[-1]:.4f}, ours {ours[0]:.4f} -> {ours[-1]:.4f}; "
          f"apart by {half:.1e} of the loss in the first half, {float(apart.max()):.1e} in all")
    return half <= 1e-3 and float(apart.max()) <= 2e-2


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--only", default="", help="one model")
    options = parser.parse_args()
    read_idx.images, read_idx.labels = read_idx("train-images-idx3-ubyte"), read_idx("train-labels-idx1-ubyte")
    gradus.setup(1, "train")
    wrong = [name for name in MODELS if options.only in ("", name) and not compare(name, options.steps)]
    if wrong:
        sys.exit(f"error: curves that differ: {', '.join(wrong)}")


main()

"""TensorFlow: tf.function, and the same compiled by XLA (mode xla)."""

import numpy as np
import tensorflow as tf

import workloads
from workloads import ADAM, GPT


def setup(threads, mode):
    global XLA
    XLA = mode == "xla"
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def version():
    return "TensorFlow " + tf.__version__


def dense(p, name, x):
    return x @ p[name + ".w"] + p[name + ".b"]


def norm(p, name, x):
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, -1, keepdims=True)
    return centred * tf.math.rsqrt(variance + 1e-5) * p[name + ".gain"] + p[name + ".bias"]


def attention(p, name, x):
    b, t, d = x.shape
    q, k, v = (tf.transpose(tf.reshape(dense(p, f"{name}.{n}", x), (b, t, GPT["heads"], -1)), (0, 2, 1, 3)) for n in "qkv")
    scores = tf.matmul(q, k, transpose_b=True) / np.float32(np.sqrt(d // GPT["heads"]))
    seen = np.tril(np.ones((t, t), bool))
    y = tf.nn.softmax(tf.where(seen, scores, np.float32(-1e30))) @ v
    return dense(p, name + ".proj", tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (b, t, d)))


def logits(model, p, x):
    if model == "mlp":
        return dense(p, "fc3", tf.nn.relu(dense(p, "fc2", tf.nn.relu(dense(p, "fc1", x)))))
    if model == "cnn":
        for name in ("c1", "c2"):
            x = tf.nn.relu(tf.nn.conv2d(x, p[name + ".w"], 1, "SAME") + p[name + ".b"])
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        return dense(p, "fc2", tf.nn.relu(dense(p, "fc1", tf.reshape(x, (x.shape[0], -1)))))
    h = tf.gather(p["tokens"], x) + p["positions"]
    for i in range(GPT["layers"]):
        n = f"h.{i}"
        h = h + attention(p, n + ".attention", norm(p, n + ".ln1", h))
        wide = tf.nn.gelu(dense(p, n + ".feed_forward.fc", norm(p, n + ".ln2", h)))
        h = h + dense(p, n + ".feed_forward.out", wide)
    return norm(p, "norm", h) @ p["head"]


def load(case):
    kind, what = case[0], case[1]
    if kind != "train" or what == "separable":
        raise NotImplementedError
    _, size, optimiser, rate = workloads.TRAININGS[what]
    x, y = map(tf.constant, workloads.batch(what, size))
    p = {name: tf.Variable(value) for name, value in workloads.parameters(what).items()}
    state = [(tf.Variable(tf.zeros_like(w)), tf.Variable(tf.zeros_like(w))) for w in p.values()]
    count = tf.Variable(0.0)

    @tf.function(jit_compile=XLA)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits(what, p, x)))
        gradients = tape.gradient(loss, list(p.values()))
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        if optimiser == "sgd":
            for w, g in zip(p.values(), gradients):
                w.assign_sub(rate * g)
            return loss
        b1, b2 = ADAM["beta1"], ADAM["beta2"]
        t = count.assign_add(1.0)
        scale_m, scale_v = 1 - b1**t, 1 - b2**t
        for w, g, (m, v) in zip(p.values(), gradients, state):
            m.assign(b1 * m + (1 - b1) * g)
            v.assign(b2 * v + (1 - b2) * g * g)
            w.assign_sub(rate * (m / scale_m) / (tf.sqrt(v / scale_v) + ADAM["eps"]))
        return loss

    def call():
        return float(step(x, y))

    call.losses = lambda n: [call() for _ in range(n)]
    return call

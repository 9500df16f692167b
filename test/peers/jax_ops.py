"""Every op of the model language in JAX, written from the op's documentation.

OPS[name](operands, attributes) returns a tuple of results. Attributes are Python values under the names that the text
has; positional ones (`compare lt`, `einsum "ij,jk->ik"`) under "0".
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

DTYPES = {
    "f64": jnp.float64, "f32": jnp.float32, "f16": jnp.float16, "bf16": jnp.bfloat16,
    "i64": jnp.int64, "i32": jnp.int32, "i8": jnp.int8, "i1": jnp.bool_,
}


def axes_of(attributes, rank):
    axes = attributes.get("axes") or range(rank)
    return tuple(a % rank for a in axes)


def divide(a, b):
    if jnp.issubdtype(a.dtype, jnp.integer):
        safe = jnp.where(b == 0, 1, b)
        return jnp.where(b == 0, 0, lax.div(*jnp.broadcast_arrays(a, safe)))
    return a / b


def cast(x, to):
    """Fractions are cut off, and what does not fit is saturated."""
    to = DTYPES[to]
    if jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(to, jnp.integer):
        info = jnp.iinfo(to)
        return jnp.clip(jnp.trunc(x), info.min, info.max).astype(to)
    return x.astype(to)


def reduce(f):
    return lambda x, a: f(x, axis=axes_of(a, x.ndim), keepdims="keepdims" in a)


def narrow(x):
    return x.dtype in (jnp.float16, jnp.bfloat16)


def matmul(a, b, attributes):
    """Products of 16 bits are summed in f32, of i8 in i32."""
    if a.dtype == jnp.int8:
        return jnp.matmul(a.astype(jnp.int32), b.astype(jnp.int32))
    if narrow(a):
        wide = DTYPES[attributes["to"]] if "to" in attributes else a.dtype
        return jnp.matmul(a.astype(jnp.float32), b.astype(jnp.float32)).astype(wide)
    return jnp.matmul(a, b)


def einsum(operands, attributes):
    x = operands[0]
    if x.dtype == jnp.int8:
        operands = [o.astype(jnp.int32) for o in operands]
    if narrow(x):
        return jnp.einsum(attributes["0"], *[o.astype(jnp.float32) for o in operands]).astype(x.dtype)
    return jnp.einsum(attributes["0"], *operands)


def layer_norm(x, gain, bias, eps):
    mean = x.mean(-1, keepdims=True)
    y = (x - mean) / jnp.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps)
    return y * gain + bias


def conv(x, filter, attributes):
    sizes = x.ndim - 2
    letters = "DHW"[3 - sizes:]
    wide = {jnp.dtype(jnp.int8): jnp.int32, jnp.dtype(jnp.float16): jnp.float32, jnp.dtype(jnp.bfloat16): jnp.float32}
    result = x.dtype if x.dtype != jnp.int8 else jnp.int32
    if x.dtype in wide:
        x, filter = x.astype(wide[x.dtype]), filter.astype(wide[filter.dtype])
    return lax.conv_general_dilated(
        x, filter, attributes.get("stride", [1] * sizes), attributes.get("padding", "valid").upper(),
        rhs_dilation=attributes.get("dilation", [1] * sizes),
        dimension_numbers=("N" + letters + "C", letters + "IO", "N" + letters + "C"),
        feature_group_count=attributes.get("groups", 1)).astype(result)


def conv_input(g, filter, attributes):
    element, shape = attributes["to"]
    image = jnp.zeros(shape, DTYPES[element])
    return jax.vjp(lambda x: conv(x, filter, attributes), image)[1](g)[0]


def conv_filter(x, g, attributes):
    element, shape = attributes["to"]
    filter = jnp.zeros(shape, DTYPES[element])
    return jax.vjp(lambda f: conv(x, f, attributes), filter)[1](g)[0]


def windows(x, attributes):
    window = attributes["window"]
    stride = attributes.get("stride", [1] * len(window))
    places = [(n - w) // s + 1 for n, w, s in zip(x.shape[1:-1], window, stride)]
    for axis, (count, size, step) in enumerate(zip(places, window, stride)):
        at = jnp.arange(count)[:, None] * step + jnp.arange(size)[None, :]
        # The places stay where the axis was; the window moves behind all that is there, before the channels.
        x = jnp.moveaxis(jnp.take(x, at, axis=1 + axis), 2 + axis, -2)
    return x


def fold(g, attributes):
    element, shape = attributes["to"]
    return jax.vjp(lambda x: windows(x, attributes), jnp.zeros(shape, DTYPES[element]))[1](g)[0]


def pool(x, attributes, start, f):
    window = (1, *attributes["window"], 1)
    stride = (1, *attributes.get("stride", attributes["window"]), 1)
    return lax.reduce_window(x, start, f, window, stride, attributes.get("padding", "valid").upper())


def inside(ids, size):
    return (ids >= 0) & (ids < size)


def gather(x, ids, axis):
    axis %= x.ndim
    size = x.shape[axis]
    rows = jnp.take(x, jnp.clip(ids, 0, size - 1), axis=axis)
    shape = (1,) * axis + ids.shape + (1,) * (x.ndim - axis - 1)
    return jnp.where(inside(ids, size).reshape(shape), rows, 0)


def scatter_add(g, ids, attributes):
    element, shape = attributes["to"]
    return jax.vjp(lambda x: gather(x, ids, attributes.get("axis", 0)), jnp.zeros(shape, DTYPES[element]))[1](g)[0]


def cross_entropy(logits, labels):
    hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return -(hot * jax.nn.log_softmax(logits, -1)).sum() / math.prod(labels.shape)


def pad(x, a):
    axis = a["axis"] % x.ndim
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (a.get("low", 0), a.get("high", 0), a.get("interior", 0))
    return lax.pad(x, jnp.asarray(a.get("value", 0.0), x.dtype), config)


def rearrange(x, a):
    left, right = a["0"].split("->")

    def groups(side):
        found, open_group = [], None
        for word in side.replace("(", " ( ").replace(")", " ) ").split():
            if word == "(":
                open_group = []
            elif word == ")":
                found.append(open_group)
                open_group = None
            elif open_group is not None:
                open_group.append(word)
            else:
                found.append([word])
        return found

    sizes, order = {}, []
    for group, n in zip(groups(left), x.shape):
        known = math.prod(a[w] for w in group if w in a)
        for word in group:
            sizes[word] = a.get(word, n // known if len(group) > 1 else n)
            order.append(word)
    x = x.reshape([sizes[w] for w in order])
    target = groups(right)
    x = x.transpose([order.index(w) for group in target for w in group])
    return x.reshape([math.prod(sizes[w] for w in group) for group in target])


def axis_slice(x, a):
    axis, start, step = a["axis"] % x.ndim, a["start"], a.get("step", 1)
    return lax.slice_in_dim(x, start, start + (a["length"] - 1) * step + 1, step, axis)


COMPARISONS = {"eq": jnp.equal, "ne": jnp.not_equal, "lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater, "ge": jnp.greater_equal}


def unary(f):
    return lambda x, a: f(x[0])


def binary(f):
    return lambda x, a: f(x[0], x[1])


def one(f):
    """Of an op with one operand that reads its attributes."""
    return lambda x, a: f(x[0], a)


def iota(a):
    element, shape = a["to"]
    return lax.broadcasted_iota(DTYPES[element], shape, a.get("axis", -1) % len(shape))


OPS = {
    "add": binary(jnp.add), "sub": binary(jnp.subtract), "mul": binary(jnp.multiply), "div": binary(divide),
    "pow": binary(jnp.power), "max": binary(jnp.maximum), "min": binary(jnp.minimum), "neg": unary(jnp.negative),
    "abs": unary(jnp.abs), "sign": unary(jnp.sign), "floor": unary(jnp.floor), "exp": unary(jnp.exp),
    "clamp": one(lambda x, a: jnp.clip(x, jnp.asarray(a["low"], x.dtype), jnp.asarray(a["high"], x.dtype))),
    "log": unary(jnp.log), "sqrt": unary(jnp.sqrt), "rsqrt": unary(lax.rsqrt), "tanh": unary(jnp.tanh),
    "sigmoid": unary(jax.nn.sigmoid), "erf": unary(lax.erf), "sin": unary(jnp.sin), "cos": unary(jnp.cos),
    "relu": unary(jax.nn.relu), "silu": unary(jax.nn.silu), "gelu": unary(lambda x: jax.nn.gelu(x, approximate=False)),
    "compare": lambda x, a: COMPARISONS[a["0"]](x[0], x[1]),
    "select": lambda x, a: jnp.where(x[0], x[1], x[2]),
    "and": binary(jnp.logical_and), "or": binary(jnp.logical_or), "not": unary(jnp.logical_not),
    "cast": one(lambda x, a: cast(x, a["to"])), "stop_gradient": unary(lax.stop_gradient),
    "conv": lambda x, a: conv(x[0], x[1], a), "conv_input": lambda x, a: conv_input(x[0], x[1], a),
    "conv_filter": lambda x, a: conv_filter(x[0], x[1], a), "windows": one(windows), "fold": one(fold),
    "max_pool": one(lambda x, a: pool(x, a, -jnp.inf, lax.max)),
    "avg_pool": one(lambda x, a: pool(x, a, 0.0, lax.add) / pool(jnp.ones_like(x), a, 0.0, lax.add)),
    "gather": lambda x, a: gather(x[0], x[1], a.get("axis", 0)), "embedding": lambda x, a: gather(x[0], x[1], 0),
    "scatter_add": lambda x, a: scatter_add(x[0], x[1], a),
    "one_hot": one(lambda x, a: jax.nn.one_hot(x, a["to"][1][-1], dtype=DTYPES[a["to"][0]])),
    "cross_entropy": binary(cross_entropy), "mse": binary(lambda p, t: ((p - t) ** 2).mean()),
    "matmul": lambda x, a: matmul(x[0], x[1], a), "einsum": einsum,
    "linear": lambda x, a: x[0] @ x[1] + (x[2] if len(x) > 2 else 0),
    "softmax": one(lambda x, a: jax.nn.softmax(x, a.get("axis", -1))),
    "log_softmax": one(lambda x, a: jax.nn.log_softmax(x, a.get("axis", -1))),
    "layer_norm": lambda x, a: layer_norm(x[0], *(x[1:] if len(x) > 1 else (1, 0)), a.get("eps", 1e-5)),
    "reduce_sum": one(reduce(jnp.sum)), "reduce_mean": one(reduce(jnp.mean)), "reduce_max": one(reduce(jnp.max)),
    "reduce_min": one(reduce(jnp.min)), "reduce_prod": one(reduce(jnp.prod)),
    "argmax": one(lambda x, a: jnp.argmax(x, a.get("axis", -1)).astype(jnp.int32)),
    "broadcast": one(lambda x, a: jnp.broadcast_to(x, a["to"][1])), "reshape": one(lambda x, a: x.reshape(a["to"][1])),
    "transpose": one(lambda x, a: x.transpose(a["perm"]) if "perm" in a else jnp.swapaxes(x, -1, -2)),
    "reverse": one(lambda x, a: jnp.flip(x, a["axes"])), "slice": one(axis_slice), "pad": one(pad),
    "concat": lambda x, a: jnp.concatenate(x, a.get("axis", -1)),
    "split": one(lambda x, a: tuple(jnp.split(x, a["parts"], a.get("axis", -1)))), "rearrange": one(rearrange),
    "size": one(lambda x, a: jnp.asarray(x.shape[a.get("axis", 0)], x.dtype)), "iota": lambda x, a: iota(a),
}
# Their numbers are their own: Threefry's words become numbers in other ways.
RANDOM = {"uniform", "normal", "dropout"}

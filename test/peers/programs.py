"""Functions of several ops, written twice: in the model language and in JAX."""

import jax
import jax.numpy as jnp
from jax import lax


class Program:
    """`before`: functions that the body calls; `body` defines %r of `count` results."""

    def __init__(self, name, operands, body, f, before=""):
        self.text, self.operands, self.body, self.f, self.before = name, operands, body, f, before
        self.operands = [(e, s, low, high) for e, s, low, high in operands]

    def narrow(self):
        return False

    def jax(self, *operands):
        results = self.f(*operands)
        return results if isinstance(results, tuple) else (results,)

    def lines(self, count):
        return self.body.replace("%r:N", f"%r:{count}")


def x(*shape, low=-1.0, high=1.0):
    return "f64", shape, low, high


def rnn(xs, h0, w, u):
    def step(h, xt):
        h = jnp.tanh(xt @ w + h @ u)
        return h, h

    last, all_steps = lax.scan(step, h0, xs)
    return last, all_steps


def attention(q, k, v):
    scores = jax.nn.softmax(q @ jnp.swapaxes(k, -1, -2) / jnp.sqrt(q.shape[-1]), -1)
    return scores @ v


def one_example(x, w):
    return jnp.sum(jnp.tanh(x @ w) ** 2)


def while_norm(x):
    return lax.fori_loop(0, 7, lambda i, s: jnp.where(jnp.abs(s).max() < 2.0, s * 1.5 + 0.1, s), x)


def lotka(y, a):
    def slope(s):
        return jnp.stack([a[0] * s[0] - a[1] * s[0] * s[1], a[2] * s[0] * s[1] - a[3] * s[1]])

    def step(s, _):
        k1 = slope(s)
        k2 = slope(s + 0.05 * k1)
        return s + 0.1 * k2, s

    return lax.scan(step, y, None, length=20)


ONE_EXAMPLE = """  func @one(%x: f64[3], %w: f64[3, 4]) {
    %h = linear %x, %w
    %t = tanh %h
    %q = mul %t, %t
    %l = reduce_sum %q
    return %l
  }
  func @slope(%x: f64[3], %w: f64[3, 4]) {
    %l, %g = value_and_grad @one(%x, %w) wrt %w
    return %g
  }
  func @directional(%x: f64[3], %t: f64[3], %w: f64[3, 4]) {
    %l, %g = value_and_grad @one(%x, %w) wrt %x
    %zero = constant f64[3, 4] = 0.0
    return %g
  }
  func @layer(%x: f64[3], %w: f64[3, 4]) {
    %h = linear %x, %w
    %t = sin %h
    return %t
  }
"""

SCAN = """%r:2 = for %xt in %a0 carry (%h = %a1) {
      %u = matmul %xt, %a2
      %v = matmul %h, %a3
      %s = add %u, %v
      %t = tanh %s
      yield %t stack %t
    }"""

FIT = """  func @slopes(%s: f64[2], %a: f64[4]) {
    %p, %q = split %s, parts = 2
    %a1, %a2, %a3, %a4 = split %a, parts = 4
    %pq = mul %p, %q
    %grow = mul %a1, %p
    %eaten = mul %a2, %pq
    %dp = sub %grow, %eaten
    %fed = mul %a3, %pq
    %die = mul %a4, %q
    %dq = sub %fed, %die
    %d = concat %dp, %dq
    return %d
  }
"""


def programs():
    c = [
        Program("a recurrent network by scan", [x(5, 2, 3), x(2, 4), x(3, 4), x(4, 4)], SCAN, rnn),
        Program("a scan in reverse", [x(5, 2, 3), x(2, 4), x(3, 4), x(4, 4)], SCAN.replace("%a0 carry", "%a0, reverse carry"),
                lambda xs, h, w, u: (lambda last, every: (last, every[::-1]))(*rnn(xs[::-1], h, w, u))),
        Program("a scan that keeps the square root of its steps", [x(9, 2, 3), x(2, 4), x(3, 4), x(4, 4)],
                SCAN.replace("%a0 carry", "%a0, checkpoint carry"), rnn),
        Program("a while with a limit", [x(4, low=0.5)], """%limit = constant f64[] = 2.0
    %more = constant f64[] = 0.1
    %half = constant f64[] = 1.5
    %r:1 = while limit = 7 carry (%s = %a0) {
      %m = abs %s
      %top = reduce_max %m
      %go = compare lt, %top, %limit
      yield %go
    } do {
      %g = mul %s, %half
      %n = add %g, %more
      yield %n
    }""", while_norm),
        Program("an ordinary differential equation", [x(2, low=0.5), x(4, low=0.5)], """%step = constant f64[] = 0.1
    %half = constant f64[] = 0.05
    %r:2 = for %i in 20 carry (%s = %a0) {
      %k1 = call @slopes(%s, %a1)
      %d1 = mul %k1, %half
      %mid = add %s, %d1
      %k2 = call @slopes(%mid, %a1)
      %d2 = mul %k2, %step
      %next = add %s, %d2
      yield %next stack %s
    }""", lotka, FIT),
        Program("attention", [x(2, 3, 5, 4), x(2, 3, 6, 4), x(2, 3, 6, 4)], """%kt = transpose %a1
    %p = matmul %a0, %kt
    %half = constant f64[] = 0.5
    %s = mul %p, %half
    %w = softmax %s
    %r:1 = matmul %w, %a2""", attention),
        Program("a branch by value", [x(3), x(3)], """%zero = constant f64[] = 0.0
    %m = reduce_sum %a0
    %p = compare gt, %m, %zero
    %r:1 = if %p {
      %y = mul %a0, %a1
      yield %y
    } else {
      %y = sub %a0, %a1
      %z = sin %y
      yield %z
    }""", lambda a, b: lax.cond(a.sum() > 0, lambda: a * b, lambda: jnp.sin(a - b))),
        Program("gradients of single examples", [x(5, 3), x(3, 4)], "%r:1 = vmap @slope(%a0, %a1) over %a0",
                lambda xs, w: jax.vmap(jax.grad(one_example, 1), (0, None))(xs, w), ONE_EXAMPLE),
        Program("a jacobian", [x(3), x(3, 4)], "%r:1 = jacobian @layer(%a0, %a1) wrt %a0",
                lambda a, w: jax.jacobian(lambda a: jnp.sin(a @ w))(a), ONE_EXAMPLE),
        Program("a jacobian by a matrix", [x(3), x(3, 4)], "%r:1 = jacobian @layer(%a0, %a1) wrt %a1",
                lambda a, w: jax.jacobian(lambda w: jnp.sin(a @ w))(w), ONE_EXAMPLE),
        Program("a hessian", [x(3), x(3, 4)], "%r:1 = hessian @one(%a0, %a1) wrt %a0",
                lambda a, w: jax.hessian(one_example)(a, w), ONE_EXAMPLE),
        Program("the blocks of a hessian", [x(3), x(3, 4)], "%r:4 = hessian @one(%a0, %a1)",
                lambda a, w: tuple(b for row in jax.hessian(one_example, (0, 1))(a, w) for b in row), ONE_EXAMPLE),
        Program("a hessian times a vector", [x(3), x(3, 4), x(3)], """%zero = constant f64[3, 4] = 0.0
    %r:2 = jvp @gradient_of_x(%a0, %a1, %a2, %zero)""",
                lambda a, w, t: jax.jvp(lambda a: jax.grad(one_example)(a, w), (a,), (t,)),
                ONE_EXAMPLE + """  func @gradient_of_x(%x: f64[3], %w: f64[3, 4]) {
    %l, %g = value_and_grad @one(%x, %w) wrt %x
    return %g
  }
"""),
        Program("an embedding and its loss", [("i32", (6,), 0, 8), x(8, 4), x(4, 5), ("i32", (6,), 0, 5)], """%e = embedding %a1, %a0
    %y = linear %e, %a2
    %r:1 = cross_entropy %y, %a3""",
                lambda ids, table, w, labels: -jnp.take_along_axis(
                    jax.nn.log_softmax(table[ids] @ w, -1), labels[:, None], 1).mean()),
        Program("a convolutional network", [x(2, 8, 8, 1), x(3, 3, 1, 4), x(4), x(64, 3)], """%c = conv %a0, %a1, padding = same
    %d = add %c, %a2
    %e = relu %d
    %p = max_pool %e, window = [2, 2]
    %f = reshape %p, to = f64[2, 64]
    %r:1 = linear %f, %a3""",
                lambda im, f, b, w: lax.reduce_window(jax.nn.relu(lax.conv_general_dilated(
                    im, f, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b), -jnp.inf, lax.max,
                    (1, 2, 2, 1), (1, 2, 2, 1), "VALID").reshape(2, 64) @ w),
    ]
    return c

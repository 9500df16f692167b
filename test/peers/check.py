"""`./dev peers-check`: values and gradients of a corpus of functions, compiled by Gradus, against JAX's.

The corpus: every sample of every op (`gradus-check-ops --verbose` lists them), and the programs of programs.py. All in f64
where the op has no narrow numbers of its own.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

os.environ["JAX_ENABLE_X64"] = "1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

import jax_ops
import programs

OPERAND = re.compile(r"(?:^|[^=]) ((?:bf16|[fi](?:1|8|16|32|64))\[([^\]]*)\])(?: in (-?[0-9.]*[0-9])\.\.(-?[0-9.]*[0-9]))?")


def shape_of(dims):
    return tuple(int(d) for d in dims.split(",") if d.strip())


def value_of(text):
    """An attribute's value."""
    text = text.strip()
    shape = re.fullmatch(r"(bf16|[fi](?:1|8|16|32|64))\[(.*)\]", text)
    if shape:
        return shape[1], shape_of(shape[2])
    if text.startswith("["):
        return [int(n) for n in text[1:-1].split(",")]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text.strip('"')


class Sample:
    """One op on operands of given shapes: the text of a function, and the same in JAX."""

    before = ""  # functions that the body calls

    def __init__(self, text):
        self.text, self.operands = text, []
        self.name = text.split(" ")[0]

        def take(match):
            low, high = (-1.0, 1.0) if match[3] is None else (float(match[3]), float(match[4]))
            element = match[1].split("[")[0]
            self.operands.append((element, shape_of(match[2]), *((0, 2) if element == "i1" else (low, high))))
            return match[0][: match[0].index(match[1])] + f"%a{len(self.operands) - 1}"

        self.body = OPERAND.sub(take, text)
        rest = self.body.split(" ", 1)[1] if " " in self.body else ""
        self.attributes = {}
        for part in re.split(r", (?![^\[\"]*[\]\"])", rest):
            if part.startswith("%") or not part:
                continue
            if " = " in part:
                key, value = part.split(" = ", 1)
                self.attributes[key.strip()] = value_of(value)
            else:
                positional = re.match(r'"[^"]*"|[a-z]+$', part)
                self.attributes["keepdims" if part == "keepdims" else "0"] = (
                    positional[0].strip('"') if positional else part)

    def narrow(self):
        return any(e in ("bf16", "f16") for e, *_ in self.operands) or "f16" in self.text

    def jax(self, *operands):
        results = jax_ops.OPS[self.name](list(operands), self.attributes)
        return results if isinstance(results, tuple) else (results,)

    def lines(self, count):
        """The body, with casts from and to what is in files; it defines %r of `count` results."""
        lines, body = [], self.body
        for i, (element, *_) in enumerate(self.operands):
            if in_files(element) != element:
                lines.append(f"%b{i} = cast %a{i}, to = {element}")
                body = body.replace(f"%a{i}", f"%b{i}")
        return "\n    ".join(lines + [f"%r:{count} = {body}"])


def declared(operands):
    return ", ".join(f"%a{i}: {in_files(e)}[{', '.join(map(str, s))}]" for i, (e, s, *_) in enumerate(operands))


def in_files(element):
    """bf16 is no type of .npy: it is read and written as f32."""
    return "f32" if element == "bf16" else element


def widened(text):
    return text if "f16" in text else text.replace("f32", "f64")


def loss_of(results):
    """The sum of the squares of all float results: the text of the programs says the same."""
    total = 0.0
    for r in results:
        if jnp.issubdtype(r.dtype, jnp.floating):
            r = r.astype(jnp.float64)
            total = total + (r * r).sum()
    return total


def is_float(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def write_function(number, body, arguments, results, floats):
    """@value{n}: the results, and @gradient{n}: the gradient of the sum of their squares by the float operands."""
    returned, casts = [], []
    for i, r in enumerate(results):
        name = f"%r#{i}"
        if r.dtype == jnp.bfloat16:
            name = f"%f.{i}"
            casts.append(f"    {name} = cast %r#{i}, to = f32")
        returned.append(f'{name} as "r{i}"')
    lines = [f"  func @value{number}({arguments}) {{", f"    {body}", *casts, "    return " + ", ".join(returned), "  }"]
    wanted = [i for i, r in enumerate(results) if is_float(r)]
    if not wanted or not floats:
        return "\n".join(lines), False
    lines += [f"  func @loss{number}({arguments}) {{", f"    {body}"]
    for k, i in enumerate(wanted):
        wide = f"%r#{i}"
        if results[i].dtype != jnp.float64:
            wide = f"%w.{k}"
            lines.append(f"    {wide} = cast %r#{i}, to = f64")
        lines += [f"    %q.{k} = mul {wide}, {wide}", f"    %s.{k} = reduce_sum %q.{k}"]
        lines += [f"    %t.{k} = add %t.{k - 1}, %s.{k}"] if k else [
            "    %z.0 = constant f64[] = 0.0", "    %t.0 = add %z.0, %s.0"]
    names = ", ".join(re.findall(r"%a\d+", arguments))
    lines += [f"    return %t.{len(wanted) - 1}", "  }", f"  func @gradient{number}({arguments}) {{",
              f"    %l, %g:{len(floats)} = value_and_grad @loss{number}({names}) wrt "
              + ", ".join(f"%a{i}" for i in floats),
              "    return " + ", ".join(f'%g#{k} as "g{k}"' for k in range(len(floats))), "  }"]
    return "\n".join(lines), True


def run(gradus, model, function, inputs, count, prefix, folder):
    """The results of a function, compiled for this processor."""
    command = [gradus, "run", model, f"--function={function}", "--threads=1"]
    for name, array in inputs.items():
        path = os.path.join(folder, name + ".npy")
        np.save(path, array)
        command += ["--input", f"{name}=@{path}"]
    outputs = [os.path.join(folder, f"out{i}.npy") for i in range(count)]
    names = [f"{prefix}{i}" for i in range(count)]
    for name, path in zip(names, outputs):
        command += ["--output", f"{name}=@{path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return [np.load(path) for path in outputs]


def difference(want, got):
    want, got = np.asarray(want, np.float64), np.asarray(got, np.float64)
    if want.shape != got.shape:
        return float("inf")
    if want.size == 0:
        return 0.0
    return float(np.max(np.abs(want - got) / (1 + np.abs(want))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--only", default="", help="only functions whose text contains this")
    options = parser.parse_args()
    gradus = os.path.join(options.build, "bin", "gradus")
    listed = subprocess.run([os.path.join(options.build, "bin", "gradus-check-ops"), "--verbose"],
                            capture_output=True, text=True, check=True).stdout
    samples = [line[len("ok    1.0e-10  "):].strip() for line in listed.splitlines() if line.startswith("ok")]
    corpus = [Sample(widened(s)) for s in samples if s.split(" ")[0] not in jax_ops.RANDOM] + programs.programs()
    corpus = [f for f in corpus if options.only in f.text]
    unknown = {f.name for f in corpus if isinstance(f, Sample)} - set(jax_ops.OPS)
    if unknown:
        sys.exit(f"error: no JAX version of: {', '.join(sorted(unknown))}; add it to test/peers/jax_ops.py")

    random = np.random.default_rng(1)
    agreed, wrong, worst, gradients = 0, 0, 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number, function in enumerate(corpus):
            arrays = []
            for element, shape, low, high in function.operands:
                numbers = random.uniform(low, high, shape)
                dtype = jax_ops.DTYPES[in_files(element)]
                arrays.append(jnp.asarray(numbers if element.startswith(("f", "b")) else np.floor(numbers)).astype(dtype))
            elements = [jax_ops.DTYPES[element] for element, *_ in function.operands]

            def f(*arguments):
                return function.jax(*[a.astype(e) for a, e in zip(arguments, elements)])

            floats = [i for i, a in enumerate(arrays) if is_float(a)]
            want = f(*arrays)
            text, differentiable = write_function(
                number, function.lines(len(want)), declared(function.operands), want, floats)
            model = os.path.join(folder, "model.mlir")
            with open(model, "w") as file:
                file.write("graph.model @corpus {\n" + function.before + text + "\n}\n")
            inputs = {f"a{i}": np.asarray(a) for i, a in enumerate(arrays)}
            tolerance = 2e-2 if function.narrow() else 1e-9
            try:
                got = run(gradus, model, f"value{number}", inputs, len(want), "r", folder)
                error = max((difference(w, g) for w, g in zip(want, got)), default=0.0)
                if differentiable:
                    gradients += 1
                    slopes = jax.grad(lambda *a: loss_of(f(*a)), argnums=tuple(floats), allow_int=True)(*arrays)
                    got = run(gradus, model, f"gradient{number}", inputs, len(floats), "g", folder)
                    error = max([error] + [difference(w, g) for w, g in zip(slopes, got)])
            except RuntimeError as e:
                wrong += 1
                print(f"WRONG {function.text}\n{e}")
                continue
            if not error <= tolerance:
                wrong += 1
                print(f"WRONG ({error:.1e}) {function.text}")
                continue
            agreed += 1
            if not function.narrow():
                worst = max(worst, error)
    print(f"{agreed} functions agree with JAX {jax.__version__}, {gradients} of the corpus with gradients, "
          f"worst relative error {worst:.1e} in f64; {wrong} wrong")
    sys.exit(1 if wrong else 0)


main()

"""`./dev bench`: Gradus and its peers on the same work, interleaved, each in a process of its own.

Rows of the table are cases; a row's ratio is the fastest peer's median time divided by ours. Every contender's result is
checked before it is timed: products against f64, losses against ours. With --quick the ratios are printed; without, the
table and the plot go to docs/performance.md as well.
"""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import time

import cases as work
import report

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
FOLDER = os.path.join(ROOT, "build", "bench")
GRADUS = os.path.join(ROOT, "build", "bin", "gradus")
# Environment: what pip installs there. NumPy's OpenBLAS comes with the first.
ENVIRONMENTS = {
    "ort": ["numpy", "onnxruntime"],
    "jax": ["numpy", "jax"],
    "openvino": ["numpy", "openvino"],
    "iree": ["numpy", "iree-base-compiler", "iree-base-runtime"],
    "tf": ["numpy", "tensorflow-cpu"],
    "torch": ["numpy", "torch", "onnx", "onnxscript"],
}
KINDS = ("matmul", "narrow", "attention", "conv", "train", "infer")
# Contender: its environment, and the kinds of cases that it takes part in.
CONTENDERS = {
    "gradus": ("ort", KINDS),
    "openblas": ("ort", ("matmul",)),
    "pytorch:eager": ("torch", ("matmul", "narrow", "attention", "conv")),
    "pytorch:compile": ("torch", ("train", "infer")),
    "xla": ("jax", ("attention", "train", "infer")),
    "tf:function": ("tf", ("train",)),
    "tf:xla": ("tf", ("train",)),
    "iree": ("iree", ("train", "infer")),
    "onnx:ort": ("ort", ("infer",)),
    "onnx:openvino": ("openvino", ("infer",)),
}
NAMES = {
    "openblas": "OpenBLAS", "pytorch:eager": "PyTorch (MKL, oneDNN)", "pytorch:compile": "torch.compile", "xla": "JAX",
    "tf:function": "TensorFlow", "tf:xla": "TensorFlow XLA", "iree": "IREE", "onnx:ort": "ONNX Runtime", "onnx:openvino": "OpenVINO",
}  # fmt: skip


# With --quick, those are left out that compile for minutes and were not faster.
NOT_QUICK = {"train": ("iree",), "infer": ("pytorch:compile", "xla", "iree")}


def python_of(environment):
    return os.path.join(arguments.environments, environment, "bin", "python")


def set_up():
    """Virtual environments for the peers. What cannot be installed is left out, and said."""
    missing = set()
    for name, packages in ENVIRONMENTS.items():
        folder = os.path.join(arguments.environments, name)
        stamp = os.path.join(folder, "complete")
        if os.path.exists(stamp):
            continue
        print(f"installing {' '.join(packages)}", flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", folder]).returncode == 0
        pip = [os.path.join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", *packages]
        if made and subprocess.run(pip).returncode == 0:
            open(stamp, "w").close()
        else:
            print(f"note: no environment '{name}'; its peers are left out", flush=True)
            missing.add(name)
    return missing


def export(environment, script):
    """Writes the models for the peers that read files."""
    log = os.path.join(FOLDER, script.replace(".py", ".log"))
    with open(log, "w") as file:
        if subprocess.run([python_of(environment), os.path.join(HERE, script), FOLDER], stdout=file, stderr=file).returncode:
            print(f"note: {script} failed; see {log}")


class Contender:
    def __init__(self, name, threads):
        self.name, self.log = name, open(os.path.join(FOLDER, name.replace(":", "-") + ".log"), "w")
        command = [python_of(CONTENDERS[name][0]), os.path.join(HERE, "worker.py"), name, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def ask(self, **request):
        """The answer, or None if the process is gone."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            # Libraries print to standard output as well.
            while line and not line.startswith("{"):
                line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            print(f"note: {self.name} failed; see {self.log.name}", flush=True)
            return None
        return json.loads(line)

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it is gone already
        self.process.wait()


def check(case, name, answer, ours):
    """Says where a contender does not compute what it should; such a one is not timed."""
    if answer.get("error", 0) > 1e-2:
        print(f"wrong: {name} on {case}: off by {answer['error']}")
        return False
    if "losses" in answer and "losses" in ours:
        worst = max(abs(a - b) for a, b in zip(answer["losses"], ours["losses"]))
        if worst > 1e-4:
            print(f"wrong: {name} on {case}: its losses differ from ours by {worst:.1e}")
            return False
    if "sample" in answer and "sample" in ours:
        worst = max(abs(a - b) for a, b in zip(answer["sample"], ours["sample"]))
        if worst > 1e-3:
            print(f"wrong: {name} on {case}: its results differ from ours by {worst:.1e}")
            return False
    return True


def measure(case, contenders):
    """{contender: (best, median)} over interleaved rounds."""
    live, ours = {}, {}
    for name, contender in contenders.items():
        answer = contender.ask(do="prepare", case=case)
        if answer is None or answer.get("skip"):
            continue
        if name == "gradus":
            ours = answer
        if check(case, name, answer, ours):
            live[name] = contender
            versions[name] = answer["version"]
    times = {name: [] for name in live}
    for _ in range(arguments.rounds):
        for name, contender in live.items():
            if answer := contender.ask(do="time", case=case, seconds=arguments.seconds):
                times[name].append(answer)
    for contender in live.values():
        contender.ask(do="drop", case=case)
    median = lambda xs: sorted(xs)[len(xs) // 2]
    return {
        name: (min(t["best"] for t in ts), median([t["median"] for t in ts])) for name, ts in times.items() if ts
    }


def whole_process(command, question=""):
    """The best of a few runs of a process: seconds, and peak megabytes."""
    best = None
    for _ in range(min(arguments.rounds, 3)):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        process.stdin.write(question)
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            return None
        best = min(best or (1e9, 0), (time.perf_counter() - start, usage.ru_maxrss / 1024))
    return best


def first_steps(names):
    """{model: {contender: (seconds, megabytes)}} from nothing to the end of the first training step, on two threads."""
    found = {}
    for model, (text, size, _, _) in work.TRAININGS.items():
        if model not in arguments.models.split(","):
            continue
        flags = [f"--dims=batch={size}", "--function=fit.step", "--first", "--threads=2"]
        found[model] = {"gradus": whole_process([GRADUS, "bench", os.path.join(ROOT, "docs", "examples", text), *flags])}
        # PyTorch's compiler takes half a minute.
        for name in () if arguments.quick else (n for n in ("xla", "tf:function") if n in names):
            command = [python_of(CONTENDERS[name][0]), os.path.join(HERE, "worker.py"), name, "2"]
            found[model][name] = whole_process(command, json.dumps({"do": "first", "case": ["train", model]}))
    return found


def quadratic():
    """Nanoseconds of one call of the gradient of y = a^2 x + b x + c."""
    command = [GRADUS, "bench", os.path.join(ROOT, "docs/examples/quadratic.mlir"), "--function=gradient", "--runs=50", "--threads=1"]
    found = re.search(r"best ([0-9.]+) (\w+)", subprocess.check_output(command, text=True))
    return float(found.group(1)) * {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1}[found.group(2)]


def cases():
    kinds = arguments.only.split(",")
    if "matmul" in kinds:
        yield from (["matmul", shape] for shape in work.MATMULS)
    if "narrow" in kinds:
        yield from (["narrow", what] for what in work.NARROWS)
    if "attention" in kinds:
        yield from (["attention", what] for what in work.ATTENTIONS)
    if "conv" in kinds:
        yield from (["conv", what + part] for what in work.CONVOLUTIONS for part in ("", ": image", ": filter"))
    if "train" in kinds:
        yield from (["train", model] for model in work.TRAININGS if model in arguments.models.split(","))
    if "infer" in kinds:
        yield from (["infer", model, size] for model, size in work.INFERENCES if model in arguments.models.split(","))


def label(case):
    kind = "matmul" if case[0] == "narrow" else case[0]
    return f"{kind} {case[1]}" + (f" batch {case[2]}" if len(case) > 2 else "")


def main():
    os.makedirs(FOLDER, exist_ok=True)
    missing = set_up()
    names = [n for n, (environment, _) in CONTENDERS.items() if environment not in missing]
    if "torch" not in missing and "infer" in arguments.only:
        export("torch", "export_onnx.py")
    if not missing & {"jax", "iree"} and arguments.only != "matmul" and not arguments.quick:
        export("jax", "export_stablehlo.py")
    rows = []
    for threads in map(int, arguments.threads.split(",")):
        for kind in KINDS:
            todo = [c for c in cases() if c[0] == kind]
            taking_part = [n for n in names if kind in CONTENDERS[n][1]] if todo else []
            if arguments.quick:
                taking_part = [n for n in taking_part if n not in NOT_QUICK.get(kind, ())]
            contenders = {n: Contender(n, threads) for n in taking_part}
            for case in todo:
                times = measure(case, contenders)
                peers = {n: t for n, t in times.items() if n != "gradus"}
                if "gradus" not in times or not peers:
                    continue
                best = min(peers, key=lambda n: peers[n][1])
                ratio = peers[best][1] / times["gradus"][1]
                print(f"ratio {label(case)} threads={threads} {NAMES[best]} {ratio:.2f}", flush=True)
                rows.append({"case": label(case), "threads": threads, "times": times, "peer": best, "ratio": ratio})
            for contender in contenders.values():
                contender.close()
    single = {"quadratic_ns": quadratic(), "first_step": first_steps(names)}
    print(f"gradient of the quadratic: {single['quadratic_ns']:.1f} ns a call")
    for model, times in single["first_step"].items():
        for name, result in times.items():
            if result:
                print(f"to the end of the first step: {model} {NAMES.get(name, 'Gradus')} {result[0]:.2f} s, {result[1]:.0f} MB")
    machine = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    facts = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{machine.group(1) if machine else platform.machine()}, {os.cpu_count()} processors",
        "versions": versions,
        "rounds": arguments.rounds,
    }
    with open(os.path.join(FOLDER, "results.json"), "w") as file:
        json.dump({"facts": facts, "rows": rows, "single": single}, file, indent=1)
    if not arguments.quick:
        report.write(os.path.join(ROOT, "docs"), facts, rows, single, NAMES)
        print("docs/performance.md")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="shorter rounds; nothing is written to docs/")
parser.add_argument("--only", help=f"kinds of work: {','.join(KINDS)} (all; with --quick no conv)")
parser.add_argument("--models", default="mlp,cnn,gpt,separable,resnet,mobile,bert")
parser.add_argument("--threads", default="1,2")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, help="time of one contender in one round")
parser.add_argument("--environments", default=os.path.join(ROOT, "build", "peers"), help="where the peers are installed")
arguments = parser.parse_args()
arguments.only = arguments.only or ",".join(k for k in KINDS if not (arguments.quick and k == "conv"))
arguments.seconds = arguments.seconds or (0.15 if arguments.quick else 1.0)
versions = {}
main()

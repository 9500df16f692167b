"""write_report.py BENCH FOLDER: the report of two made-up measurements."""

import sys

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import report  # noqa: E402

rows = [
    {"case": "matmul 2x2x2", "threads": 1, "peer": "openblas", "ratio": 4.0,
     "times": {"gradus": (1e-3, 2e-3), "openblas": (3e-3, 8e-3)}},
    {"case": "train mlp", "threads": 2, "peer": "xla", "ratio": 1.0, "times": {"gradus": (2e-6, 2e-6), "xla": (2e-6, 2e-6)}},
]  # fmt: skip
facts = {"date": "today", "machine": "a machine", "versions": {"xla": "JAX 1"}, "rounds": 3}
report.write(sys.argv[2], facts, rows, {"quadratic_ns": 4.0, "first_step": {"mlp": {"gradus": (0.25, 40), "xla": (2, 400)}}}, {"openblas": "OpenBLAS", "xla": "JAX"})

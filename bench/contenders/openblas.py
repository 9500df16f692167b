"""OpenBLAS, as NumPy brings it along."""

import numpy as np

import workloads


def setup(threads, mode):
    pass


def version():
    return "NumPy " + np.__version__


def load(case):
    if case[0] != "matmul":
        raise NotImplementedError
    a, b, out = workloads.matrices(case[1])

    def call():
        np.matmul(a, b, out=out)

    call.result = lambda: out
    return call

"""ONNX Runtime (mode ort) and OpenVINO in f32 (mode openvino), on what export_onnx.py wrote."""

import os

import numpy as np

import workloads

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "bench")


def setup(threads, mode):
    global THREADS, MODE, engine
    THREADS, MODE = threads, mode
    if mode == "ort":
        import onnxruntime as engine
    else:
        import openvino as engine


def version():
    return ("ONNX Runtime " if MODE == "ort" else "OpenVINO ") + engine.__version__.split("-")[0]


def load(case):
    if case[0] != "infer":
        raise NotImplementedError
    path = os.path.join(FOLDER, f"{case[1]}-{case[2]}.onnx")
    x = workloads.batch(case[1], case[2])[0]
    if case[1] in ("cnn", "resnet", "mobile"):
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    if case[1] in ("gpt", "bert"):
        x = x.astype(np.int64)
    if MODE == "ort":
        options = engine.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = THREADS, 1, 3
        session = engine.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def call():
            return session.run(None, {name: x})[0]

    else:
        settings = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = engine.Core().compile_model(path, "CPU", settings).create_infer_request()

        def call():
            return request.infer([x], share_inputs=True, share_outputs=True)[0]

    call.result = lambda: np.array(call())
    return call

"""Tests: shell lines (RUN:) on models, checked by FileCheck."""

import os
import shutil

import lit.formats

config.name = "gradus"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs"]
config.test_source_root = os.path.dirname(__file__)

build = os.path.abspath(lit_config.params.get("build", os.path.join(config.test_source_root, "..", "build")))
config.test_exec_root = os.path.join(build, "test")
llvm = "/usr/lib/llvm-22/bin"
config.environment["PATH"] = os.pathsep.join(
    [os.path.join(build, "bin"), llvm, os.environ["PATH"], "/usr/local/cuda/bin"]
)
config.environment["FILECHECK_OPTS"] = "--dump-input=fail"
root = os.path.dirname(config.test_source_root)
config.substitutions.append(("%examples", os.path.join(root, "docs", "examples")))
config.substitutions.append(("%root", root))
config.substitutions.append(("%build", build))
config.substitutions.append(("%inputs", os.path.join(config.test_source_root, "Inputs")))
config.substitutions.append(("%python", "python3"))
# The driver of a GPU that there is not: kernels run in the PTX interpreter.
driver = os.path.join(build, "lib", "libgradus-ptx-driver.so")
config.substitutions.append(("%interpreted", "env GRADUS_CUDA_DRIVER=" + driver))

for tool in ("ptxas", "nvdisasm"):
    if shutil.which(tool, path=config.environment["PATH"]):
        config.available_features.add(tool)
assembler = shutil.which("ptxas", path=config.environment["PATH"])
if assembler:
    toolkit = os.path.dirname(os.path.dirname(os.path.realpath(assembler)))
    library = os.path.join(toolkit, "lib64", "libnvJitLink.so")
    if os.path.exists(library):
        config.available_features.add("nvjitlink")
        config.substitutions.append(("%nvjitlink", library))
with open("/proc/cpuinfo", encoding="utf-8") as cpu:
    flags = cpu.read()
for feature in ("avx2", "avx512f"):
    if feature in flags:
        config.available_features.add(feature)

#!/usr/bin/env python3
"""A network whose products tensor cores compute, against the same in f32 on the CPU: output, gradients, a step.

    tensor_cores_model_test.py NETC FOLDER PRECISION ... [--emulator EMULATOR_FOLDER] [--only-build | --prebuilt]

Builds tensor_cores.net with CUDA's compiler ($CUDA_HOME, or the PATH), in FOLDER/PRECISION/tensor_cores, and runs it, on the
emulator where one is named, whose log also says which kernels ran, else on a GPU. What is computed must differ from f32 as
much as the rounding of factors makes it, and no more: Halide's kernels in f32 would not differ.
"""
import argparse
import math
import os
import pathlib
import random
import re
import struct
import subprocess
import sys

from tensor_files import read_npy, read_safetensors, write_npy, write_safetensors

MODEL = pathlib.Path(__file__).parent / "tensor_cores.net"
BATCH = 5
# Of whole tensors, relative: a product of rounded factors is off by less than 2^-11 or 2^-8, and layers add up.
MOST_OFF = {"tf32": 4e-3, "bf16": 3e-2}
LEAST_OFF = {"tf32": 1e-4, "bf16": 1e-3}
# Forward and both gradients of four convolutions; of the linear layer not the gradient that sums ten channels alone.
KERNELS = 14


def run(command, **environment):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                            env=os.environ | {key: str(value) for key, value in environment.items()})
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def packed(values, kind="f"):
    return struct.pack(f"<{len(values)}{kind}", *values)


def draw_weights(netc, numbers):
    """Numbers for all that the model reads: variances and scales around 1, weights by the size of their sums."""
    text = run([netc, "dump", "--after=elaborate", MODEL]).stdout
    tensors = {}
    for name, extents in re.findall(r"([\w.]+\.\w+):f32\[([\d,]+)\]", text):
        shape = [int(extent) for extent in extents.split(",")]
        sums = math.prod(shape[1:])
        around = 1 if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")) else 0
        values = [around + numbers.uniform(-1, 1) * (1 / math.sqrt(sums) if sums > 1 else 0.5)
                  for _ in range(math.prod(shape))]
        tensors[name] = (shape, packed(values))
    return tensors


def difference(values, expected):
    size = math.sqrt(sum(e * e for e in expected))
    return math.sqrt(sum((v - e)**2 for v, e in zip(values, expected, strict=True))) / max(size, 1e-6)


def compute(folder, device, **environment):
    """Output, gradients, and parameters after steps."""
    program, stem = folder / "tensor_cores", folder / device
    data = folder.parents[1] / "tensor_cores"
    inputs = ["--input", f"image={data / 'image.npy'}", "--label", data / "label.npy", "--weights",
              data / "weights.safetensors"]
    run([program, "run", *inputs, "--device", device, "--mode", "train", "--output", f"{stem}.npy", "--gradients",
         f"{stem}.gradients"], **environment)
    run([program, "run", *inputs, "--device", device, "--steps", "2", "--save", f"{stem}.saved"], **environment)
    results = {"output": read_npy(pathlib.Path(f"{stem}.npy"))}
    results |= {f"gradient of {k}": v for k, v in read_safetensors(pathlib.Path(f"{stem}.gradients")).items()}
    return results | {f"{k} after steps": v for k, v in read_safetensors(pathlib.Path(f"{stem}.saved")).items()}


def folder_of(folder, precision):
    """Of the model's program."""
    return folder / precision / "tensor_cores"


def build(netc, folder, precisions):
    """Programs, and what they are given. Beside kernels for CUDA that multiply TF32, those for the CPU multiply f32."""
    for precision in precisions:
        run([netc, "build", "--native", "--target", "cuda", "--precision", precision, MODEL, "-o",
             folder_of(folder, precision)])
    data = folder / "tensor_cores"
    data.mkdir(parents=True, exist_ok=True)
    numbers = random.Random(1)
    write_npy(data / "image.npy", "<f4", (BATCH, 3, 8, 8), packed([numbers.uniform(-1, 1) for _ in range(BATCH * 3 * 64)]))
    write_npy(data / "label.npy", "<i4", (BATCH,), packed([numbers.randrange(10) for _ in range(BATCH)], "i"))
    write_safetensors(data / "weights.safetensors", draw_weights(netc, numbers))


def count_kernels(log, precision):
    """Returns what is wrong with the kernels that the emulator ran, and how many these were, in words."""
    launched = set(re.findall(r"^launch (\w+_" + precision + r"_\w+)", log.read_text(), re.MULTILINE))
    wrong = [f"{precision}: {len(launched)} kernels for tensor cores ran, not {KERNELS}: {sorted(launched)}"]
    return wrong if len(launched) != KERNELS else [], f"{len(launched)} kernels on tensor cores, "


def check(emulator, built, precision, expected):
    """Returns what is wrong, in words."""
    log = built / "log"
    faults, counted = [], ""
    largest = 0
    environment = {"LD_LIBRARY_PATH": emulator, "NETC_EMULATOR_LOG": log} if emulator else {}
    for name, values in compute(built, "cuda", **environment).items():
        off = difference(values, expected[name])
        largest = max(largest, off)
        if not off <= MOST_OFF[precision]:
            faults.append(f"{precision}: {name} is off by {off:.1e}")
    if largest < LEAST_OFF[precision]:
        faults.append(f"{precision}: nothing is off by more than {largest:.1e}: these are no products of {precision}")
    if emulator:
        wrong, counted = count_kernels(log, precision)
        faults += wrong
    print(f"cuda: a model in {precision}: {counted}off by at most {largest:.1e}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("netc")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("precisions", nargs="+", choices=MOST_OFF)
    parser.add_argument("--emulator")
    parser.add_argument("--only-build", action="store_true")
    parser.add_argument("--prebuilt", action="store_true")
    options = parser.parse_args()
    if not options.prebuilt:
        build(options.netc, options.folder, sorted({"tf32", *options.precisions}))
    if options.only_build:
        return 0
    expected = compute(folder_of(options.folder, "tf32"), "cpu")
    faults = []
    for precision in options.precisions:
        faults += check(options.emulator, folder_of(options.folder, precision), precision, expected)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

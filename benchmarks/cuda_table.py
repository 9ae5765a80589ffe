#!/usr/bin/env python3
"""Writes docs/cuda.md: what NVIDIA's assembler makes of the seed models' kernels, and what a step asks of a GPU.

    scripts/cuda-table [MODEL ...]      compiles and checks these models (default: all) first, then writes the page

The figures need no GPU: tests/gpu/ptx_check_model left the assembler's in BUILD/gpu_check/f32/MODEL/ptx.json, `netc summary
--target cuda` knows the others.
"""
import argparse
import json
import pathlib
import subprocess

from gpu_check import program_of
from performance import ROOT, SETTINGS, TITLES

PAGE = ROOT / "docs/cuda.md"
HEAD = """# Kernels for CUDA, checked without a GPU

What can be known before a run, of a training step at the recipe's batch (forward, loss, backward, SGD). Reproduce:
`scripts/cuda-table`, about ten minutes; `scripts/test --all` makes the same checks, `scripts/gpu-check` measures on a GPU.

## What NVIDIA's assembler says

All kernels of a model's program, for training and evaluation, assembled for sm_80 and sm_90. Products are the kernels
of convolutions and linear layers that sum by blocks of threads: the last column is the least share of multiply-adds
among the instructions of their hottest loops. A multiprocessor has 65,536 registers, a block at most 48 KiB of memory.
Kernels with faults spill, have arrays in local memory, or take more than that, or their share is below .6.

| model | kernels | with faults | spills | in local memory | registers of a thread | of a block | shared memory | products | least share |
|---|---|---|---|---|---|---|---|---|---|
"""
STEP = """
## What a step asks of a GPU

Bytes are those of every operand of every kernel, once. The bounds are the H100's by its data sheet: 67 TFLOP/s in fp32,
495 in TF32, 3.35 TB/s of memory; a step takes at least the larger of its memory's and its products' time.

| model | batch | launches | GFLOP | GB | memory, ms | fp32, ms | TF32, ms | examples/s at most, fp32 | TF32 |
|---|---|---|---|---|---|---|---|---|---|
"""


def summary(options, model):
    command = [options.build / "bin/netc", "summary", ROOT / f"models/{model}.net", *SETTINGS.get(model, []), "--target",
               "cuda", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def checked_row(options, model):
    """"" where the model was not checked yet."""
    file = program_of(options, "f32", model).parent / "ptx.json"
    if not file.exists():
        return ""
    found = json.loads(file.read_text())
    return row(TITLES[model], found["kernels"], found["faults"], found["spills"], found["local"], found["registers"],
               f"{found['block_registers']:,}", f"{found['shared'] / 1024:.1f} KiB", found["held"], f"{found['lowest_share']:.0%}")


def step_row(options, model):
    found = summary(options, model)
    gpu, batch = found["gpu"], found["batch"]
    limits = gpu["limits"]
    memory, fp32, tf32 = (limits[f"{name}_seconds"] for name in ("memory", "fp32", "tf32"))
    return row(TITLES[model], batch, gpu["launches"], f"{gpu['flops'] / 1e9:,.1f}", f"{gpu['bytes'] / 1e9:.2f}",
               f"{memory * 1e3:.2f}", f"{fp32 * 1e3:.2f}", f"{tf32 * 1e3:.2f}", f"{batch / max(memory, fp32):,.0f}",
               f"{batch / max(memory, tf32):,.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="the build folder")
    options = parser.parse_args()
    PAGE.write_text(HEAD + "".join(checked_row(options, model) for model in TITLES) + STEP +
                    "".join(step_row(options, model) for model in TITLES))
    print(PAGE)


if __name__ == "__main__":
    main()

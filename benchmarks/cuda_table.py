#!/usr/bin/env python3
"""Writes docs/cuda.md: what NVIDIA's assembler makes of the six models' kernels, and what a step asks of a GPU.

    scripts/cuda-table [MODEL ...]      compiles and checks these models (default: all) first, then writes the page

The figures need no GPU: tests/gpu/ptx_check_model left the assembler's in BUILD/gpu_check/PRECISION/MODEL/ptx.json,
`netc summary --target cuda` knows the others.
"""
import argparse
import itertools
import json
import pathlib

import page
from gpu_check import program_of
from models import ROOT, TITLES, settings_of

PAGE = ROOT / "docs/cuda.md"
INTRO = """\
What can be known before a run, of a training step at the recipe's batch (forward, loss, backward, SGD). Reproduce:
`scripts/cuda-table`, half an hour; `scripts/test --all` makes the same checks, `scripts/gpu-check` measures on a
GPU."""
ASSEMBLER = """\
All kernels of a model's program, for training and evaluation, assembled for sm_80 and sm_90. Products are the kernels
of convolutions and linear layers that sum by blocks of threads: the last column is the least share of multiply-adds
among the instructions of their hottest loops. A multiprocessor has 65,536 registers, a block at most 48 KiB of memory.
Kernels with faults spill, have arrays in local memory, or take more than that, or their share is below .6."""
TENSOR_CORES = """\
With `--precision tf32` or `bf16` tensor cores multiply, in kernels that CUDA's compiler makes of what netc emits. Wide
products have 32 channels or more on both sides; theirs is the least share of such instructions, each of which does the
work of some thousand multiply-adds, in bf16 of twice as many. LeNet's channels are too few for tensor cores."""
STEP = """\
Bytes are those of every operand of every kernel, once. The bounds are the H100's by its data sheet: 67 TFLOP/s in fp32,
495 in TF32, 3.35 TB/s of memory; a step takes at least the larger of its memory's and its products' time."""
FOUND = ("kernels", "with faults", "spills", "in local memory", "registers of a thread", "of a block", "shared memory")


def summary(options, model):
    command = [options.build / "bin/netc", "summary", ROOT / f"models/{model}.net", *settings_of(model)]
    return json.loads(page.output_of([*command, "--target", "cuda", "--json"]))


def checked(options, precision, model):
    """What was found of a model's kernels, as cells; none where it was not checked yet. What floors hold comes last,
    the last floor's first."""
    file = program_of(options, precision, model).parent / "ptx.json"
    if not file.exists():
        return []
    found = json.loads(file.read_text())
    held = [(floor["kernels"], f"{floor['lowest_share']:.0%}") for floor in reversed(found["floors"].values())]
    return [found["kernels"], found["faults"], found["spills"], found["local"], found["registers"],
            f"{found['block_registers']:,}", f"{found['shared'] / 1024:.1f} KiB", *itertools.chain(*held)]


def checked_rows(options, precisions):
    for model in TITLES:
        for precision in precisions:
            if cells := checked(options, precision, model):
                yield page.table_row(TITLES[model], *([precision] if len(precisions) > 1 else []), *cells)


def step_row(options, model):
    found = summary(options, model)
    gpu, batch = found["gpu"], found["batch"]
    limits = gpu["limits"]
    memory, fp32, tf32 = (limits[f"{name}_seconds"] for name in ("memory", "fp32", "tf32"))
    return page.table_row(
        TITLES[model], batch, gpu["launches"], f"{gpu['flops'] / 1e9:,.1f}", f"{gpu['bytes'] / 1e9:.2f}",
        f"{memory * 1e3:.2f}", f"{fp32 * 1e3:.2f}", f"{tf32 * 1e3:.2f}", f"{batch / max(memory, fp32):,.0f}",
        f"{batch / max(memory, tf32):,.0f}")


def lines(options):
    yield from ["# Kernels for CUDA, checked without a GPU", "", *page.wrapped(INTRO), ""]
    yield from ["## What NVIDIA's assembler says", "", *page.wrapped(ASSEMBLER), ""]
    yield from page.table_head("model", *FOUND, "products", "least share")
    yield from checked_rows(options, ["f32"])
    yield from ["", *page.wrapped(TENSOR_CORES), ""]
    yield from page.table_head("model", "precision", *FOUND, "wide products on tensor cores", "least share",
                               "other products", "least share")
    yield from checked_rows(options, ["tf32", "bf16"])
    yield from ["", "## What a step asks of a GPU", "", *page.wrapped(STEP), ""]
    yield from page.table_head("model", "batch", "launches", "GFLOP", "GB", "memory, ms", "fp32, ms", "TF32, ms",
                               "examples/s at most, fp32", "TF32")
    yield from (step_row(options, model) for model in TITLES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="the build folder")
    options = parser.parse_args()
    page.write(PAGE, "\n".join(lines(options)) + "\n")
    print(PAGE)


if __name__ == "__main__":
    main()

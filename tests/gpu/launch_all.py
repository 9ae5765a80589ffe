#!/usr/bin/env python3
"""Has a program of a model launch each of its kernels for CUDA, and the optimizers', on the emulator, which runs none.

    launch_all.py NETC MODEL.net PROGRAM EMULATOR_FOLDER FOLDER

What the emulator logs goes to FOLDER/*.log; among it, how many threads the blocks of each kernel have.
"""
import math
import os
import pathlib
import re
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks"))
from models import settings_of
from tensor_files import write_npy, write_safetensors

BATCHES = [8, 1]  # evaluation has kernels of its own for a few examples
OPTIMIZERS = ["sgd(lr = 0.1)", "sgd(lr = 0.1, momentum = 0.9)", "adam(lr = 0.1)"]
KINDS = {"f32": "<f4", "i32": "<i4", "u8": "|u1"}


def shape_of(text):
    return [int(extent) for extent in text.split(",") if extent]


def write_operands(netc, model, folder):
    """Weights, inputs and labels for each batch; returns the options that name them, by batch."""
    dump = [netc, "dump", "--after=elaborate", model, *settings_of(pathlib.Path(model).stem)]
    text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    signature = text.splitlines()[0]
    weights = folder / "zeros.safetensors"
    shapes = {name: shape_of(extents) for name, extents in re.findall(r"([\w.]+\.\w+):f32\[([\d,]+)\]", text)}
    write_safetensors(weights, {name: (shape, bytes(4 * math.prod(shape))) for name, shape in shapes.items()})
    labels = re.search(r"labels (\S+)", signature).group(1)
    options = {}
    for batch in BATCHES:
        options[batch] = ["--weights", weights]
        for option, tensors in (("--input", signature.split(")")[0]), ("--label", labels)):
            for name, kind, extents in re.findall(r"(\w+):(f32|i32|u8)\[N,?([\d,]*)\]", tensors):
                file = folder / f"{name}.{batch}.npy"
                shape = [batch, *shape_of(extents)]
                write_npy(file, KINDS[kind], shape, bytes(math.prod(shape) * int(KINDS[kind][-1])))
                options[batch] += [option, f"{name}={file}" if option == "--input" else file]
    return options


def runs(operands, folder):
    """The arguments of each run, by name."""
    largest = operands[BATCHES[0]]
    commands = {"gradients": ["run", *largest, "--mode", "train", "--gradients", folder / "gradients.safetensors"]}
    for batch in BATCHES:
        commands[f"loss-{batch}"] = ["run", *operands[batch], "--mode", "eval"]
        commands[f"infer-{batch}"] = ["bench", "--mode", "infer", "--batch", batch, "--seconds", "0.001"]
    for i, optimizer in enumerate(OPTIMIZERS):
        commands[f"step-{i}"] = ["run", *largest, "--steps", "1", "--set", f"train.optimizer={optimizer}", "--set",
                                 "train.clip_grad_norm=1"]
    return commands


def main(netc, model, program, emulator, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in runs(write_operands(netc, model, folder), folder).items():
        command = [str(word) for word in [program, *arguments, "--device", "cuda"]]
        environment = {"LD_LIBRARY_PATH": emulator, "NETC_EMULATOR_EXECUTE": "0",
                       "NETC_EMULATOR_LOG": f"{folder}/{name}.log"}
        result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    for file in folder.glob("*.npy"):
        file.unlink()
    for file in folder.glob("*.safetensors"):
        file.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/env python3
"""Checks netc on this machine's GPU and writes a report, step by step:

    operators   every operator's samples, forward and backward, against PyTorch's figures
    networks    training steps of whole networks against the CPU
    parity      whole networks against PyTorch's figures in double precision
    speed       training steps and forward passes of the seed models, beside PyTorch with TF32, in turn
    epoch       one epoch of ResNet-18 on Fashion-MNIST
    races       compute-sanitizer's racecheck of LeNet's training step, where that tool is at hand

What is done when the time is up is in the report; exits with 1 where a check failed. `--emulated` runs it on the
emulator of tests/gpu, which checks this script, not a GPU.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from performance import RECIPES, ROOT, SETTINGS

MODELS = ("resnet18", "lenet", "alexnet", "vgg11", "nin", "googlenet")
PARITY = ("lenet", "residual", "resnet18", "googlenet")
START = time.monotonic()


class Check:
    """What all steps share: the options, the time that is left, the report."""

    def __init__(self, options):
        self.options = options
        self.failed = False
        self.lines = []
        self.environment = dict(os.environ, NETC_CUDA_DRIVER="libcuda.so.1")
        if options.emulated:
            folder = (options.build / "tests/gpu").resolve()
            self.environment["LD_LIBRARY_PATH"] = f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"

    def seconds_left(self):
        return self.options.minutes * 60 - (time.monotonic() - START)

    def run(self, command, **environment):
        """The finished process, or None when the time was up."""
        try:
            return subprocess.run([str(part) for part in command], cwd=ROOT, env=dict(self.environment, **environment),
                                  capture_output=True, text=True, timeout=max(self.seconds_left(), 1))
        except subprocess.TimeoutExpired:
            return None

    def write(self, *lines):
        self.lines += lines
        self.options.report.write_text("\n".join(self.lines) + "\n")

    def verdict(self, what, process, detail=""):
        """A line for a check that passed or not."""
        if process is None:
            return self.write(f"- {what}: not done, the time was up")
        passed = process.returncode == 0
        self.failed = self.failed or not passed
        self.write(f"- {what}: {'passed' if passed else '**failed**'}{detail and ', ' + detail}")
        if not passed:
            self.write("", "```", (process.stdout + process.stderr)[-3000:].strip(), "```", "")


def say(text):
    print(f"[{time.monotonic() - START:5.0f} s] {text}", file=sys.stderr, flush=True)


def device(check):
    """The GPU's name, driver and memory, as a line."""
    if check.options.emulated:
        return "the emulator of tests/gpu"
    query = check.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    if query is None or query.returncode:
        sys.exit("gpu_check: nvidia-smi finds no GPU; --emulated tries the script without one")
    return query.stdout.strip().splitlines()[0]


def doctest_counts(output):
    found = re.search(r"assertions:\s*(\d+)\s*\|\s*(\d+) passed", output)
    return f"{found.group(2)} of {found.group(1)} comparisons" if found else ""


def doctest(check, program, what, **environment):
    process = check.run([check.options.build / "tests" / program], **environment)
    check.verdict(what, process, doctest_counts(process.stdout) if process else "")


def operators(check):
    doctest(check, "cuda_operators_test", "operators, forward and backward, against PyTorch")


def networks(check):
    doctest(check, "cuda_networks_test", "training steps of networks against the CPU")


def parity(check):
    for network in PARITY[:1] if check.options.emulated else PARITY:
        doctest(check, "parity_test", f"{network} against PyTorch in double precision", NETC_PARITY=network,
                NETC_PARITY_DEVICE="cuda")


def program(check, model):
    """Builds the model's program; None where that failed."""
    folder = check.options.build / "gpu_check" / model
    built = check.run([check.options.build / "bin/netc", "build", "--target", "cuda", "--native",
                       ROOT / f"models/{model}.net", *SETTINGS.get(model, []), "-o", folder])
    if built is None or built.returncode:
        check.verdict(f"{model} for CUDA", built)
        return None
    return folder / model


def timed(check, command):
    """Milliseconds of a step and bytes, or None."""
    process = check.run(command)
    if process is None or process.returncode:
        say(process.stderr.strip()[-500:] if process else "the time was up")
        return None
    return json.loads(process.stdout.strip().splitlines()[-1])


def row(check, model, task, batch):
    """netc's and PyTorch's step, the best of the rounds, in turn."""
    netc = program(check, model)
    if netc is None:
        return
    common = ["--batch", batch, "--seconds", check.options.seconds]
    sides = {"netc": [netc, "bench", "--mode", task, "--device", "cuda", "--json", *common]}
    if not check.options.emulated:
        peer = [check.options.python, ROOT / "benchmarks/peer.py"]
        for way in ("channels_last", "compiled"):
            sides[way] = [*peer, way, model, task, "--device", "cuda", *common]
    best = {}
    for _ in range(check.options.rounds):
        for side, command in sides.items():
            if (result := timed(check, command)) and result["best_ms"] < best.get(side, result)["best_ms"] + 1e-9:
                best[side] = result
    write_row(check, model, task, batch, best)


def write_row(check, model, task, batch, best):
    def cell(side, key, scale, digits):
        return f"{best[side][key] * scale:.{digits}f}" if side in best else ""

    peers = [best[side]["best_ms"] for side in best if side != "netc"]
    ratio = f"**{min(peers) / best['netc']['best_ms']:.2f}**" if peers and "netc" in best else ""
    rate = f"{batch / best['netc']['best_ms'] * 1e3:,.0f}" if "netc" in best else ""
    check.write(f"| {model} | {task} | {batch} | {cell('netc', 'best_ms', 1, 3)} | {rate} | "
                f"{cell('channels_last', 'best_ms', 1, 3)} | {cell('compiled', 'best_ms', 1, 3)} | {ratio} | "
                f"{cell('netc', 'peak_bytes', 1e-6, 0)} | {cell('channels_last', 'peak_bytes', 1e-6, 0)} |")


def speed(check):
    check.write("", "Fastest step of each side, in ms; PyTorch with TF32 and cuDNN's own search. Memory in MB.", "",
                "| model | task | batch | netc | examples/s | channels_last | compiled | best / netc | memory | PyTorch's |",
                "|---|---|---|---|---|---|---|---|---|---|")
    for model in check.options.models:
        for task in ("train", "infer"):
            if check.seconds_left() < 30:
                return check.write("", "The rest was not measured: the time was up.")
            say(f"speed: {model}, {task}")
            row(check, model, task, check.options.batch or RECIPES[model])
    check.write("")


def epoch(check):
    netc = program(check, "resnet18")
    if netc is None:
        return
    process = check.run([netc, "train", "--epochs", 1, "--device", "cuda", "--log", check.options.build / "gpu_check/log"])
    lines = process.stdout.strip().splitlines() if process else []
    check.verdict("an epoch of ResNet-18", process, lines[0] if lines else "")


def races(check):
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        return check.write("- races: not looked for, compute-sanitizer is not installed")
    netc = program(check, "lenet")
    if netc is None:
        return
    process = check.run([sanitizer, "--tool", "racecheck", "--error-exitcode", 1, netc, "bench", "--mode", "train",
                         "--device", "cuda", "--batch", 8, "--seconds", 0.01])
    check.verdict("racecheck of LeNet's training step", process)


STEPS = {"operators": operators, "networks": networks, "parity": parity, "speed": speed, "epoch": epoch, "races": races}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="the build folder")
    parser.add_argument("--python", default="python3", help="a Python that has torch")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--batch", type=int, default=0, help="examples a step (default: the recipe's)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each side")
    parser.add_argument("--seconds", type=float, default=2, help="how long to measure each time")
    parser.add_argument("--minutes", type=float, default=24, help="how long all of it may take")
    parser.add_argument("--report", type=pathlib.Path, default=ROOT / "docs/gpu-report.md")
    parser.add_argument("--emulated", action="store_true", help="try the script on the emulator")
    options = parser.parse_args()
    options.build = options.build.resolve()
    check = Check(options)
    check.write("# netc on a GPU", "", f"{device(check)}; {datetime.date.today()}. Reproduce: `scripts/gpu-check`.", "")
    for name in options.steps:
        say(name)
        STEPS[name](check)
    say(f"report: {options.report}")
    sys.exit(check.failed)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Checks netc on this machine's GPU and writes a report, step by step, what is worth most first:

    training    some steps of every seed model's recipe, whose losses are the CPU's
    speed       training steps, then forward passes of the seed models, beside PyTorch with TF32, in turn
    epoch       one epoch of ResNet-18 on Fashion-MNIST
    networks    training steps of whole networks, parameter by parameter, against the CPU
    operators   every operator's samples, forward and backward, against PyTorch's figures
    parity      whole networks against PyTorch's figures in double precision
    races       compute-sanitizer's racecheck of LeNet's training step, where that tool is at hand

The report, which standard output shows too, is written as it grows: what is done when the time is up, or when this is
killed, is there. No command takes more than half of the time that is left. Under 20 minutes each side is measured once,
and PyTorch's compiled models, a minute each, are left out. Exits with 1 where a check failed.

`--emulated` runs it on the emulator of tests/gpu, which checks this script, not a GPU. `--prebuilt` compiles nothing: for
what scripts/gpu-bundle packed.
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
PEERS = ("channels_last", "compiled")
START = time.monotonic()


class Check:
    """What all steps share: the options, the time that is left, the report."""

    def __init__(self, options):
        self.options = options
        self.failed = False
        self.lines = []
        folders = [options.build / "lib/netc", *([options.build / "tests/gpu"] if options.emulated else [])]
        search = ":".join([*map(str, folders), os.environ.get("LD_LIBRARY_PATH", "")])
        self.environment = dict(os.environ, NETC_CUDA_DRIVER="libcuda.so.1", LD_LIBRARY_PATH=search,
                                NETC_EXECUTABLE=str(options.build / "bin/netc"))

    def seconds_left(self):
        return self.options.minutes * 60 - (time.monotonic() - START)

    def run(self, command, **environment):
        """The finished process, or None when its time was up."""
        try:
            return subprocess.run([str(part) for part in command], cwd=ROOT, env=dict(self.environment, **environment),
                                  capture_output=True, text=True, timeout=max(self.seconds_left() / 2, 1))
        except subprocess.TimeoutExpired:
            return None

    def write(self, *lines):
        """Adds to the report; whoever kills this finds the old one or the new one."""
        self.lines += lines
        print(*lines, sep="\n", flush=True)
        written = self.options.report.with_suffix(".part")
        written.write_text("\n".join(self.lines) + "\n")
        written.replace(self.options.report)

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
    path = check.options.build / "tests" / program
    if not path.exists():
        return check.write(f"- {what}: not done, there is no {path}")
    process = check.run([path], **environment)
    check.verdict(what, process, doctest_counts(process.stdout) if process else "")


def operators(check):
    doctest(check, "cuda_operators_test", "operators, forward and backward, against PyTorch")


def networks(check):
    doctest(check, "cuda_networks_test", "training steps of networks against the CPU")


def parity(check):
    for network in PARITY[:1] if check.options.emulated else PARITY:
        doctest(check, "parity_test", f"{network} against PyTorch in double precision", NETC_PARITY=network,
                NETC_PARITY_DEVICE="cuda")


def program_of(options, model):
    return options.build / "gpu_check" / model / model


def build_command(options, model):
    return [options.build / "bin/netc", "build", "--target", "cuda", "--native", ROOT / f"models/{model}.net",
            *SETTINGS.get(model, []), "-o", program_of(options, model).parent]


def program(check, model):
    """Builds the model's program; None where that failed, or where it was not packed."""
    built = program_of(check.options, model)
    if check.options.prebuilt:
        if not built.exists():
            check.write(f"- {model}: not done, there is no {built}")
        return built if built.exists() else None
    process = check.run(build_command(check.options, model))
    if process is None or process.returncode:
        check.verdict(f"{model} for CUDA", process)
        return None
    return built


def timed(check, side, command):
    """Milliseconds of a step and bytes, or None."""
    process = check.run(command)
    if process is not None and process.returncode == 0:
        return json.loads(process.stdout.strip().splitlines()[-1])
    say(f"{side}: {process.stderr.strip()[-500:] if process else 'the time was up'}")
    check.failed = check.failed or (side == "netc" and process is not None)
    return None


def row(check, model, task, batch):
    """netc's and PyTorch's step, the best of the rounds, in turn."""
    netc = program(check, model)
    if netc is None:
        return
    common = ["--batch", batch, "--seconds", check.options.seconds]
    sides = {"netc": [netc, "bench", "--mode", task, "--device", "cuda", "--json", *common]}
    if not check.options.emulated:
        peer = [check.options.python, ROOT / "benchmarks/peer.py"]
        for way in check.options.peers:
            sides[way] = [*peer, way, model, task, "--device", "cuda", *common]
    best = {}
    for _ in range(check.options.rounds):
        for side, command in sides.items():
            if (result := timed(check, side, command)) and result["best_ms"] < best.get(side, result)["best_ms"] + 1e-9:
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
    for task in ("train", "infer"):
        for model in check.options.models:
            if check.seconds_left() < 30:
                return check.write("", "The rest was not measured: the time was up.")
            say(f"speed: {model}, {task}")
            row(check, model, task, check.options.batch or RECIPES[model])
    check.write("")


def train(check, netc, device, *more):
    """The finished run of an epoch, and its metrics."""
    folder = check.options.build / "gpu_check"
    data = ["--data", folder / "data"] if (folder / "data").is_dir() else []
    log = folder / "log" / device
    process = check.run([netc, "train", "--epochs", 1, "--device", device, "--log", log, *data, *more])
    finished = process is not None and process.returncode == 0
    return process, json.loads((log / "metrics.jsonl").read_text().splitlines()[0]) if finished else None


def training(check):
    for model in check.options.models:
        netc = program(check, model)
        if netc is None:
            continue
        batch = check.options.batch or 32
        some = ["--limit", 3 * batch, "--set", f"train.batch={batch}"]
        (on_cpu, expected), (on_gpu, found) = (train(check, netc, device, *some) for device in ("cpu", "cuda"))
        if expected is None or found is None:
            check.verdict(f"{model}'s recipe", on_cpu if expected is None else on_gpu)
            continue
        difference = abs(found["loss"] / expected["loss"] - 1)
        agrees = difference <= 1e-3  # a NaN does not
        check.failed = check.failed or not agrees
        check.write(f"- three steps of {model}'s recipe: {'passed' if agrees else '**failed**'}, loss {found['loss']:.6f}, "
                    f"the CPU's {expected['loss']:.6f}")


def epoch(check):
    netc = program(check, "resnet18")
    if netc is None:
        return
    process, _ = train(check, netc, "cuda")
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


STEPS = {"training": training, "speed": speed, "epoch": epoch, "networks": networks, "operators": operators,
         "parity": parity, "races": races}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="the build folder")
    parser.add_argument("--python", default="python3", help="a Python that has torch")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--batch", type=int, default=0, help="examples a step (default: the recipe's)")
    parser.add_argument("--rounds", type=int, help="measurements of each side (default: 2, in haste 1)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="PyTorch's ways (default: all, in haste the first)")
    parser.add_argument("--seconds", type=float, default=2, help="how long to measure each time")
    parser.add_argument("--minutes", type=float, default=24, help="how long all of it may take")
    parser.add_argument("--report", type=pathlib.Path, default=ROOT / "docs/gpu-report.md")
    parser.add_argument("--emulated", action="store_true", help="try the script on the emulator")
    parser.add_argument("--prebuilt", action="store_true", help="compile nothing")
    parser.add_argument("--only-build", action="store_true", help="compile the models' programs and check nothing")
    options = parser.parse_args()
    options.build = options.build.resolve()
    in_haste = options.minutes < 20
    options.rounds = options.rounds or (1 if in_haste else 2)
    if options.peers is None:
        options.peers = PEERS[:1] if in_haste else PEERS
    if options.only_build:
        for model in options.models:
            say(f"compiling {model}")
            subprocess.run([str(part) for part in build_command(options, model)], cwd=ROOT, check=True)
        return
    check = Check(options)
    check.write("# netc on a GPU", "", f"{device(check)}; {datetime.date.today()}. Reproduce: `scripts/gpu-check`.", "")
    for name in options.steps:
        say(name)
        STEPS[name](check)
    say(f"report: {options.report}")
    sys.exit(check.failed)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Checks netc on this machine's GPU, measures it beside PyTorch and writes a report, what is worth most first:

    training    three training steps of each of the six models, whose loss is the CPU's
    products    kernels for tensor cores against sums in C++, and a network of them in TF32 and in bf16 against f32
    speed       training steps of the six models, beside PyTorch with TF32
    epoch       one epoch of ResNet-18 on Fashion-MNIST
    networks    training steps of whole networks, parameter by parameter, against the CPU
    operators   every operator's samples, forward and backward, against PyTorch's figures
    parity      whole networks against PyTorch's figures in double precision
    inference   forward passes of the six models, beside PyTorch with TF32
    compiled    training steps of PyTorch's compiled models, a minute each
    precisions  netc's training steps in its other precisions
    profile     ResNet-18's training step, kernel by kernel
    races       compute-sanitizer's racecheck and memcheck of training steps, where there is one that knows the GPU

No step takes more than its share of the minutes at first; what is then not done is tried again in the time that is
left. The report is written as it grows, beside a JSON of the same name, from which `--resume` goes on with what is not
done: a GPU may be there for some minutes at a time. Exits with 1 where a check failed or was not done; what the machine
has no tool for is neither. How the speed compares with PyTorch's is said, and no failure.

`--emulated` runs it on the emulator of tests/gpu, which checks this script, not a GPU. `--prebuilt` compiles nothing:
for what scripts/gpu-bundle packed.
"""
import argparse
import functools
import json
import math
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import gpu_report
import page
from gpu_report import FAILED, NOT_DONE, PASSED, STEPS, TASKS, UNAVAILABLE, Report, is_below, result
from models import RECIPES, ROOT, settings_of

MODELS = ("resnet18", "lenet", "alexnet", "vgg11", "nin", "googlenet")
SMALL = ("residual", "tensor_cores")  # of tests/gpu
PARITY = ("lenet", "residual", "resnet18", "googlenet", "alexnet", "vgg11", "nin", "mixed", "graph")
PRECISIONS = ("tf32", "f32", "bf16")
# The most of all minutes that a step takes at first.
SHARES = {"training": .2, "products": .1, "speed": .4, "epoch": .1, "networks": .1, "operators": .2, "parity": .25,
          "inference": .25, "compiled": .4, "precisions": .2, "profile": .05, "races": .2}
# Of the loss of three steps, relative to the CPU's, which multiplies f32 where the GPU multiplies TF32. Choice: a rate
# of 0.01 in place of the recipe's, at which rounding grows from step to step. Measured on the CPU: bf16, which rounds
# eight times as coarsely as TF32, moves ResNet-18's loss by 2.2e-2, LeNet's by 7e-5, GoogLeNet's by 1e-6 (2026-11).
MOST_OFF = {"f32": 1e-3, "tf32": 1e-2, "bf16": 3e-2}
# PyTorch's steps of a recipe begin at 2.3 on ten classes; an epoch of ResNet-18 comes to half of this.
MOST_LOSS = 1.0
RACES = (("lenet", None), ("residual", "f32"), ("tensor_cores", "tf32"))
SANITIZER = ("racecheck", "memcheck")


class Stop(Exception):
    """Ends a check with this result."""

    def __init__(self, found):
        super().__init__(found["detail"])
        self.found = found


def say(text):
    print(f"[{time.monotonic() - START:5.0f} s] {text}", file=sys.stderr, flush=True)


START = time.monotonic()


def cuda_tool(name):
    """The path of one of CUDA's tools, or None."""
    homes = [home for home in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if home]
    return shutil.which(name) or shutil.which(name, path=":".join(f"{home}/bin" for home in homes))


# ---- Running commands -----------------------------------------------------------------------------------------------

class Check:
    """What all steps share: the options, the time that is left, what was built, PyTorch."""

    def __init__(self, options):
        self.options = options
        self.end = START - options.spent + options.minutes * 60
        self.deadline = self.end  # of the check that runs
        self.built = {}           # what came of each program's build
        self.peer = Peer(options.python)
        folders = [options.build / "lib/netc", *([options.build / "tests/gpu"] if options.emulated else [])]
        search = ":".join([*map(str, folders), os.environ.get("LD_LIBRARY_PATH", "")])
        self.environment = dict(os.environ, NETC_CUDA_DRIVER="libcuda.so.1", LD_LIBRARY_PATH=search,
                                LIBRARY_PATH=str(options.build / "lib/netc"),
                                NETC_EXECUTABLE=str(options.build / "bin/netc"))
        nvcc = cuda_tool("nvcc")
        if nvcc and not os.environ.get("CUDA_HOME"):
            self.environment["CUDA_HOME"] = str(pathlib.Path(nvcc).parents[1])

    def run(self, command, **environment):
        """The finished process; where its time is up, it and all that it started are ended, and so is the check."""
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=dict(self.environment, **environment),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        seconds = max(self.deadline - time.monotonic(), 0)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Stop(time_was_up(seconds)) from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def time_was_up(seconds):
    return result(NOT_DONE, f"ended after {seconds:.0f} s")


def outcome(process, detail=""):
    if process.returncode == 0:
        return result(PASSED, detail)
    return result(FAILED, f"exit status {process.returncode}",
                  ["```", (process.stdout + process.stderr)[-3000:].strip(), "```"])


def model_file(model):
    return ROOT / ("tests/gpu" if model in SMALL else "models") / f"{model}.net"


def program_of(options, precision, model):
    return options.build / "gpu_check" / precision / model / model


def build_command(options, precision, model):
    return [options.build / "bin/netc", "build", "--target", "cuda", "--native", "--precision", precision,
            model_file(model), *settings_of(model), "-o", program_of(options, precision, model).parent]


def program(check, precision, model):
    """The model's program, which is built when it is first asked for."""
    path = program_of(check.options, precision, model)
    if check.options.prebuilt:
        if not path.exists():
            raise Stop(result(NOT_DONE, f"there is no {path}"))
        return path
    if (precision, model) not in check.built:
        say(f"building {model} in {precision}")
        process = check.run(build_command(check.options, precision, model))
        check.built[precision, model] = built(process, precision)
    if (found := check.built[precision, model]) is not None:
        raise Stop(found)
    return path


def built(process, precision):
    """What is wrong, or None."""
    if process.returncode:
        return outcome(process)
    notes = [line for line in process.stderr.splitlines() if "kernels for CUDA multiply f32" in line]
    return result(UNAVAILABLE, f"no kernels in {precision}: {notes[0]}") if notes else None


class Peer:
    """PyTorch, loaded once, in a process of its own."""

    def __init__(self, python):
        self.python = python
        self.process = None
        self.name = None  # with its version, once it answers

    def ask(self, arguments, deadline):
        """A measurement, or what is wrong in its place; ends the check where there is no answer in time."""
        if self.process is None or self.process.poll() is not None:
            self.start(deadline)
        if self.name is None:
            raise Stop(result(UNAVAILABLE, "PyTorch sees no GPU"))
        self.process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        self.process.stdin.flush()
        answer = self.answer(deadline)
        if "error" in answer:
            self.close()  # CUDA may be of no more use to that process
        return answer

    def start(self, deadline):
        say("loading PyTorch")
        self.said = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([self.python, ROOT / "benchmarks/peer.py", "--serve"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.said, text=True, start_new_session=True)
        self.name = self.answer(deadline).get("name")

    def answer(self, deadline):
        seconds = max(deadline - time.monotonic(), 0)
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline() if ready else None
        if line:
            return json.loads(line)
        self.close()
        if line is None:
            raise Stop(time_was_up(seconds))
        self.said.seek(0)
        raise Stop(result(UNAVAILABLE, f"PyTorch: {' '.join(self.said.read().split()[-30:]) or 'ended'}"))

    def close(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            self.process = None


# ---- Steps: each yields names of checks and what does them ----------------------------------------------------------

def data(check):
    """Where Fashion-MNIST is: what was packed, or Debian's package."""
    folders = (check.options.build / "gpu_check/data", pathlib.Path("/usr/share/datasets/fashion-mnist"))
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise Stop(result(NOT_DONE, f"there is no Fashion-MNIST in {folders[0]}"))
    return found


def train(check, path, device, *more):
    """Metrics of an epoch."""
    log = check.options.build / "gpu_check/log" / device
    process = check.run([path, "train", "--epochs", 1, "--device", device, "--log", log, "--data", data(check), *more])
    if process.returncode:
        raise Stop(outcome(process))
    return json.loads((log / "metrics.jsonl").read_text().splitlines()[0])


def three_steps(check, model):
    path = program(check, check.options.precision, model)
    batch = check.options.batch or 32
    some = ["--limit", 3 * batch, "--set", f"train.batch={batch}", "--set", "train.optimizer=sgd(lr = 0.01)"]
    expected, found = (train(check, path, device, *some)["loss"] for device in ("cpu", "cuda"))
    detail = f"loss {found}, the CPU's {expected}"
    agrees = expected and found and is_below(abs(found / expected - 1), MOST_OFF[check.options.precision])
    return result(PASSED if agrees else FAILED, detail)


def training(check):
    for model in check.options.models:
        yield model, functools.partial(three_steps, check, model)


def on_tensor_cores(check, precision):
    options = check.options
    emulator = ["--emulator", options.build / "tests/gpu"] if options.emulated else []
    prebuilt = ["--prebuilt"] if options.prebuilt else []
    process = check.run([sys.executable, ROOT / "tests/gpu/tensor_cores_model_test.py", options.build / "bin/netc",
                         options.build / "gpu_check", precision, *emulator, *prebuilt])
    return outcome(process, process.stdout.strip().splitlines()[0] if process.stdout.strip() else "")


def kernels_on_tensor_cores(check):
    if cuda_tool("nvcc") is None:
        return result(UNAVAILABLE, "there is no nvcc")
    return doctest(check, "tensor_cores_test")


def products(check):
    for precision in ("tf32", "bf16"):
        yield precision, functools.partial(on_tensor_cores, check, precision)
    yield "kernels", functools.partial(kernels_on_tensor_cores, check)


def measured(check, task, model, side):
    """The fastest step, of a precision of netc's or of a way of PyTorch's."""
    batch = check.options.batch or RECIPES[model]
    common = ["--device", "cuda", "--batch", batch, "--seconds", check.options.seconds]
    if side in gpu_report.WAYS:
        precision = ["--precision", "bf16"] if check.options.precision == "bf16" else []
        figures = check.peer.ask([side, model, task, *common, *precision], check.deadline)
        if "error" in figures:
            return result(UNAVAILABLE, figures["error"][-500:])
        check.report.note(f"{check.peer.name}.")
    else:
        process = check.run([program(check, side, model), "bench", "--mode", task, "--json", *common])
        if process.returncode:
            return outcome(process)
        figures = json.loads(process.stdout.strip().splitlines()[-1])
    return result(PASSED, f"{figures['best_ms']:.3f} ms", figures={"batch": batch, **figures})


def measurements(check, step, sides):
    for model in check.options.models:
        for side in sides:
            yield f"{model}, {side}", functools.partial(measured, check, TASKS[step], model, side)


def beside_peer(check, step):
    ways = [way for way in check.options.peers if way != "compiled"]
    return measurements(check, step, [check.options.precision, *ways])


def compiled(check):
    return measurements(check, "compiled", [way for way in check.options.peers if way == "compiled"])


def precisions(check):
    return measurements(check, "precisions", check.options.precisions[1:])


def whole_epoch(check):
    metrics = train(check, program(check, check.options.precision, "resnet18"), "cuda")
    good = is_below(metrics["loss"], MOST_LOSS)
    return result(PASSED if good else FAILED,
                  f"loss {metrics['loss']}, train accuracy {metrics['train_accuracy']}, test accuracy "
                  f"{metrics['test_accuracy']}, {metrics['examples_per_second']:,.0f} examples/s")


def epoch(check):
    yield "ResNet-18", functools.partial(whole_epoch, check)


def doctest(check, program, **environment):
    path = check.options.build / "tests" / program
    if not path.exists():
        return result(NOT_DONE, f"there is no {path}")
    process = check.run([path], **environment)
    counts = re.search(r"assertions:\s*(\d+)\s*\|\s*(\d+) passed", process.stdout)
    return outcome(process, f"{counts.group(2)} of {counts.group(1)} comparisons" if counts else "")


def networks(check):
    yield "LeNet and a residual network", functools.partial(doctest, check, "cuda_networks_test")


def operators(check):
    yield "all samples", functools.partial(doctest, check, "cuda_operators_test")


def oracles():
    """The six models' first, the largest last."""
    others = sorted(file.stem for file in (ROOT / "tests/parity").glob("*.safetensors"))
    return [*PARITY, *sorted((name for name in others if name not in PARITY), key=lambda name: "resnet152" in name)]


def parity(check):
    for network in oracles()[:1] if check.options.emulated else oracles():
        yield network, functools.partial(doctest, check, "parity_test", NETC_PARITY=network, NETC_PARITY_DEVICE="cuda")


def kernels(check, model):
    """The kernels that take longest, those of one name together."""
    batch = ["--batch", check.options.batch] if check.options.batch else []
    process = check.run([program(check, check.options.precision, model), "profile", "--device", "cuda", "--json",
                         *batch, "--seconds", min(check.options.seconds, 1)])
    if process.returncode:
        return outcome(process)
    figures = json.loads(process.stdout.strip().splitlines()[-1])
    sums = {}
    for kernel in figures["kernels"]:
        calls, *rest = sums.get(kernel["name"], (0, 0, 0, 0))
        sums[kernel["name"]] = (calls + 1, *(a + kernel[key] for a, key in zip(rest, ("ms", "gflop", "gigabytes"))))
    lines = page.table_head("kernel", "calls", "ms", "TFLOP/s", "GB/s")
    for name, (calls, ms, gflop, gigabytes) in sorted(sums.items(), key=lambda item: -item[1][1])[:20]:
        lines.append(page.table_row(name, calls, f"{ms:.3f}", f"{gflop / ms:.2f}", f"{gigabytes / ms * 1e3:.0f}"))
    return result(PASSED, f"a step takes {figures['free_ms']:.3f} ms, and {figures['ms']:.3f} ms where each of "
                  f"{len(figures['kernels'])} kernels is waited for; the longest of these", lines)


def profile(check):
    model = "resnet18" if "resnet18" in check.options.models else check.options.models[0]
    yield model, functools.partial(kernels, check, model)


def sanitized(check, tool, model, precision):
    sanitizer = cuda_tool("compute-sanitizer")
    if sanitizer is None:
        return result(UNAVAILABLE, "compute-sanitizer is not installed")
    process = check.run([sanitizer, "--tool", tool, "--error-exitcode", 1, program(check, precision, model), "bench",
                         "--mode", "train", "--device", "cuda", "--batch", 8, "--seconds", 0.01])
    if "Device not supported" in process.stdout + process.stderr:
        return result(UNAVAILABLE, "compute-sanitizer does not support this GPU")
    return outcome(process)


def races(check):
    for tool in SANITIZER:
        for model, precision in RACES:
            precision = precision or check.options.precision
            yield f"{tool} of {model} in {precision}", functools.partial(sanitized, check, tool, model, precision)


CHECKS = {"training": training, "products": products, "speed": functools.partial(beside_peer, step="speed"),
          "epoch": epoch, "networks": networks, "operators": operators, "parity": parity,
          "inference": functools.partial(beside_peer, step="inference"), "compiled": compiled, "precisions": precisions,
          "profile": profile, "races": races}


# ---- All of it ------------------------------------------------------------------------------------------------------

def run_step(check, step, checks, end):
    """Those that are not done, each in half of the time that is left, the last in all of it."""
    todo = {name: do for name, do in checks.items() if check.report.is_open(step, name)}
    for i, (name, do) in enumerate(todo.items()):
        left = end - time.monotonic()
        if left < 1:
            return
        check.deadline = end - (left / 2 if i + 1 < len(todo) else 0)
        say(f"{step}: {name}")
        try:
            found = do()
        except Stop as stop:
            found = stop.found
        except Exception as error:  # what comes of one check is no reason to leave out the others
            found = result(FAILED, f"{type(error).__name__}: {error}")
        check.report.put(step, name, found)


def run_all(check):
    checks = {step: dict(CHECKS[step](check)) for step in STEPS if step in check.options.steps}
    for step, names in checks.items():
        check.report.plan(step, names)
    check.report.write()
    for first in (True, False):
        for step in checks:
            share = SHARES[step] * check.options.minutes * 60 if first else math.inf
            run_step(check, step, checks[step], min(check.end, time.monotonic() + share))
    check.peer.close()


def gpu(check):
    """The GPU's name, driver and memory, as a line."""
    if check.options.emulated:
        return "the emulator of tests/gpu"
    check.deadline = time.monotonic() + 60
    try:
        query = check.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    except FileNotFoundError:
        query = None
    if query is None or query.returncode:
        sys.exit("gpu_check: nvidia-smi finds no GPU; --emulated tries the script without one")
    return query.stdout.strip().splitlines()[0]


def only_build(options):
    """All programs, in all precisions."""
    for precision in options.precisions:
        for model in options.models:
            say(f"compiling {model} in {precision}")
            process = subprocess.run([str(part) for part in build_command(options, precision, model)], cwd=ROOT,
                                     stderr=subprocess.PIPE, text=True)
            sys.stderr.write(process.stderr)
            process.stdout = ""
            if wrong := built(process, precision):
                sys.exit(f"gpu_check: {model}: {wrong['detail']}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="the build folder")
    parser.add_argument("--python", default="python3", help="a Python that has torch")
    parser.add_argument("--models", nargs="+", choices=MODELS + SMALL[:1], default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["tf32", "f32"],
                        help="the first is checked and set beside PyTorch, which with bf16 runs with autocast")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--batch", type=int, default=0, help="examples a step (default: the recipe's)")
    parser.add_argument("--peers", nargs="*", choices=gpu_report.WAYS, help="PyTorch's ways (default: all)")
    parser.add_argument("--seconds", type=float, default=2, help="how long to measure each time")
    parser.add_argument("--minutes", type=float, default=24, help="how long all of it may take")
    parser.add_argument("--spent", type=float, default=0, help="seconds of them that are over")
    parser.add_argument("--report", type=pathlib.Path, default=ROOT / "docs/gpu-report.md")
    parser.add_argument("--resume", action="store_true", help="go on with the report's JSON")
    parser.add_argument("--emulated", action="store_true", help="try the script on the emulator")
    parser.add_argument("--prebuilt", action="store_true", help="compile nothing")
    parser.add_argument("--only-build", action="store_true", help="compile the models' programs and check nothing")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.precision = options.precisions[0]
    if options.peers is None:
        options.peers = () if options.emulated else gpu_report.WAYS
    return options


def main():
    options = parse()
    if options.only_build:
        return only_build(options)
    check = Check(options)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    check.report = Report(options.report, options.precision, options.resume)
    check.report.note(f"{gpu(check)}; {page.today()}. Reproduce: `scripts/gpu-check`.")
    run_all(check)
    print("\n".join(check.report.lines()))
    say(f"report: {options.report}")
    sys.exit(0 if check.report.is_good() else 1)


if __name__ == "__main__":
    main()

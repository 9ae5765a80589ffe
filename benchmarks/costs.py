#!/usr/bin/env python3
"""Measures what a model costs besides the time of a step, and how that time grows; writes docs/costs.md with a picture.

    sizes     compilation with an empty cache and again, the kernels' library, the program, start to first result
    threads   training steps on one thread and on two
    growth    training steps of growing batches, depths and image sizes, with the slope between neighbours

    scripts/bench-costs [--parts sizes threads growth] [--models lenet resnet18] [--seconds 2]

What was measured is kept in docs/costs.json, part by part. Give it a machine with nothing else to do.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import performance
from performance import PIXELS, RECIPES, ROOT, SETTINGS, TITLES, machine, milliseconds, output_of, say

KEPT = ROOT / "docs/costs.json"
PAGE = ROOT / "docs/costs.md"
PICTURE = ROOT / "docs/growth.svg"

# A network whose depth and image size are set from outside.
STACK = """model stack {
  let depth = 8;
  let size = 32;
  input image: f32[N, 32, size, size];
  repeat depth { conv(32, 3, pad = 1) -> relu }
  globalavgpool -> flatten -> linear(10);
  loss cross_entropy;
  train { batch = 32; optimizer = sgd(lr = 0.01); }
}
"""
GROWTH = {"batch": (8, 16, 32, 64, 128, 256), "depth": (4, 8, 16, 32), "size": (16, 32, 64, 128)}


# ---- Measuring ------------------------------------------------------------------------------------------------------

def seconds_of(command, **environment):
    start = time.perf_counter()
    output_of(command, **environment)
    return time.perf_counter() - start


def step(program, batch, threads, seconds):
    """Milliseconds of the fastest training step."""
    text = output_of([program, "bench", "--mode", "train", "--batch", batch, "--threads", threads, "--seconds", seconds, "--json"])
    return json.loads(text)["best_ms"]


def measure_sizes(model, options):
    """Seconds and bytes of a model's compilation, and milliseconds from a program's start to its first result."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        generate = [options.netc, f"models/{model}.net", *SETTINGS.get(model, []), "-q", "-o", folder / "generated"]
        cache = {"NETC_CACHE": str(folder / "cache")}
        row = {"cold_native_s": seconds_of([*generate, "--native"], NETC_CACHE=str(folder / "native"))}
        row["native_bytes"] = library_bytes(folder, model)
        row["cold_s"] = seconds_of(generate, **cache)
        row["warm_s"] = min(seconds_of(generate, **cache) for _ in range(3))
        row["library_bytes"] = library_bytes(folder, model)
    program = performance.build(options.netc, model, "f32", options.programs)
    row["program_bytes"] = program.stat().st_size
    row["first_result_ms"] = first_result(program, model)
    return row


def library_bytes(folder, model):
    return (folder / f"generated/lib{model}_kernels.a").stat().st_size


def first_result(program, model):
    """A program reads weights and one image, computes, and writes its output: the fastest of ten, in milliseconds."""
    import numpy
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        numpy.save(folder / "image.npy", numpy.zeros((1, 1, PIXELS[model], PIXELS[model]), numpy.float32))
        image = ["--input", f"image={folder / 'image.npy'}", "--output", folder / "output.npy"]
        output_of([program, "train", "--limit", 1, "--epochs", 1, "--save", folder / "weights.safetensors"])
        run = [program, "run", "--weights", folder / "weights.safetensors", *image]
        return min(seconds_of(run) for _ in range(10)) * 1e3


def measure_threads(model, options):
    program = performance.build(options.netc, model, "f32", options.programs)
    times = {threads: [] for threads in (1, 2)}
    for _ in range(2):
        for threads, measured in times.items():
            measured.append(step(program, RECIPES[model], threads, options.seconds))
    return {"batch": RECIPES[model], **{f"threads_{threads}_ms": min(measured) for threads, measured in times.items()}}


def stack(options, depth, size):
    """The program of a stack of convolutions."""
    source = options.programs / "stack.net"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(STACK)
    folder = options.programs / f"stack_{depth}_{size}"
    output_of([options.netc, "build", "--native", source, "--set", f"depth={depth}", "--set", f"size={size}", "-o", folder])
    return folder / "stack"


def measure_growth(options):
    """What grows -> [(how much, milliseconds)]."""
    middle = stack(options, 8, 32)
    rows = {"batch": [(batch, step(middle, batch, 2, options.seconds)) for batch in GROWTH["batch"]]}
    rows["depth"] = [(depth, step(stack(options, depth, 32), 32, 2, options.seconds)) for depth in GROWTH["depth"]]
    rows["size"] = [(size, step(stack(options, 8, size), 32, 2, options.seconds)) for size in GROWTH["size"]]
    return rows


# ---- Reporting ------------------------------------------------------------------------------------------------------

def sizes_table(rows):
    yield "| model | compiled for this processor, s | for all three sets, s | again, s | library for this processor, MB | for all three sets, MB | program, MB | first result, ms |"
    yield "|---" * 8 + "|"
    for model in filter(rows.get, TITLES):
        row = rows[model]
        yield (f"| {TITLES[model]} | {row['cold_native_s']:.1f} | {row['cold_s']:.1f} | {row['warm_s']:.2f} | "
               f"{row['native_bytes'] / 1e6:.2f} | {row['library_bytes'] / 1e6:.2f} | {row['program_bytes'] / 1e6:.2f} | "
               f"{row['first_result_ms']:.1f} |")


def threads_table(rows):
    yield "| model | batch | 1 thread, ms | 2 threads, ms | ratio |"
    yield "|---" * 5 + "|"
    for model in filter(rows.get, TITLES):
        row = rows[model]
        one, two = row["threads_1_ms"], row["threads_2_ms"]
        yield f"| {TITLES[model]} | {row['batch']} | {milliseconds(one)} | {milliseconds(two)} | **{one / two:.2f}** |"


def slopes(points, dimensions):
    """Between neighbours: by what power of the work the time grows."""
    return [math.log(b[1] / a[1]) / (dimensions * math.log(b[0] / a[0])) for a, b in zip(points, points[1:])]


def growth_table(rows):
    yield "| what grows | steps, ms | slopes |"
    yield "|---|---|---|"
    for what, points in rows.items():
        times = ", ".join(f"{extent}: {milliseconds(time)}" for extent, time in points)
        powers = ", ".join(f"{slope:.2f}" for slope in slopes(points, 2 if what == "size" else 1))
        yield f"| {what} | {times} | {powers} |"


def draw_growth(rows):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "netc", "font.size": 9})
    from matplotlib import pyplot
    figure, all_axes = pyplot.subplots(1, len(rows), figsize=(7, 2.6))
    for axes, (what, points) in zip(all_axes, rows.items()):
        extents, times = zip(*points)
        work = [extent ** (2 if what == "size" else 1) for extent in extents]
        axes.loglog(extents, times, "o-", color="#2a6fbb", label="measured")
        axes.loglog(extents, [times[-1] * w / work[-1] for w in work], "--", color="#999999", label="in proportion")
        axes.set_xlabel({"size": "image side, pixels", "depth": "layers", "batch": "examples"}[what])
        axes.set_xticks(extents, [str(extent) for extent in extents])
        axes.minorticks_off()
    all_axes[0].set_ylabel("training step, ms")
    all_axes[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})


def write_page(kept):
    lines = ["# What models cost", "", f"Machine: {kept['machine']}. Reproduce: `scripts/bench-costs`.", ""]
    if rows := kept.get("sizes"):
        lines += ["## Compilation, size, start", "",
                  "Time to compile forward pass, backward pass and update, first with an empty cache of kernels, then again with all of",
                  "them cached. \"First result\" is a whole run of a program: it starts, reads weights and an image from files, computes,",
                  "writes and ends.", "",
                  *sizes_table(rows), ""]
    if rows := kept.get("threads"):
        lines += ["## Threads", "", "Training steps at the recipe's batch.", "", *threads_table(rows), ""]
    if rows := kept.get("growth"):
        lines += ["## Growth", "",
                  "Training steps of a stack of 3x3 convolutions of 32 channels: 8 layers, 32x32 pixels, 32 examples, but for what",
                  "grows. A slope of 1 is time in proportion to the work.", "", *growth_table(rows), "",
                  "![Time of a training step as batch, depth and image size grow](growth.svg)", ""]
        draw_growth(rows)
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("sizes", "threads", "growth"), default=["sizes", "threads", "growth"])
    parser.add_argument("--models", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement of a step")
    parser.add_argument("--netc", type=pathlib.Path, default=ROOT / "build/bin/netc")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/bench", help="folder of the models' programs")
    parser.add_argument("--page-only", action="store_true", help="write the page from what is kept, measure nothing")
    options = parser.parse_args()
    options.netc, options.programs = options.netc.resolve(), options.programs.resolve()
    os.chdir(ROOT)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if not options.page_only and kept.get("machine") != machine():
        kept = {"machine": machine()}  # another machine's figures would pass for this one's

    def keep():
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
        write_page(kept)

    per_model = {"sizes": measure_sizes, "threads": measure_threads}
    for part in () if options.page_only else options.parts:
        if part == "growth":
            say("growth")
            kept[part] = measure_growth(options)
            keep()
            continue
        for model in options.models:
            say(f"{part}: {model}")
            kept.setdefault(part, {})[model] = per_model[part](model, options)
            keep()
    keep()


if __name__ == "__main__":
    main()

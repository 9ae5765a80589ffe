#!/usr/bin/env python3
"""Measures what a model costs besides the time of a step, and how that time grows; writes docs/costs.md with a picture.

    sizes     compilation with an empty cache and again, the kernels' library, the program, start to first result
    threads   training steps on one thread and on two
    growth    training steps of growing batches, depths and image sizes, with the slope between neighbours

    scripts/bench-costs [--parts sizes threads growth] [--models lenet resnet18] [--seconds 2]

What was measured is kept in docs/costs.json, part by part, all on one machine. Give it one with nothing else to do.
"""
import math
import pathlib
import sys
import tempfile
import time

import page
from models import PIXELS, RECIPES, ROOT, TITLES, settings_of
from page import milliseconds, output_of, say

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
USUAL = {"batch": 32, "depth": 8, "size": 32}  # of what does not grow
PARTS = ("sizes", "threads", "growth")
THREADS = 2       # of the steps that grow
RUNS_THREADS = 2  # processes of each number of threads
RUNS_GROWTH = 3   # processes of each point

SIZES_PROSE = """\
Time to compile forward pass, backward pass and update, first with an empty cache of kernels, then again with all of
them cached. The program is one for this processor, and so is its "first result", a whole run: it starts, reads weights
and an image from files, computes, writes and ends."""
THREADS_PROSE = "Training steps at the recipe's batch, the fastest in two processes of each, which take turns."
GROWTH_PROSE = """\
Training steps on {threads} threads, the fastest in {runs} of each, of a stack of 3x3 convolutions of 32 channels: 8
layers, 32x32 pixels, 32 examples, but for what grows. A slope of 1 is time in proportion to the work."""


# ---- Measuring ------------------------------------------------------------------------------------------------------

def seconds_of(command, **environment):
    start = time.perf_counter()
    output_of(command, **environment)
    return time.perf_counter() - start


def step(program, batch, threads, seconds):
    """Milliseconds of the fastest training step."""
    return page.figures_of(program, "bench", "train", batch, threads, seconds)["best_ms"]


def measure_sizes(model, options):
    """Seconds and bytes of a model's compilation, and milliseconds from a program's start to its first result."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        generate = [options.netc, f"models/{model}.net", *settings_of(model), "-q", "-o", folder / "generated"]
        cache = {"NETC_CACHE": str(folder / "cache")}
        row = {"cold_native_s": seconds_of([*generate, "--native"], NETC_CACHE=str(folder / "native"))}
        row["native_bytes"] = library_bytes(folder, model)
        row["cold_s"] = seconds_of(generate, **cache)
        row["warm_s"] = min(seconds_of(generate, **cache) for _ in range(3))
        row["library_bytes"] = library_bytes(folder, model)
    program = page.build(options.netc, model, "f32", options.programs)
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
    program = page.build(options.netc, model, "f32", options.programs)
    times = {threads: [] for threads in (1, 2)}
    for _ in range(RUNS_THREADS):
        for threads, measured in times.items():
            measured.append(step(program, RECIPES[model], threads, options.seconds))
    return {"batch": RECIPES[model], **{f"threads_{threads}_ms": min(measured) for threads, measured in times.items()}}


def stack(options, depth, size):
    """The program of a stack of convolutions."""
    source = options.programs / "stack.net"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(STACK)
    folder = options.programs / f"stack_{depth}_{size}"
    sizes = ["--set", f"depth={depth}", "--set", f"size={size}"]
    output_of([options.netc, "build", "--native", source, *sizes, "-o", folder])
    return folder / "stack"


def measure_growth(options):
    """What grows -> [(how much, milliseconds)]: the fastest in several processes, which are far apart in time."""
    say("growth: building")
    points = [(what, extent, {**USUAL, what: extent}) for what, extents in GROWTH.items() for extent in extents]
    programs = {key: stack(options, *key) for key in sorted({(at["depth"], at["size"]) for _, _, at in points})}
    times = {(what, extent): [] for what, extent, _ in points}
    for run in range(RUNS_GROWTH):
        for what, extent, at in points:
            say(f"growth: {what} {extent}, {run + 1} of {RUNS_GROWTH}")
            program = programs[at["depth"], at["size"]]
            times[what, extent].append(step(program, at["batch"], THREADS, options.seconds))
    return {what: [(extent, min(times[what, extent])) for extent in extents] for what, extents in GROWTH.items()}


# ---- Reporting ------------------------------------------------------------------------------------------------------

def sizes_table(rows):
    yield from page.table_head(
        "model", "compiled for this processor, s", "for all three sets, s", "for all three again, s",
        "library for this processor, MB", "for all three sets, MB", "program for this processor, MB",
        "first result of that program, ms")
    for model in filter(rows.get, TITLES):
        row = rows[model]
        yield page.table_row(
            TITLES[model], f"{row['cold_native_s']:.1f}", f"{row['cold_s']:.1f}", f"{row['warm_s']:.2f}",
            *(f"{row[key] / 1e6:.2f}" for key in ("native_bytes", "library_bytes", "program_bytes")),
            f"{row['first_result_ms']:.1f}")


def threads_table(rows):
    yield from page.table_head("model", "batch", "1 thread, ms", "2 threads, ms", "ratio")
    for model in filter(rows.get, TITLES):
        row = rows[model]
        one, two = row["threads_1_ms"], row["threads_2_ms"]
        yield page.table_row(TITLES[model], row["batch"], milliseconds(one), milliseconds(two), f"**{one / two:.2f}**")


def slopes(points, dimensions):
    """Between neighbours: by what power of the work the time grows."""
    return [math.log(b[1] / a[1]) / (dimensions * math.log(b[0] / a[0])) for a, b in zip(points, points[1:])]


def growth_table(rows):
    yield from page.table_head("what grows", "steps, ms", "slopes")
    for what, points in rows.items():
        times = ", ".join(f"{extent}: {milliseconds(time)}" for extent, time in points)
        powers = ", ".join(f"{slope:.2f}" for slope in slopes(points, 2 if what == "size" else 1))
        yield page.table_row(what, times, powers)


def growth_prose(runs):
    return page.wrapped(GROWTH_PROSE.format(threads=THREADS, runs=f"{runs} processes" if runs > 1 else "one process"))


def page_of(kept):
    lines = ["# What models cost", "", f"Machine: {kept['machine']}. Reproduce: `scripts/bench-costs`.", ""]
    if rows := kept.get("sizes"):
        lines += ["## Compilation, size, start", "", *page.wrapped(SIZES_PROSE), "", *sizes_table(rows), ""]
    if rows := kept.get("threads"):
        lines += ["## Threads", "", *page.wrapped(THREADS_PROSE), "", *threads_table(rows), ""]
    if rows := kept.get("growth"):
        lines += ["## Growth", "", *growth_prose(kept.get("growth_runs", 1)), "", *growth_table(rows), "",
                  "![Time of a training step as batch, depth and image size grow](growth.svg)", ""]
    return "\n".join(lines).rstrip() + "\n"


def draw_growth(pyplot, rows):
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
    return figure


def write_page(kept):
    page.write(PAGE, page_of(kept))
    if "growth" in kept:
        page.write_picture(PICTURE, draw_growth, kept["growth"])


# ---- All of it ------------------------------------------------------------------------------------------------------

def load(options):
    """What is kept, if it is of this machine, whose figures another one's would pass for."""
    kept = page.load(KEPT, {})
    if not options.page_only and kept.setdefault("machine", page.machine()) != page.machine():
        sys.exit(f"{KEPT.relative_to(ROOT)} has figures of another machine ({kept['machine']}); move it away to "
                 f"measure this one ({page.machine()})")
    return kept


def measure_all(kept, options):
    """Keeps each part, and each model's share of it, as it is done."""
    def keep():
        page.save(KEPT, kept)
        write_page(kept)

    per_model = {"sizes": measure_sizes, "threads": measure_threads}
    for part in options.parts:
        if part == "growth":
            kept |= {"growth": measure_growth(options), "growth_runs": RUNS_GROWTH}
            keep()
            continue
        for model in options.models:
            say(f"{part}: {model}")
            kept.setdefault(part, {})[model] = per_model[part](model, options)
            keep()


def main():
    parser = page.parser_of(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement of a step")
    options = page.parse(parser)
    kept = load(options)
    if not options.page_only:
        return measure_all(kept, options)
    if not kept:
        sys.exit("nothing is measured yet")
    write_page(kept)


if __name__ == "__main__":
    main()

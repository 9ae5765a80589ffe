#!/usr/bin/env python3
"""Times every convolution of the six models beside oneDNN's, pass by pass: both sides in turn on one machine.

    scripts/bench-layers [--models lenet resnet18] [--rounds 2] [--seconds 0.3]

A convolution counts once, whatever layers and models have it; it is timed at the recipe's batch, and forward at batch
1. netc's side is a program of that layer between two cheap ones, in which `profile` times the layer's own kernels;
oneDNN's is benchmarks/onednn_conv.cpp with each library at hand. Each of the four passes has a quarter of the seconds,
oneDNN's in each of two layouts, behind two runs that warm up, and runs at least five times.

What was measured is kept in docs/layers.json, row by row, so that a run may measure a part; docs/layers.md and its
picture are written from all of it.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import sys

import page
from models import RECIPES, ROOT, TITLES, settings_of, short_title
from page import geometric_mean, milliseconds, output_of, say

KEPT = ROOT / "docs/layers.json"
PAGE = ROOT / "docs/layers.md"
PICTURE = ROOT / "docs/layers.svg"
THREADS = 2  # and processors: the first that this may run on
LEAST = 5  # runs of a pass, on both sides
RUNTIMES = {"openmp": "OpenMP", "sycl": "SYCL"}
SHAPE = ("in", "out", "height", "width", "kernel", "stride", "pad")
PASSES = {"forward": "Forward", "backward_data": "Backward, data", "backward_weights": "Backward, weights"}

# A convolution as `netc dump` prints it; none of the six models has groups or dilation.
CONV = re.compile(r"= conv\{.*?channels = (?P<out>\d+), dilation = 1, groups = 1, kernel = (?P<kernel>\d+), "
                  r"pad = (?P<pad>\d+), stride = (?P<stride>\d+)\}"
                  r"\([^:]+:f32\[N,(?P<in>\d+),(?P<height>\d+),(?P<width>\d+)\].*// (?P<path>\S+)")

# The layer amid convolutions that ask it for the gradient of its input and give it one of its output.
SINGLE = """model single {{
  input image: f32[N, 1, {height}, {width}];
  before: conv({in}, 1);
  middle: conv({out}, {kernel}, stride = {stride}, pad = {pad});
  after: conv(1, 1);
  globalavgpool -> flatten -> linear(10);
  loss cross_entropy;
  train {{ batch = {batch}; optimizer = sgd(lr = 0.01); }}
}}
"""

INTRO = """\
Time of each distinct convolution of the six models of performance.md, alone, in single precision on two threads, the
fastest of some runs in each of the rounds, both sides in turn on one machine: {machines}. Peers: {peers}. PyPI has no
later oneDNN with OpenMP; that with SYCL takes some 0.01 ms to start anything, which counts. Each library computes in
the layouts that it chooses itself and in channels_last, and the faster counts; what it takes to bring data into those
layouts does not count, in its favour. Neither has Winograd's algorithm for these processors any more. netc's time is
that of the kernels in a program of that layer between a 1x1 convolution that makes its input and another one that
reads its output, all in the layouts that netc keeps between layers, transforms of Winograd's algorithm included. On
both sides forward adds the bias and backward sums its gradient with the weights'. A first layer's gradient of the
images is never computed, so not timed. The last ratio is the time of the faster library over netc's: above 1, netc is
faster. The share of peak is the rate of the multiply-adds beside the machine's own in registers, the most that it did
in any row of this page; netc's Winograd counts as what it replaces, and products with the zeros around an image, which
oneDNN leaves out, count, so both may exceed 100 %."""
MEANS = """\
Geometric means of the ratios over a model's distinct convolutions, and in brackets the ratio of what all of its
convolutions take in sum, each as often as the model has it:"""


# ---- Layers ---------------------------------------------------------------------------------------------------------

def convolutions(options):
    """Every distinct convolution with a batch, and layers that have it: {"in", …, "batch", "uses": {model: [path]}}."""
    found = {}
    for model in options.models:
        text = output_of([options.netc, "dump", f"models/{model}.net", *settings_of(model), "--after=elaborate"])
        for match in CONV.finditer(text):
            shape = {key: int(value) for key, value in match.groupdict().items() if key != "path"}
            shape["batch"] = RECIPES[model]
            layer = found.setdefault(tuple(sorted(shape.items())), shape | {"uses": {}})
            layer["uses"].setdefault(model, []).append(match["path"])
    return list(found.values())


def is_first(layer):
    """Whether it reads the images, whose gradient no training step computes."""
    return layer["in"] == 1


def file_name(layer):
    return "single_" + "_".join(str(layer[key]) for key in (*SHAPE, "batch"))


def build(layer, options):
    say(f"building {shape_name(layer)}")
    folder = options.programs / "layers" / file_name(layer)
    folder.mkdir(parents=True, exist_ok=True)
    text = SINGLE.format(**layer)
    if is_first(layer):
        text = re.sub(r".*before:.*\n", "", text)
    (folder / "single.net").write_text(text)
    output_of([options.netc, "build", "--native", folder / "single.net", "-o", folder])
    return folder / "single"


# ---- Measuring ------------------------------------------------------------------------------------------------------

def own_kernels(layer, kernels):
    """Pass -> milliseconds of the layer's own kernel. Forward it comes after `before`, backward after `after`."""
    def of(suited):
        return [kernel["ms"] for kernel in kernels if kernel["name"].startswith("conv") and suited(kernel["name"])]

    times = {"forward": of(lambda name: "backward" not in name)[0 if is_first(layer) else 1]}
    backward = {direction: of(lambda name: f"backward_{direction}" in name) for direction in ("data", "weights")}
    return times | {f"backward_{direction}": known[1] for direction, known in backward.items() if len(known) > 1}


def passes_of(layer):
    """Those of a training step."""
    return [name for name in PASSES if name != "backward_data" or not is_first(layer)]


def profile(program, mode, batch, seconds):
    """What `profile` says of a step; of two runs, three steps each at least, where one may be of fewer than LEAST."""
    def run():
        return page.figures_of(program, "profile", mode, batch, THREADS, seconds)

    first = run()
    if 2 * LEAST * first["ms"] < seconds * 1e3:  # hardly a step takes twice as long as the fastest
        return first
    second = run()
    kernels = [min(pair, key=lambda kernel: kernel["ms"]) for pair in zip(first["kernels"], second["kernels"])]
    return {"kernels": kernels, "machine_gflops": max(first["machine_gflops"], second["machine_gflops"])}


def run_netc(layer, program, options):
    """(pass, batch) -> milliseconds, and what the machine does at most."""
    times, peaks = {}, []
    for mode, batch, passes in (("train", layer["batch"], len(passes_of(layer))), ("infer", 1, 1)):
        figures = profile(program, mode, batch, passes * seconds_of_pass(options))
        peaks.append(figures["machine_gflops"])
        times |= {(name, batch): ms for name, ms in own_kernels(layer, figures["kernels"]).items()}
    return times, max(peaks)


def seconds_of_pass(options):
    """Of the four that a layer has, forward at batch 1 among them; on oneDNN's side in each layout."""
    return options.seconds / 4


def run_onednn(layer, runtime, options):
    """(pass, batch) -> milliseconds, and the library's version."""
    folder = options.onednn / runtime
    times = {}
    for batch, names in ((layer["batch"], passes_of(layer)), (1, ["forward"])):
        command = [folder / "onednn_conv", batch, *(layer[key] for key in SHAPE), seconds_of_pass(options), *names]
        # SYCL looks for this file where a system's installation of it would be.
        result = json.loads(output_of(command, OCL_ICD_FILENAMES=str(folder / "lib/libintelocl.so")))
        version = result.pop("version")
        times |= {(name, batch): ms for name, ms in result.items()}
    return times, version


def measure(layer, program, options):
    """A row for each pass: the best of all rounds, side by side."""
    best, versions, peak = {}, {}, 0
    for _ in range(options.rounds):
        sides = {}
        sides["netc"], measured_peak = run_netc(layer, program, options)
        peak = max(peak, measured_peak)
        for runtime, title in RUNTIMES.items():
            times, version = run_onednn(layer, runtime, options)
            sides[f"oneDNN {version}, {title}"] = times
        for side, times in sides.items():
            for of, ms in times.items():
                known = best.setdefault(of, {})
                known[side] = min(known.get(side, ms), ms)
    common = {"recipe": layer["batch"], "machine": page.machine(), "machine_gflops": peak}
    return [{**layer, "pass": name, "batch": batch, **common, "sides": sides} for (name, batch), sides in best.items()]


# ---- Reporting ------------------------------------------------------------------------------------------------------

def peers(rows):
    return sorted({side for row in rows for side in row["sides"] if side != "netc"})


def best_peer(row):
    return min(ms for side, ms in row["sides"].items() if side != "netc")


def ratio(row):
    return best_peer(row) / row["sides"]["netc"]


def gflop(row):
    """Of a pass, whichever: forward, and either gradient, multiply and add as often."""
    def slid(extent):
        return (extent + 2 * row["pad"] - row["kernel"]) // row["stride"] + 1
    return 2e-9 * row["batch"] * row["in"] * row["out"] * row["kernel"] ** 2 * slid(row["height"]) * slid(row["width"])


def layer_name(row):
    names = [f"{short_title(model)} `{path}`" for model, paths in row["uses"].items() for path in paths]
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def shape_name(row):
    stride = f" / {row['stride']}" if row["stride"] > 1 else ""
    return f"{row['in']} → {row['out']}, {row['kernel']}x{row['kernel']}{stride}, {row['height']}x{row['width']}"


def kinds(rows):
    """(pass, whether at batch 1) -> a title and the rows: what has a table of its own."""
    for name, title in PASSES.items():
        for single in (False, True):
            if chosen := [row for row in rows if row["pass"] == name and (row["batch"] == 1) == single]:
                yield title + (", batch 1" if single else ", the recipe's batch"), chosen


def layers_table(rows, all_rows):
    peak = max(row["machine_gflops"] for row in all_rows)

    def share(row, ms):
        return f"{gflop(row) / ms * 1e3 / peak:.0%}"

    sides = peers(rows)
    yield from page.table_head("layer", "shape", "batch", "netc, ms", *(f"{side}, ms" for side in sides), "best / netc",
                               "share of peak", "oneDNN's")
    for row in rows:
        ours = row["sides"]["netc"]
        yield page.table_row(layer_name(row), shape_name(row), row["batch"], milliseconds(ours),
                             *(milliseconds(row["sides"].get(side)) for side in sides), f"**{ratio(row):.2f}**",
                             share(row, ours), share(row, best_peer(row)))


def means(rows, model):
    """The geometric mean over distinct convolutions, and in brackets the ratio of the sums over all; None: of every
    model."""
    if not (rows := [row for row in rows if model is None or model in row["uses"]]):
        return ""
    counts = [sum(len(paths) for user, paths in row["uses"].items() if model in (None, user)) for row in rows]
    theirs = sum(count * best_peer(row) for count, row in zip(counts, rows))
    ours = sum(count * row["sides"]["netc"] for count, row in zip(counts, rows))
    return f"**{geometric_mean(list(map(ratio, rows))):.2f}** ({theirs / ours:.2f})"


def means_table(rows):
    columns = list(kinds(rows))
    yield from page.table_head("model", *(title[0].lower() + title[1:] for title, _ in columns))
    for model in [*models_of(rows), None]:
        yield page.table_row(TITLES.get(model, "all"), *(means(chosen, model) for _, chosen in columns))


def models_of(rows):
    return [model for model in TITLES if any(model in row["uses"] for row in rows)]


def in_order(rows):
    models = list(TITLES)
    return sorted(rows, key=lambda row: models.index(next(iter(row["uses"]))))


def page_of(kept):
    rows = in_order(kept["rows"])
    intro = INTRO.format(machines=", ".join(sorted({row["machine"] for row in rows})), peers="; ".join(peers(rows)))
    lines = ["# Convolutions beside oneDNN, layer by layer", "", *page.wrapped(intro), "",
             "```", "scripts/bench-layers", "```", "", *page.wrapped(MEANS), "", *means_table(rows), "",
             "![How much faster netc's convolutions are than oneDNN's](layers.svg)", ""]
    for title, chosen in kinds(rows):
        lines += [f"## {title}", "", *layers_table(chosen, rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def draw(pyplot, rows):
    """A dot for a layer, a bar at a model's geometric mean."""
    models, panels = models_of(rows), list(kinds(rows))
    height = 0.4 + (0.4 + 0.2 * len(models)) * len(panels)
    figure, all_axes = pyplot.subplots(len(panels), 1, sharex=True, figsize=(7, height))
    for axes, (title, chosen) in zip(all_axes, panels):
        draw_panel(axes, title, chosen, models)
    axes = all_axes[-1]
    axes.set_xscale("log")
    least, most = min(map(ratio, rows)) / 2, max(map(ratio, rows)) * 2
    shown = [tick for tick in (0.25, 0.5, 1, 2, 4, 8, 16) if least < tick < most]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    axes.set_xlabel("time of oneDNN / time of netc; a dot for each convolution, a bar at the geometric mean")
    return figure


def draw_panel(axes, title, rows, models):
    for place, model in enumerate(models):
        if not (ratios := [ratio(row) for row in rows if model in row["uses"]]):
            continue
        axes.plot(ratios, [place] * len(ratios), "o", color="#2a6fbb", alpha=0.5, markeredgewidth=0, markersize=6)
        axes.plot(geometric_mean(ratios), place, "|", color="#111111", markersize=13, markeredgewidth=2)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_yticks(range(len(models)), [short_title(model) for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.axvline(1, color="#444444", linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)


def write_page(kept):
    page.write(PAGE, page_of(kept))
    page.write_picture(PICTURE, draw, in_order(kept["rows"]))


# ---- All of it ------------------------------------------------------------------------------------------------------

def load():
    return page.load(KEPT, {"rows": []})


def keep(kept, rows):
    """In place of the rows for the same convolutions."""
    same = (*SHAPE, "batch", "recipe", "pass", "machine")
    for row in rows:
        old = [known for known in kept["rows"] if all(known[key] == row[key] for key in same)]
        row["uses"] = {model: paths for known in [*old, row] for model, paths in known["uses"].items()}
        kept["rows"] = [known for known in kept["rows"] if known not in old] + [row]
    page.save(KEPT, kept)


def measure_all(kept, options):
    layers = convolutions(options)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        programs = list(pool.map(lambda layer: build(layer, options), layers))
    # oneDNN's libraries have a thread for each processor that they may run on.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for place, (layer, program) in enumerate(zip(layers, programs)):
        say(f"{shape_name(layer)}, batch {layer['batch']}: {place + 1} of {len(layers)}")
        keep(kept, measure(layer, program, options))


def main():
    parser = page.parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each side in each round, and of either layout")
    parser.add_argument("--onednn", type=pathlib.Path, default=ROOT / "build/onednn",
                        help="folder of oneDNN's libraries and programs")
    options, kept = page.parse(parser), load()
    if not options.page_only:
        measure_all(kept, options)
    if not kept["rows"]:
        sys.exit("nothing is measured yet")
    write_page(kept)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times netc beside its peers on the seed models: both sides in turn on one machine, each in a process of its own.

    scripts/bench [--models lenet resnet18] [--tasks train infer] [--precisions f32 bf16] [--batches 0 1 32]
                  [--rounds 2] [--seconds 2]

Batch 0 is the recipe's. In bf16, netc's `--precision bf16` stands beside PyTorch's autocast and OpenVINO's hint. Every
way of PyTorch's runs with glibc's allocator as it is, and in training again with GLIBC_TUNABLES=glibc.malloc.hugetlb=1.
What was measured is kept in docs/performance.json, row by row, so that a run may measure a part; docs/performance.md and
its picture are written from all of it.
"""
import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs/performance.json"
PAGE = ROOT / "docs/performance.md"
PICTURE = ROOT / "docs/performance.svg"
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
TRAINING = ("eager", "channels_last", "compiled")
INFERENCE = ("eager", "channels_last", "compiled", "onnxruntime", "openvino")
WITHOUT_BF16 = {"onnxruntime"}
PRECISIONS = ("f32", "bf16")
START = time.perf_counter()
PIXELS = {"lenet": 28, "alexnet": 224, "vgg11": 224, "nin": 224, "googlenet": 96, "resnet18": 96}
TITLES = {"lenet": "LeNet, 28x28", "alexnet": "AlexNet, 224x224", "vgg11": "VGG-11/4, 224x224", "nin": "NiN, 224x224",
          "googlenet": "GoogLeNet, 96x96", "resnet18": "ResNet-18, 96x96"}
RECIPES = {"lenet": 256, "alexnet": 128, "vgg11": 128, "nin": 128, "googlenet": 128, "resnet18": 256}
SETTINGS = {"vgg11": ["--set", "ratio=4"]}


# ---- Measuring ------------------------------------------------------------------------------------------------------

def output_of(command, **environment):
    done = subprocess.run([str(part) for part in command], env=dict(os.environ, **environment), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def build(netc, model, precision, folder):
    folder = folder / precision / model
    output_of([netc, "build", "--native", "--precision", precision, f"models/{model}.net", *SETTINGS.get(model, []), "-o", folder])
    return folder / model


def sides_of(program, model, task, precision, batch, options):
    """Name -> what runs it once and returns a JSON object."""
    common = ["--batch", batch, "--threads", options.threads, "--seconds", options.seconds]

    def netc():
        return json.loads(output_of([program, "bench", "--mode", task, *common, "--json"]))

    def peer(way, environment):
        command = [sys.executable, ROOT / "benchmarks/peer.py", way, model, task, "--precision", precision, *common]
        return json.loads(output_of(command, **environment))

    sides = {"netc": netc}
    for way in TRAINING if task == "train" else INFERENCE:
        if precision == "bf16" and way in WITHOUT_BF16:
            continue
        sides[way] = lambda way=way: peer(way, {})
        if task == "train":
            sides[f"{way}, huge pages"] = lambda way=way: peer(way, HUGE_PAGES)
    return {name: run for name, run in sides.items() if not options.ways or way_of(name) in ("netc", *options.ways)}


def way_of(side):
    return side.split(",")[0]


def measure(program, model, task, precision, batch, options):
    """Side -> the best step and the least peak of memory of all rounds. A peer that fails is reported and left out."""
    best = {}
    sides = sides_of(program, model, task, precision, batch, options)
    for round in range(options.rounds):
        for place, (side, run) in enumerate(sides.items()):
            say(f"{model}, {task}, {precision}, batch {batch}: {side}, {round * len(sides) + place + 1} of {options.rounds * len(sides)}")
            try:
                result = run()
            except RuntimeError as error:
                if side == "netc":
                    raise
                print(f"\n{error}", file=sys.stderr)
                continue
            known = best.setdefault(side, result)
            for key in ("best_ms", "process_peak_bytes"):
                known[key] = min(known[key], result[key])
    profile = output_of([program, "profile", "--mode", task, "--batch", batch, "--threads", options.threads, "--seconds", 1])
    step, rate = re.search(r"threads: ([\d.]+) ms.* ([\d.]+) GFLOP/s$", profile, re.M).groups()
    best["netc"]["gflop"] = float(step) * float(rate) / 1e3
    best["netc"]["machine_gflops"] = float(re.search(r"^machine: ([\d.]+) GFLOP/s", profile, re.M).group(1))
    return best


def say(text):
    elapsed = time.strftime("%H:%M:%S", time.gmtime(time.perf_counter() - START))
    if sys.stderr.isatty():
        print(f"\r\x1b[K{elapsed} {text}", end="", file=sys.stderr, flush=True)
    else:
        print(f"{elapsed} {text}", file=sys.stderr, flush=True)


# ---- Reporting ------------------------------------------------------------------------------------------------------

def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def fastest(row, suited):
    """The fastest peer whose name is `suited`, in milliseconds."""
    times = [result["best_ms"] for side, result in row["sides"].items() if side != "netc" and suited(side)]
    return min(times, default=math.nan)


def speedup(row, suited):
    return fastest(row, suited) / row["sides"]["netc"]["best_ms"]


def milliseconds(value):
    if value is None or math.isnan(value):
        return ""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio(value):
    return "" if math.isnan(value) else f"{value:.2f}"


def share_of_peak(row, rows):
    """The step's multiply-adds a second beside the most that the machine did in any of the runs."""
    ours = row["sides"]["netc"]
    return f"{ours['gflop'] / ours['best_ms'] * 1e3 / max(other['sides']['netc']['machine_gflops'] for other in rows):.0%}"


def with_huge_pages(side):
    return "huge pages" in side


def plain(side):
    return not with_huge_pages(side)


def training_table(rows):
    sides = [side for way in TRAINING for side in (way, f"{way}, huge pages") if any(side in row["sides"] for row in rows)]
    yield ("| model | batch | netc, ms | share of peak | " + " | ".join(f"{side}, ms" for side in sides)
           + " | best / netc | with huge pages | memory, MB | PyTorch's |")
    yield "|---" * (8 + len(sides)) + "|"
    for row in rows:
        ours = row["sides"]["netc"]
        times = [row["sides"].get(side, {}).get("best_ms") for side in sides]
        peaks = [result["process_peak_bytes"] for side, result in row["sides"].items() if side != "netc"]
        yield (f"| {TITLES[row['model']]} | {row['batch']} | {milliseconds(ours['best_ms'])} | {share_of_peak(row, rows)} | "
               + " | ".join(map(milliseconds, times))
               + f" | **{ratio(speedup(row, plain))}** | {ratio(speedup(row, with_huge_pages))} | "
               + f"{ours['process_peak_bytes'] / 1e6:.0f} | {min(peaks, default=0) / 1e6:.0f} |")


def inference_table(rows):
    ways = [way for way in INFERENCE if any(way in row["sides"] for row in rows)]
    yield "| model | batch | netc, ms | share of peak | " + " | ".join(f"{way}, ms" for way in ways) + " | best / netc |"
    yield "|---" * (5 + len(ways)) + "|"
    for row in rows:
        ours = row["sides"]["netc"]
        times = [row["sides"].get(way, {}).get("best_ms") for way in ways]
        yield (f"| {TITLES[row['model']]} | {row['batch']} | {milliseconds(ours['best_ms'])} | {share_of_peak(row, rows)} | "
               + " | ".join(map(milliseconds, times)) + f" | **{ratio(speedup(row, plain))}** |")


def mean_line(rows):
    def mean(rows, suited):
        ratios = [value for value in (speedup(row, suited) for row in rows) if not math.isnan(value)]
        return f"{geometric_mean(ratios):.2f}" if ratios else "none"

    if rows[0]["task"] == "train":
        means = [mean(rows, plain), mean(rows, with_huge_pages) + " with huge pages"]
    else:
        batches = sorted({row["batch"] for row in rows})
        means = [f"{mean([row for row in rows if row['batch'] == batch], plain)} at batch {batch}" for batch in batches]
    return f"Geometric mean of the ratios: {', '.join(means)}."


def write_page(kept):
    order = list(TITLES)
    rows = sorted(kept["rows"], key=lambda row: (row["precision"] != "f32", row["task"] != "train", row["threads"], row["batch"], order.index(row["model"])))
    machines = sorted({row["machine"] for row in rows})
    named = sorted({peer for row in rows for peer in row["peers"]})
    intro = (f"Each figure is the time of one step: the fastest within some seconds, over several rounds in which both sides "
             f"run in turn, each in a process of its own, on one machine: {', '.join(machines)}. Peers: {', '.join(named)}. "
             "netc's programs are built with `--native`, and its models are frozen where they infer. VGG-11/4 is VGG-11 with a "
             "quarter of the channels (`--set ratio=4`). PyTorch runs as it is (eager), with channels_last, and with "
             "torch.compile (compiled). bf16 is netc's `--precision bf16` beside PyTorch's autocast and OpenVINO's precision "
             "hint, as far as there is a column of them. The last ratios are the "
             "time of the best of the peers' ways over netc's: above 1, netc is faster. The share of peak is the rate of the "
             "step's multiply-adds beside the machine's own in registers, the most that it did in any row; Winograd's "
             "algorithm counts as what it replaces, so it may exceed 100 %. Empty cells were not measured. \"Huge pages\" is "
             "`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`, for the peer. Memory is the peak of the process.")
    lines = ["# Performance beside peers", "", *textwrap.wrap(intro, 120),
             "", "```", "scripts/bench", "```", ""]
    titles = {"train": "Training step: forward, loss, backward, SGD", "infer": "Inference"}
    tables = {"train": training_table, "infer": inference_table}
    for precision, task, threads in sorted({(row["precision"], row["task"], row["threads"]) for row in rows},
                                           key=lambda part: (part[0] != "f32", part[1] != "train", part[2])):
        chosen = [row for row in rows if (row["precision"], row["task"], row["threads"]) == (precision, task, threads)]
        title = titles[task] + (", bf16" if precision == "bf16" else "")
        lines += [f"## {title}, {threads} thread{'s' * (threads > 1)}", "", *tables[task](chosen), "", mean_line(chosen), ""]
    lines += ["![How much faster netc is than the best peer](performance.svg)"]
    PAGE.write_text("\n".join(lines) + "\n")
    draw(rows)


def draw(rows):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "netc", "font.size": 9})
    from matplotlib import pyplot
    rows = [row for row in rows if len(row["sides"]) > 1]
    bars = [(f"{TITLES[row['model']].split(',')[0]}, {row['task']}, batch {row['batch']}"
             + (", bf16" if row["precision"] == "bf16" else "")
             + (f", {row['threads']} threads" if row["threads"] != 2 else ""),
             speedup(row, plain), row["task"]) for row in rows]
    figure, axes = pyplot.subplots(figsize=(7, 0.8 + 0.22 * len(bars)))
    axes.barh([bar[0] for bar in bars], [bar[1] for bar in bars],
              color=["#2a6fbb" if bar[2] == "train" else "#6aa84f" for bar in bars])
    axes.axvline(1, color="#444444", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("time of the best peer / time of netc")
    for place, bar in enumerate(bars):
        axes.text(bar[1], place, f" {bar[1]:.2f}", va="center")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    sets = "AVX-512" if "avx512f" in text else "AVX2" if "avx2" in text else "SSE"
    return f"{os.cpu_count()} cores, {name.group(1) if name else 'unknown'}, {sets}"


def peers():
    from importlib.metadata import PackageNotFoundError, version
    found = []
    for name, title in {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}.items():
        try:
            found.append(f"{title} {version(name).split('+')[0]}")
        except PackageNotFoundError:
            pass
    return found


def keep(kept, row):
    """In place of the row for the same, whose other sides stay."""
    same = ("model", "task", "precision", "batch", "threads", "machine")
    for old in kept["rows"]:
        if all(old[key] == row[key] for key in same):
            row["sides"] = {**old["sides"], **row["sides"]}
    kept["rows"] = [old for old in kept["rows"] if any(old[key] != row[key] for key in same)] + [row]
    kept["rows"].sort(key=lambda row: [row[key] for key in same])
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--tasks", nargs="+", choices=("train", "infer"), default=["train", "infer"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--batches", nargs="+", type=int, help="0: the recipe's (training: 0; inference: 1 and 32)")
    parser.add_argument("--ways", nargs="+", choices=sorted({*TRAINING, *INFERENCE}), help="only these ways of the peers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2, help="of each side in each round")
    parser.add_argument("--netc", type=pathlib.Path, default=ROOT / "build/bin/netc")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/bench", help="folder of the models' programs")
    parser.add_argument("--page-only", action="store_true", help="write the page from what is kept, measure nothing")
    options = parser.parse_args()
    options.netc, options.programs = options.netc.resolve(), options.programs.resolve()
    os.chdir(ROOT)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"rows": []}
    for row in kept["rows"]:
        row.setdefault("precision", "f32")
    runs = [] if options.page_only else [(model, precision) for model in options.models for precision in options.precisions]
    for model, precision in runs:
        program = build(options.netc, model, precision, options.programs)
        for task in options.tasks:
            for batch in options.batches or ([0] if task == "train" else [1, 32]):
                batch = batch or RECIPES[model]
                sides = measure(program, model, task, precision, batch, options)
                keep(kept, {"model": model, "task": task, "precision": precision, "batch": batch, "threads": options.threads,
                            "machine": machine(), "peers": peers(), "sides": sides})
                write_page(kept)
    if options.page_only and kept["rows"]:
        write_page(kept)
    if not kept["rows"]:
        sys.exit("nothing is measured yet")


if __name__ == "__main__":
    main()

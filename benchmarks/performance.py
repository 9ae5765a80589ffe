#!/usr/bin/env python3
"""Times netc beside its peers on the six models: both sides in turn on one machine, each in a process of its own.

    scripts/bench [--models lenet resnet18] [--tasks train infer] [--precisions f32 bf16] [--batches 0 1 32]
                  [--rounds 2] [--seconds 2]

Batch 0 is the recipe's. In bf16, netc's `--precision bf16` stands beside PyTorch's autocast and OpenVINO's hint. Every
way of a peer runs with glibc's allocator as it is, and again with GLIBC_TUNABLES=glibc.malloc.hugetlb=1. Where the
machine multiplies more slowly than it is known to, something else runs on it: then both sides are measured again, twice
at most, and the least of all rounds counts.

What was measured is kept in docs/performance.json, side by side with the day, so that a run may measure a part;
docs/performance.md and its picture are written from all of it. A peer that fails loses its kept figures, and the exit
status is 1.
"""
import importlib.metadata
import json
import math
import sys

import page
from models import RECIPES, ROOT, TITLES, short_title

KEPT = ROOT / "docs/performance.json"
PAGE = ROOT / "docs/performance.md"
PICTURE = ROOT / "docs/performance.svg"
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
WAYS = {"train": ("eager", "channels_last", "compiled"),
        "infer": ("eager", "channels_last", "compiled", "onnxruntime", "openvino")}
WITHOUT_BF16 = {"onnxruntime"}
PRECISIONS = ("f32", "bf16")
LIBRARIES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}  # by package
SAME = ("model", "task", "precision", "batch", "threads", "machine")  # what two measurements of one row share
LEAST = ("best_ms", "median_ms", "process_peak_bytes")  # what the least of all rounds is kept of
# Of the best rate of multiply-adds that the machine is known for. Choice: allows for twice what a quiet machine varied
# by while docs/layers.json was measured, 3 % (2026-11).
QUIET = 0.93
REPEATS = 2  # at most, of a measurement on a machine that is not quiet

INTRO = """\
Each figure is the time of one step: the fastest within some seconds, over several rounds in which both sides run in
turn, each in a process of its own, on one machine: {machines}. {days} Peers: {peers}. netc's programs are built with
`--native`, and its models are frozen where they infer. VGG-11/4 is VGG-11 with a quarter of the channels (`--set
ratio=4`). PyTorch runs as it is (eager), with channels_last, and with torch.compile ({compiled}). bf16 is netc's
`--precision bf16` beside PyTorch's autocast and OpenVINO's precision hint, as far as there is a column of them. The
bold ratio is the time of the best of the peers' ways over netc's: above 1, netc is faster. The one beside it is that
of their best with huge pages, `GLIBC_TUNABLES=glibc.malloc.hugetlb=1`, for the peer. Medians are those of one round's
steps, netc's and the best way's. The share of peak is the rate of the step's multiply-adds beside the machine's own in
registers, in f32, the most that it did in any row of this page; Winograd's algorithm counts as what it replaces, and
the dot products of bf16 do twice the work of f32's multiply-adds, so it may exceed 100 %. Empty cells were not
measured. Memory is the peak of the process."""
HEADINGS = {"train": "Training step: forward, loss, backward, SGD", "infer": "Inference"}


# ---- Measuring ------------------------------------------------------------------------------------------------------

def sides_of(program, case, options):
    """Name -> what runs it once and returns a JSON object."""
    model, task, precision, batch, threads = (case[key] for key in ("model", "task", "precision", "batch", "threads"))

    def netc():
        return page.figures_of(program, "bench", task, batch, threads, options.seconds)

    def peer(way, environment):
        command = [sys.executable, ROOT / "benchmarks/peer.py", way, model, task, "--precision", precision, "--batch",
                   batch, "--threads", threads, "--seconds", options.seconds]
        return json.loads(page.output_of(command, **environment))

    sides = {"netc": netc}
    for way in WAYS[task]:
        if (precision == "bf16" and way in WITHOUT_BF16) or (options.ways and way not in options.ways):
            continue
        sides[way] = lambda way=way: peer(way, {})
        sides[f"{way}, huge pages"] = lambda way=way: peer(way, HUGE_PAGES)
    return sides


def package_of(side):
    way = side.split(",")[0]
    return way if way in LIBRARIES else "torch"


def stamped(side, result):
    """With the day, and of a peer its version."""
    result.pop("examples_per_second", None)  # those of one round's median
    result["date"] = page.today()
    if side != "netc":
        package = package_of(side)
        result["version"] = f"{LIBRARIES[package]} {importlib.metadata.version(package).split('+')[0]}"
    return result


def run_rounds(sides, case, options, best):
    """Puts the least of every side into `best`. A peer that fails is reported and leaves both."""
    for number in range(options.rounds):
        for side, run in list(sides.items()):
            page.say(f"{case_name(case)}: {side}, round {number + 1} of {options.rounds}")
            try:
                result = stamped(side, run())
            except RuntimeError as error:
                if side == "netc":
                    raise
                page.warn(error)
                del sides[side]
                best.pop(side, None)
                continue
            known = best.setdefault(side, result)
            for key in LEAST:
                known[key] = min(known[key], result[key])


def measure(program, case, options, usual):
    """Side -> the best and median step and the least peak of memory of all rounds; and the names of peers that failed.
    Repeats all rounds where the machine is below its `usual` GFLOP/s."""
    sides, best = sides_of(program, case, options), {}
    asked = set(sides)
    for attempt in range(1 + REPEATS):
        run_rounds(sides, case, options, best)
        profile = page.figures_of(program, "profile", case["task"], case["batch"], case["threads"], 1)
        gflops, ours = profile["machine_gflops"], best["netc"]
        ours["gflop"] = sum(kernel["gflop"] for kernel in profile["kernels"])
        ours["machine_gflops"] = max(ours.get("machine_gflops", 0), gflops)
        if gflops >= QUIET * usual:
            break
        page.warn(f"warning: {case_name(case)}: the machine did {gflops:.0f} GFLOP/s in place of {usual:.0f}, so "
                  f"something else runs on it; {'measuring again' if attempt < REPEATS else 'kept all the same'}")
    return best, asked - set(sides)


def case_name(case):
    return f"{case['model']}, {case['task']}, {case['precision']}, batch {case['batch']}"


# ---- Keeping --------------------------------------------------------------------------------------------------------

def load():
    """Rows of earlier versions have their peers' versions in one list, no days and perhaps no precision."""
    kept = page.load(KEPT, {"rows": []})
    for row in kept["rows"]:
        row.setdefault("precision", "f32")
        peers = row.pop("peers", [])
        for side, result in row["sides"].items():
            if side != "netc":
                library = LIBRARIES[package_of(side)]
                result.setdefault("version", next((peer for peer in peers if peer.startswith(library)), library))
    return kept


def keep(kept, row, failed):
    """In place of the row for the same, whose other sides stay as they were measured, but for those that failed."""
    def is_same(other):
        return all(other[key] == row[key] for key in SAME)

    stay = {side: result for old in kept["rows"] if is_same(old) for side, result in old["sides"].items()}
    row["sides"] = {side: result for side, result in {**stay, **row["sides"]}.items() if side not in failed}
    kept["rows"] = [old for old in kept["rows"] if not is_same(old)] + [row]
    kept["rows"].sort(key=lambda row: [row[key] for key in SAME])
    page.save(KEPT, kept)


def known_gflops(rows, case):
    """The best rate of this machine in any row, with as many threads; 0 where it has none yet."""
    return max((row["sides"]["netc"]["machine_gflops"] for row in rows
                if all(row[key] == case[key] for key in ("machine", "threads"))), default=0)


# ---- Reporting ------------------------------------------------------------------------------------------------------

def with_huge_pages(side):
    return "huge pages" in side


def plain(side):
    return not with_huge_pages(side)


def fastest(row, suited):
    """What was measured of the fastest peer whose name is `suited`."""
    found = [result for side, result in row["sides"].items() if side != "netc" and suited(side)]
    return min(found, key=lambda result: result["best_ms"], default={})


def speedup(row, suited):
    return fastest(row, suited).get("best_ms", math.nan) / row["sides"]["netc"]["best_ms"]


def ratio(value):
    return "" if math.isnan(value) else f"{value:.2f}"


def bold(text):
    return f"**{text}**" if text else ""


def share_of_peak(row, all_rows):
    """The step's multiply-adds a second beside the most that the machine did in any of the runs."""
    ours = row["sides"]["netc"]
    return f"{ours['gflop'] / ours['best_ms'] * 1e3 / known_gflops(all_rows, row):.0%}"


def memory_cells(row):
    """Megabytes of netc and of the leanest peer."""
    peaks = [result["process_peak_bytes"] for side, result in row["sides"].items() if side != "netc"]
    megabytes = [f"{peak / 1e6:.0f}" for peak in (row["sides"]["netc"]["process_peak_bytes"], *sorted(peaks)[:1])]
    return megabytes if peaks else [*megabytes, ""]


def table(rows, all_rows):
    """Of one task, with a column for each way that was measured."""
    ways = [way for way in WAYS[rows[0]["task"]] if any(way in row["sides"] for row in rows)]
    trains = rows[0]["task"] == "train"
    yield from page.table_head(
        "model", "batch", "netc, ms", "share of peak", *(f"{way}, ms" for way in ways), "best with huge pages, ms",
        "best / netc", "with huge pages", "netc's median, ms", "best way's median, ms",
        *(("memory, MB", "PyTorch's") if trains else ()))
    for row in rows:
        ours, best = row["sides"]["netc"], fastest(row, plain)
        times = [row["sides"].get(way, {}).get("best_ms") for way in ways]
        yield page.table_row(
            TITLES[row["model"]], row["batch"], page.milliseconds(ours["best_ms"]), share_of_peak(row, all_rows),
            *map(page.milliseconds, [*times, fastest(row, with_huge_pages).get("best_ms")]),
            bold(ratio(speedup(row, plain))), ratio(speedup(row, with_huge_pages)),
            *map(page.milliseconds, [ours.get("median_ms"), best.get("median_ms")]),
            *(memory_cells(row) if trains else ()))


def mean(rows):
    """Of the ratios, and of those with huge pages where there are any."""
    means = []
    for suited in (plain, with_huge_pages):
        ratios = [value for value in (speedup(row, suited) for row in rows) if not math.isnan(value)]
        means.append(f"{page.geometric_mean(ratios):.2f}" if ratios else None)
    return (means[0] or "none") + (f" ({means[1]} with huge pages)" if means[1] else "")


def mean_line(rows):
    batches = sorted({row["batch"] for row in rows})
    if rows[0]["task"] == "train":
        means = [mean(rows)]
    else:
        means = [f"{mean([row for row in rows if row['batch'] == batch])} at batch {batch}" for batch in batches]
    return f"Geometric mean of the ratios: {', '.join(means)}."


def days(rows):
    """A sentence: from the first to the last on which a side was measured."""
    found = {result.get("date") for row in rows for result in row["sides"].values()}
    known = sorted(found - {None})
    if not known:
        return "The days of the measurements were not kept."
    span = f"from {known[0]} to {known[-1]}" if len(known) > 1 else f"on {known[0]}"
    return f"Measured {span}{', some figures earlier' if None in found else ''}."


def compiled(rows):
    """What torch.compile's column is called: in inference older figures, which have no day, are without freezing."""
    found = [row["sides"]["compiled"] for row in rows if row["task"] == "infer" and "compiled" in row["sides"]]
    return "compiled" + ("; its weights frozen in inference" if found and all("date" in result for result in found) else "")


def machines(rows):
    """Each with what it multiplies and adds in registers, by which it can be told from others of its name."""
    rates = {}
    for row in rows:
        rates[row["machine"]] = max(rates.get(row["machine"], 0), row["sides"]["netc"]["machine_gflops"])
    return "; ".join(f"{machine} ({rate:.0f} GFLOP/s in registers)" for machine, rate in sorted(rates.items()))


def intro(rows):
    peers = {result["version"] for row in rows for side, result in row["sides"].items() if side != "netc"}
    return INTRO.format(machines=machines(rows), days=days(rows),
                        peers=", ".join(sorted(peers)), compiled=compiled(rows))


def in_order(rows):
    models = list(TITLES)
    return sorted(rows, key=lambda row: (row["machine"], row["precision"] != "f32", row["task"] != "train",
                                         row["threads"], row["batch"], models.index(row["model"])))


def of_machine(row, all_rows):
    """What tells it from other machines' rows."""
    return f", {row['machine']}" if len({other["machine"] for other in all_rows}) > 1 else ""


def heading(row, all_rows):
    threads = f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
    return HEADINGS[row["task"]] + ", bf16" * (row["precision"] == "bf16") + f", {threads}{of_machine(row, all_rows)}"


def page_of(kept):
    rows = in_order(kept["rows"])
    lines = ["# Performance beside peers", "", *page.wrapped(intro(rows)), "", "```", "scripts/bench", "```", ""]
    sections = {}
    for row in rows:
        sections.setdefault(heading(row, rows), []).append(row)
    for title, chosen in sections.items():
        lines += [f"## {title}", "", *table(chosen, rows), "", mean_line(chosen), ""]
    lines += ["![How much faster netc is than the best peer](performance.svg)"]
    return "\n".join(lines) + "\n"


def draw(pyplot, rows):
    """A bar for each row that has a peer."""
    bars = [(f"{short_title(row['model'])}, {row['task']}, batch {row['batch']}"
             + (", bf16" if row["precision"] == "bf16" else "")
             + (f", {row['threads']} threads" if row["threads"] != 2 else "") + of_machine(row, rows),
             speedup(row, plain), row["task"]) for row in rows if not math.isnan(speedup(row, plain))]
    figure, axes = pyplot.subplots(figsize=(7, 0.8 + 0.22 * len(bars)))
    axes.barh([bar[0] for bar in bars], [bar[1] for bar in bars],
              color=["#2a6fbb" if bar[2] == "train" else "#6aa84f" for bar in bars])
    axes.axvline(1, color="#444444", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("time of the best peer / time of netc")
    for place, bar in enumerate(bars):
        axes.text(bar[1], place, f" {bar[1]:.2f}", va="center")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def write_page(kept):
    page.write(PAGE, page_of(kept))
    page.write_picture(PICTURE, draw, in_order(kept["rows"]))


# ---- All of it ------------------------------------------------------------------------------------------------------

def parse():
    parser = page.parser_of(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--batches", nargs="+", type=int, help="0: the recipe's (training: 0; inference: 1 and 32)")
    parser.add_argument("--ways", nargs="+", choices=sorted({*WAYS["train"], *WAYS["infer"]}),
                        help="only these ways of the peers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2, help="of each side in each round")
    return page.parse(parser)


def cases(options):
    """Every row to measure, but for its sides."""
    for model in options.models:
        for precision in options.precisions:
            for task in options.tasks:
                for batch in options.batches or ([0] if task == "train" else [1, 32]):
                    yield {"model": model, "task": task, "precision": precision, "batch": batch or RECIPES[model],
                           "threads": options.threads, "machine": page.machine()}


def measure_all(kept, options):
    """Keeps each row as it is done; returns the peers that failed, with their rows."""
    programs, failures = {}, []
    for case in cases(options):
        built = case["model"], case["precision"]
        if built not in programs:
            programs[built] = page.build(options.netc, *built, options.programs)
        sides, failed = measure(programs[built], case, options, known_gflops(kept["rows"], case))
        keep(kept, {**case, "sides": sides}, failed)
        write_page(kept)
        failures += [f"{case_name(case)}: {side}" for side in sorted(failed)]
    return failures


def main():
    options, kept = parse(), load()
    failures = [] if options.page_only else measure_all(kept, options)
    if not kept["rows"]:
        sys.exit("nothing is measured yet")
    if options.page_only:
        write_page(kept)
    if failures:
        sys.exit(f"failed, and not in the page: {'; '.join(failures)}")


if __name__ == "__main__":
    main()

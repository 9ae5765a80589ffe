"""The report of gpu_check.py: what was checked and measured on a GPU, as JSON to go on from and as a page to read."""
import math

import page
from models import RECIPES, TITLES

PASSED, FAILED, NOT_DONE, UNAVAILABLE = "passed", "failed", "not done", "not available here"
STEPS = {
    "training": "Three training steps, beside the CPU",
    "products": "Tensor cores, beside the CPU",
    "speed": "Training steps",
    "epoch": "An epoch",
    "networks": "Training steps of networks, beside the CPU",
    "operators": "Operators, beside PyTorch",
    "parity": "Networks, beside PyTorch in double precision",
    "inference": "Forward passes",
    "compiled": "PyTorch's compiled training steps",
    "precisions": "Training steps in other precisions",
    "profile": "Where the time goes",
    "races": "compute-sanitizer",
}
TASKS = {"speed": "train", "compiled": "train", "precisions": "train", "inference": "infer"}
WAYS = ("channels_last", "compiled")
GOAL = 1  # of the mean of PyTorch's best time / netc's


def result(state, detail="", lines=(), figures=None):
    """What came of one check: `lines` of Markdown to show below it; `figures` of a measurement."""
    return {"state": state, "detail": detail, "lines": list(lines), "figures": figures}


class Report:
    """Results by step and by name. Whoever kills the writer finds the old files or the new ones."""

    def __init__(self, file, precision, resume=False):
        self.file = file
        self.kept = file.with_suffix(".json")
        self.precision = precision
        empty = {"head": [], "results": {}}
        self.data = page.load(self.kept, empty) if resume else empty

    def plan(self, step, names):
        """What is not done unless `put` says otherwise."""
        results = self.data["results"].setdefault(step, {})
        for name in names:
            results.setdefault(name, result(NOT_DONE))

    def is_open(self, step, name):
        return self.data["results"][step][name]["state"] == NOT_DONE

    def put(self, step, name, found):
        self.data["results"][step][name] = found
        self.write()

    def note(self, line):
        if line not in self.data["head"]:
            self.data["head"].append(line)

    def write(self):
        page.save(self.kept, self.data)
        page.write(self.file, "\n".join(self.lines()) + "\n")

    # ---- What it says -----------------------------------------------------------------------------------------------

    def named(self, state):
        return [f"{step}: {name}" for step, results in self.data["results"].items()
                for name, found in results.items() if found["state"] == state]

    def is_good(self):
        return not self.named(FAILED) and not self.named(NOT_DONE)

    def verdict(self):
        failed, open_ones, missing = (self.named(state) for state in (FAILED, NOT_DONE, UNAVAILABLE))
        yield f"**{'Incomplete' if open_ones else 'Complete'}{', with failures' if failed else ''}**: " + ", ".join(
            [f"{len(self.named(PASSED))} passed", f"{len(failed)} failed", f"{len(open_ones)} not done",
             f"{len(missing)} not available here"]) + "."
        for what, names in (("Failed", failed), ("Not done", open_ones), ("Not available here", missing)):
            if names:
                yield f"{what}: {'; '.join(names)}."

    def lines(self):
        yield from ["# netc on a GPU", ""]
        for line in self.verdict():
            yield from [line, ""]
        for line in self.data["head"]:
            yield from [line, ""]
        for task, what in (("train", "Training"), ("infer", "Inference")):
            if line := self.goal_line(task, what):
                yield from [line, ""]
        yield from self.table()
        for step, title in STEPS.items():
            if any(found["figures"] is None for found in self.data["results"].get(step, {}).values()):
                yield from self.section(step, title)

    def section(self, step, title):
        yield from ["", f"## {title}", ""]
        for name, found in self.data["results"][step].items():
            if found["figures"] is not None:
                continue  # in the table
            state = f"**{found['state']}**" if found["state"] == FAILED else found["state"]
            yield f"- {name}: {state}{found['detail'] and ', ' + found['detail']}"
            if found["lines"]:
                yield from ["", *found["lines"], ""]

    # ---- Speed ------------------------------------------------------------------------------------------------------

    def figures(self, task, model):
        """What was measured, by side: a precision of netc's or a way of PyTorch's."""
        return {side: found["figures"] for step in TASKS if TASKS[step] == task
                for name, found in self.data["results"].get(step, {}).items()
                for a_model, side in [name.split(", ")] if a_model == model and found["figures"]}

    def ratio(self, task, model):
        """PyTorch's best time by netc's, or None."""
        sides = self.figures(task, model)
        peers = [sides[way]["best_ms"] for way in WAYS if way in sides]
        return min(peers) / sides[self.precision]["best_ms"] if peers and self.precision in sides else None

    def goal_line(self, task, what):
        ratios = [ratio for model in RECIPES if (ratio := self.ratio(task, model)) is not None]
        if not ratios:
            return None
        mean, good = page.geometric_mean(ratios), sum(ratio >= GOAL for ratio in ratios)
        return (f"{what}: PyTorch's best time / netc's is {mean:.2f} in the geometric mean of {len(ratios)} models; "
                f"the goal of at least {GOAL} is {'reached' if mean >= GOAL else '**missed**'}, in {good} of "
                f"{len(ratios)} models.")

    def table(self):
        rows = [(task, model) for task in ("train", "infer") for model in RECIPES if self.figures(task, model)]
        if not rows:
            return
        precisions = sorted({side for row in rows for side in self.figures(*row)} - set(WAYS) - {self.precision})
        sides = [self.precision, *precisions, *WAYS]
        yield from ["## Speed", ""]
        pytorch = "bf16 by autocast" if self.precision == "bf16" else "TF32"
        yield (f"Fastest steps in ms: netc's in {', '.join([self.precision, *precisions])}; PyTorch with {pytorch} and "
               "cuDNN's own search. Memory in MB.")
        yield ""
        yield from page.table_head("model", "task", "batch", *sides, "examples/s", f"best / {self.precision}", "memory",
                                   "PyTorch's")
        for task, model in rows:
            yield page.table_row(*self.cells(task, model, sides))

    def cells(self, task, model, sides):
        found = self.figures(task, model)
        batch = max(figures["batch"] for figures in found.values())
        ours, ratio = found.get(self.precision), self.ratio(task, model)
        times = [f"{found[side]['best_ms']:.3f}" if side in found else "" for side in sides]
        peaks = [f"{found[side]['peak_bytes'] / 1e6:.0f}" if side in found else ""
                 for side in (self.precision, WAYS[0])]
        return [TITLES[model], task, batch, *times, f"{batch / ours['best_ms'] * 1e3:,.0f}" if ours else "",
                f"**{ratio:.2f}**" if ratio else "", *peaks]


def is_below(value, bound):
    """Also for what a file says of a loss that is no number."""
    return value is not None and math.isfinite(value) and value <= bound

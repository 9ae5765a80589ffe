"""What the programs share that measure something, keep it as JSON and write a page of it."""
import argparse
import datetime
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import time

from models import ROOT, TITLES, settings_of

START = time.perf_counter()
WIDTH = 120  # of a line of prose


# ---- Options --------------------------------------------------------------------------------------------------------

def parser_of(description):
    """The options of all that measure the six models."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--netc", type=pathlib.Path, default=ROOT / "build/bin/netc")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/bench",
                        help="folder of the programs that are measured")
    parser.add_argument("--page-only", action="store_true", help="write the page from what is kept, measure nothing")
    return parser


def parse(parser):
    """The options, whose paths hold in the root of the source tree, where everything runs from here on."""
    options = parser.parse_args()
    for name, value in vars(options).items():
        if isinstance(value, pathlib.Path):
            setattr(options, name, value.resolve())
    os.chdir(ROOT)
    return options


# ---- Measuring ------------------------------------------------------------------------------------------------------

def output_of(command, **environment):
    done = subprocess.run([str(part) for part in command], env=dict(os.environ, **environment), capture_output=True,
                          text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def build(netc, model, precision, folder):
    """A model's program for this processor."""
    folder = folder / precision / model
    output_of([netc, "build", "--native", "--precision", precision, f"models/{model}.net", *settings_of(model), "-o",
               folder])
    return folder / model


def figures_of(program, command, task, batch, threads, seconds):
    """What a program's `bench` or `profile` says, an object of JSON."""
    return json.loads(output_of([program, command, "--mode", task, "--batch", batch, "--threads", threads, "--seconds",
                                 seconds, "--json"]))


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    sets = "AVX-512" if "avx512f" in text else "AVX2" if "avx2" in text else "SSE"
    return f"{os.cpu_count()} cores, {name.group(1) if name else 'unknown'}, {sets}"


def today():
    return datetime.date.today().isoformat()


def say(text):
    """What is done now, in place of what was said before where someone watches."""
    elapsed = time.strftime("%H:%M:%S", time.gmtime(time.perf_counter() - START))
    if sys.stderr.isatty():
        print(f"\r\x1b[K{elapsed} {text}", end="", file=sys.stderr, flush=True)
    else:
        print(f"{elapsed} {text}", file=sys.stderr, flush=True)


def warn(text):
    """On lines of its own, which stay."""
    print(f"{chr(10) * sys.stderr.isatty()}{text}", file=sys.stderr, flush=True)


# ---- Keeping --------------------------------------------------------------------------------------------------------

def load(file, otherwise):
    """What was kept as JSON."""
    return json.loads(file.read_text()) if file.exists() else otherwise


def save(file, kept):
    write(file, json.dumps(kept, indent=1) + "\n")


def write(file, text):
    """Whoever ends the writer finds the old file or the new one."""
    part = file.with_name(file.name + ".part")
    part.write_text(text)
    part.replace(file)


# ---- Reporting ------------------------------------------------------------------------------------------------------

def wrapped(prose):
    """Lines of a paragraph."""
    return textwrap.wrap(prose, WIDTH, break_long_words=False, break_on_hyphens=False)


def table_head(*columns):
    return [table_row(*columns), "|---" * len(columns) + "|"]


def table_row(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def milliseconds(value):
    if value is None or math.isnan(value):
        return ""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def write_picture(file, draw, *arguments):
    """Of the figure that `draw` makes with pyplot; where there is no matplotlib, the old picture stays."""
    try:
        import matplotlib
    except ImportError:
        warn(f"note: without matplotlib {file.name} stays as it is")
        return
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "netc", "font.size": 9})
    from matplotlib import pyplot
    figure = draw(pyplot, *arguments)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)

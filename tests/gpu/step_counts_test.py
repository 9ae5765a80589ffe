#!/usr/bin/env python3
"""What a training step on tensor cores asks of the driver: its batch in, its losses out, its kernels, and nothing else.

    step_counts_test.py NETC EMULATOR_FOLDER FOLDER PRECISION

The program is the one that tensor_cores_model_test.py left in FOLDER/PRECISION.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

import launch_all

MODEL = pathlib.Path(__file__).parent / "tensor_cores.net"
BATCH = launch_all.BATCHES[0]
COUNTED = ["allocations", "frees", "pinned", "modules", "to_device", "to_host", "on_device", "launches"]


def run(command, **environment):
    result = subprocess.run([str(word) for word in command], env=os.environ | environment, capture_output=True, text=True,
                            check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def counts_of(program, operands, emulator, folder, steps):
    """All that so many steps took."""
    log = folder / "log"
    run([program, "run", *operands, "--device", "cuda", "--steps", steps], LD_LIBRARY_PATH=emulator,
        NETC_EMULATOR_EXECUTE="0", NETC_EMULATOR_LOG=str(log))
    counts = log.read_text().splitlines()[-1]
    return {name: int(re.search(rf"\b{name} (\d+)", counts).group(1)) for name in COUNTED}


def main(netc, emulator, folder, precision):
    folder = pathlib.Path(folder, precision)
    program = next(file for file in folder.rglob("tensor_cores") if file.is_file())
    options = ["--target", "cuda", "--precision", precision, MODEL]
    summary = json.loads(run([netc, "summary", "--json", "--batch", BATCH, *options]))
    operands = launch_all.write_operands(netc, MODEL, folder)[BATCH]
    three, four = (counts_of(program, operands, emulator, folder, steps) for steps in (3, 4))
    found = {name: four[name] - three[name] for name in COUNTED}
    expected = dict.fromkeys(COUNTED, 0) | {"to_device": 1, "to_host": 1, "launches": summary["gpu"]["launches"]}
    print(f"cuda: a step in {precision}: {found}")
    if found != expected:
        sys.exit(f"expected {expected}")


if __name__ == "__main__":
    main(*sys.argv[1:])

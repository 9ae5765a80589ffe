#!/usr/bin/env python3
"""What all tests of CUDA checked and counted, in one line.

    cuda_total.py FOLDER [--begin]

Processes on the emulator add lines to FOLDER/emulator (NETC_EMULATOR_TOTALS), checks of PTX write FOLDER/NAME.json.
--begin forgets what earlier runs left there. Fails where a kernel spills, faults or reads unset shared memory.
"""
import json
import pathlib
import re
import sys


def main(folder, begin=None):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if begin:
        for file in folder.iterdir():
            file.unlink()
        return 0
    checks = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    log = folder / "emulator"
    text = log.read_text() if log.exists() else ""

    def emulated(name):
        return sum(int(count) for count in re.findall(rf"\b{name} (\d+)", text))

    def checked(name):
        return sum(check[name] for check in checks)

    spills, faults, unset = checked("spills"), checked("faults"), emulated("uninitialized_reads")
    print(f"cuda: in all: {checked('kernels'):,} kernels checked, {spills} spills, {faults} faults; "
          f"{emulated('launches'):,} launches emulated in {len(text.splitlines())} processes, "
          f"{emulated('to_device'):,} copies in, {emulated('to_host'):,} out, "
          f"{unset} reads of unset shared memory")
    if not checks and not text:
        print("cuda_total: no test of CUDA has left anything", file=sys.stderr)
        return 1
    return 1 if spills or faults or unset else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

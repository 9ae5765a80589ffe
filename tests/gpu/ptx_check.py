#!/usr/bin/env python3
"""Assembles the PTX in kernels' objects and checks what the GPU's assembler makes of it.

    ptx_check.py [--arch sm_80] [--launches LOG] [--floor REGEX=SHARE] [--name NAME] FILE ...

FILE is an object, an archive, a program or a text of PTX. Prints a line for each kernel and architecture: registers,
threads of a block, bytes of spilled registers, of other local memory and of shared memory, and the share of
multiply-adds among the instructions of the innermost loop that has most of them. Exits with 1 where a kernel

- does not assemble, spills registers, or has local memory (but for --allow-local);
- needs more registers than the 65,536 of a multiprocessor for one block, or more than 48 KiB of shared memory;
- has a smaller share of multiply-adds than the --floor for its name;
- was never launched, where --launches are given.

How many threads a block has, and how much shared memory besides its own, the PTX need not say; launches that the
emulator logged (NETC_EMULATOR_LOG) do. A --floor that holds no kernel is a fault, too.
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

REGISTERS = 65536  # of a multiprocessor
SHARED_BYTES = 48 << 10  # of a block
WARP = 32
REGISTER_UNIT = 8  # registers of a thread are allotted in such units

MODULE = re.compile(rb"\.version \d+\.\d+\s+\.target sm_\d+")
REPORT = re.compile(
    r"Compiling entry function '(?P<name>[^']+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)", re.DOTALL)
LAUNCH = re.compile(r"^launch (\S+) grid \S+ block (\d+),(\d+),(\d+) shared (\d+)")
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*)")
MULTIPLY_ADDS = ("FFMA", "DFMA", "HMMA")


@dataclasses.dataclass
class Launch:
    """The largest block and the most shared memory that a kernel was launched with."""

    threads: int = 0
    shared: int = 0


@dataclasses.dataclass
class Report:
    """What the assembler says of a kernel on an architecture."""

    kernel: str
    arch: str
    registers: int
    spilled: int
    local: int
    shared: int
    threads: int  # 0: unknown
    launched: bool  # in what --launches give
    share: float | None  # of multiply-adds in the hottest loop; None where no loop has any
    faults: list[str] = dataclasses.field(default_factory=list)


class AssemblyError(Exception):
    """PTX that the assembler refuses."""


def tool(name):
    """The path of one of CUDA's programs: in the environment of this interpreter, or on the PATH."""
    beside = sorted(pathlib.Path(sys.prefix).glob(f"lib/python3*/site-packages/nvidia/cu*/bin/{name}"))
    found = str(beside[-1]) if beside else shutil.which(name)
    if found is None:
        sys.exit(f"ptx_check: {name} is missing: pip install nvidia-cuda-nvcc nvidia-cuda-nvdisasm")
    return found


def modules(path):
    """The texts of PTX in a file, each once."""
    data = pathlib.Path(path).read_bytes()
    texts = []
    for match in MODULE.finditer(data):
        end = data.find(b"\0", match.start())
        texts.append(data[match.start():end if end >= 0 else len(data)].decode())
    return list(dict.fromkeys(texts))


def read_launches(paths):
    """The launches in logs of the emulator, or in folders of them, by kernel."""
    launches = collections.defaultdict(Launch)
    logs = [log for path in map(pathlib.Path, paths) for log in (path.glob("*.log") if path.is_dir() else [path])]
    for log in logs:
        for line in log.read_text().splitlines():
            if match := LAUNCH.match(line):
                name, x, y, z, shared = match.group(1), *map(int, match.groups()[1:])
                seen = launches[name]
                launches[name] = Launch(max(seen.threads, x * y * z), max(seen.shared, shared))
    return launches


def declared_threads(text, kernel):
    """The threads of a block that the PTX promises; 0 where it says nothing."""
    entry = re.search(rf"\.entry {re.escape(kernel)}\b[^{{]*", text).group()
    promise = re.search(r"\.(?:max|req)ntid\s+([\d, ]+)", entry)
    threads = 1 if promise else 0
    for extent in promise.group(1).split(",") if promise else []:
        threads *= int(extent)
    return threads


def loops(listing):
    """The innermost loops of disassembled code, each a list of opcodes."""
    opcodes, labels, branches = [], {}, []
    for line in listing.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label.group(1)] = len(opcodes)
        elif instruction := INSTRUCTION.search(line):
            opcodes.append(instruction.group(1))
            target = re.search(r"`\((\.L_x_\d+)\)", instruction.group(2))
            if instruction.group(1).startswith("BRA") and target and target.group(1) in labels:
                branches.append((labels[target.group(1)], len(opcodes)))
    inner = [(a, b) for a, b in branches if not any(a <= c and d < b for c, d in branches)]
    return [opcodes[begin:end] for begin, end in inner]


def count_multiply_adds(opcodes):
    return sum(opcode.startswith(MULTIPLY_ADDS) for opcode in opcodes)


def multiply_add_share(listing):
    """The share of multiply-adds in the loop that has most of them, or in the whole kernel where no loop has any; None where
    there are none at all."""
    hottest = max(loops(listing), key=count_multiply_adds, default=[])
    if count_multiply_adds(hottest) == 0:
        hottest = [opcode for opcode, _ in INSTRUCTION.findall(listing)]
    return count_multiply_adds(hottest) / len(hottest) if count_multiply_adds(hottest) else None


def disassemble(cubin):
    """The code of each kernel in a binary."""
    text = subprocess.run([tool("nvdisasm"), cubin], capture_output=True, text=True, check=True).stdout
    sections = re.split(r"\.section\s+\.text\.", text)[1:]
    return {section.split(",", 1)[0].strip('" \n'): section for section in sections}


def assemble(text, arch, launches):
    """Reports on the kernels of a module. Raises AssemblyError."""
    with tempfile.TemporaryDirectory() as folder:
        source, cubin = pathlib.Path(folder, "kernel.ptx"), pathlib.Path(folder, "kernel.cubin")
        source.write_text(text + "\n")
        command = [tool("ptxas"), "-v", "--gpu-name", arch, source, "-o", cubin]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise AssemblyError(f"ptxas: {result.stderr.strip()}")
        code = disassemble(cubin) if "fma." in text or "mma." in text else {}
    return [report(match, arch, text, launches, code) for match in REPORT.finditer(result.stderr)]


def report(match, arch, text, launches, code):
    kernel = match["name"]
    spilled = int(match["stores"]) + int(match["loads"])
    smem = re.search(r"(\d+) bytes smem", match["rest"])
    launch = launches.get(kernel, Launch())
    return Report(kernel=kernel, arch=arch, registers=int(match["registers"]), spilled=spilled,
                  local=int(match["stack"]) if spilled == 0 else 0,
                  shared=max(int(smem.group(1)) if smem else 0, launch.shared),
                  threads=max(declared_threads(text, kernel), launch.threads), launched=kernel in launches,
                  share=multiply_add_share(code.get(kernel, "")))


def round_up(value, unit):
    return (value + unit - 1) // unit * unit


def block_registers(kernel):
    return round_up(kernel.registers, REGISTER_UNIT) * round_up(kernel.threads, WARP)


def faults(kernel, options):
    """What is wrong with a kernel, in words."""
    found = []
    if kernel.spilled:
        found.append("spills registers")
    if kernel.local and not options.allow_local:
        found.append("has local memory")
    if block_registers(kernel) > REGISTERS:
        found.append(f"needs more than {REGISTERS:,} registers for a block")
    if options.launches and not kernel.launched:
        found.append("was never launched")
    if kernel.shared > SHARED_BYTES:
        found.append(f"needs more than {SHARED_BYTES:,} bytes of shared memory")
    for pattern, floor in options.floor:
        if re.search(pattern, kernel.kernel) and (kernel.share or 0) < floor:
            found.append(f"has less than {floor:.0%} multiply-adds in its hottest loop")
    return found


def parse_floor(text):
    pattern, _, share = text.rpartition("=")
    return pattern, float(share)


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", action="append", help="sm_80, sm_90 (both unless given)")
    parser.add_argument("--launches", action="append", default=[], metavar="LOG",
                        help="a log of the emulator, or a folder of *.log")
    parser.add_argument("--floor", action="append", default=[], type=parse_floor, metavar="REGEX=SHARE",
                        help="least share of multiply-adds for kernels of such names")
    parser.add_argument("--allow-local", action="store_true", help="arrays in local memory are no fault")
    parser.add_argument("--name", default="these files", help="what the summary calls them")
    parser.add_argument("--json", action="append", default=[], metavar="FILE", type=pathlib.Path,
                        help="write the summary there, too")
    parser.add_argument("--brief", action="store_true", help="print kernels with faults alone, and the summary")
    parser.add_argument("files", nargs="+", metavar="FILE")
    options = parser.parse_args(arguments)
    options.arch = options.arch or ["sm_80", "sm_90"]
    return options


def print_table(kernels):
    width = max((len(kernel.kernel) for kernel in kernels), default=6)
    print(f"{'kernel':{width}} {'arch':>6} {'regs':>5} {'threads':>7} {'spilled':>7} {'local':>6} {'shared':>7} {'fma':>5}")
    for kernel in kernels:
        share = "-" if kernel.share is None else f"{kernel.share:.0%}"
        note = "".join(f"  <- {fault}" for fault in kernel.faults)
        print(f"{kernel.kernel:{width}} {kernel.arch:>6} {kernel.registers:5} {kernel.threads or '-':>7} "
              f"{kernel.spilled:7} {kernel.local:6} {kernel.shared:7} {share:>5}{note}")


def check(options):
    """All reports, sorted by kernel, and the messages of modules that do not assemble."""
    texts = list(dict.fromkeys(text for path in options.files for text in modules(path)))
    launches = read_launches(options.launches)
    kernels, errors = [], []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(assemble, text, arch, launches) for text in texts for arch in options.arch]
        for job in jobs:
            try:
                kernels += job.result()
            except AssemblyError as error:
                errors.append(str(error))
    for kernel in kernels:
        kernel.faults = faults(kernel, options)
    for pattern, _ in options.floor:
        if not any(re.search(pattern, kernel.kernel) for kernel in kernels):
            errors.append(f"no kernel has a name like {pattern}, for which there is a floor")
    return sorted(kernels, key=lambda kernel: (kernel.kernel, kernel.arch)), errors


def held_by(pattern, kernels, options):
    """How many kernels have such a name, and the least of their shares."""
    shares = [kernel.share or 0 for kernel in kernels if re.search(pattern, kernel.kernel)]
    return {"kernels": len(shares) // len(options.arch), "lowest_share": min(shares, default=None)}


def summarize(kernels, errors, options):
    """What the check found, as numbers."""
    return {"kernels": len(kernels) // len(options.arch),  # those of one name, for other shapes, are others
            "spills": sum(kernel.spilled > 0 for kernel in kernels),
            "local": sum(kernel.local > 0 for kernel in kernels),
            "registers": max((kernel.registers for kernel in kernels), default=0),
            "shared": max((kernel.shared for kernel in kernels), default=0),
            "block_registers": max((block_registers(kernel) for kernel in kernels), default=0),
            "floors": {pattern: held_by(pattern, kernels, options) for pattern, _ in options.floor},
            "faults": sum(bool(kernel.faults) for kernel in kernels) + len(errors)}


def main(arguments):
    options = parse_options(arguments)
    kernels, errors = check(options)
    print_table([kernel for kernel in kernels if kernel.faults or not options.brief])
    for error in errors:
        print(error)
    found = summarize(kernels, errors, options)
    for file in options.json:
        file.write_text(json.dumps(found) + "\n")
    held = [floor for floor in found["floors"].values() if floor["kernels"]]
    share = (f"; {sum(floor['kernels'] for floor in held)} with "
             f"{min(floor['lowest_share'] for floor in held):.0%} multiply-adds or more") if held else ""
    print(f"cuda: {options.name}, {', '.join(options.arch)}: kernels checked: {found['kernels']}, spills {found['spills']}, "
          f"local memory {found['local']}, registers {found['registers']} or fewer{share}; "
          f"with faults: {found['faults'] or 'none'}")
    bad, names = found["faults"], found["kernels"]
    if names == 0:
        print("ptx_check: no PTX in these files", file=sys.stderr)
    return 1 if bad or names == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

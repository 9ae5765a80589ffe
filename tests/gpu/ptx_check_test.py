#!/usr/bin/env python3
"""scripts/ptx-check on kernels with and without faults."""
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ".version 7.0\n.target sm_80\n.address_size 64\n"
LIVE = 150  # values that a crowded kernel holds at once


def kernel(name, body, tuning=""):
    return f"""{HEADER}.visible .entry {name}(.param .u64 data) {tuning}
{{
  .reg .pred %p<9>;
  .reg .b32 %r<999>;
  .reg .b64 %rd<9>;
  ld.param.b64 %rd1, [data];
  {body}
  ret;
}}
"""


def crowded(name, tuning=""):
    """A kernel that must hold LIVE values: it reads all of them before it writes any."""
    reads = "\n".join(f"ld.volatile.global.b32 %r{i}, [%rd1+{4 * i}];" for i in range(LIVE))
    writes = "\n".join(f"st.volatile.global.b32 [%rd1+{4 * i}], %r{LIVE - 1 - i};" for i in range(LIVE))
    return kernel(name, reads + "\n" + writes, tuning)


def looping(name, multiply_adds, others):
    """A kernel with a loop of so many multiply-adds of floats and others."""
    lines = [f"fma.rn.f32 %r{i}, %r{i}, %r90, %r91;" for i in range(multiply_adds)]
    lines += [f"mad.lo.s32 %r{100 + i}, %r{100 + i}, %r{100 + i}, %r{i};" for i in range(others)]
    values = [*range(multiply_adds), *range(100, 100 + others)]
    starts = "\n".join(f"ld.global.b32 %r{i}, [%rd1+{4 * i}];" for i in [90, 91, 92, *values])
    sums = "\n".join(f"st.global.b32 [%rd1+{4 * i}], %r{i};" for i in values)
    loop = "\n".join(lines)
    return kernel(name, f"{starts}\nLOOP:\n{loop}\nsub.s32 %r92, %r92, 1;\nsetp.ne.s32 %p1, %r92, 0;\n"
                        f"@%p1 bra LOOP;\n{sums}")


INDEXED = """.local .align 4 .b8 depot[400];
  mov.b64 %rd2, depot;
  ld.global.b32 %r1, [%rd1];
  mad.wide.u32 %rd3, %r1, 4, %rd2;
  st.local.b32 [%rd3], %r1;
  ld.global.b32 %r2, [%rd1+4];
  mad.wide.u32 %rd4, %r2, 4, %rd2;
  ld.local.b32 %r3, [%rd4];
  st.global.b32 [%rd1], %r3;"""


class PtxCheckTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, text):
        path = pathlib.Path(self.folder.name, name)
        path.write_bytes(text.encode())
        return path

    def check(self, text, *options):
        """The exit status and the output for a file of this text."""
        command = [ROOT / "scripts/ptx-check", *options, self.write("kernels.o", text)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return result.returncode, result.stdout + result.stderr

    def launches(self, name, threads, shared=0):
        log = f"allocate 4\nlaunch {name} grid 1,1,1 block {threads},1,1 shared {shared} instructions 1\n"
        return f"--launches={self.write('log', log)}"

    def test_a_good_kernel_passes(self):
        status, output = self.check(kernel("good", "st.global.b32 [%rd1], %r1;"))
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"good +sm_80 +\d+ +- +0 +0 +0 +-\n")
        self.assertRegex(output, r"good +sm_90 ")
        self.assertRegex(output, r"cuda: .*, sm_80, sm_90: kernels checked: 1, spills 0, local memory 0, registers \d+ or "
                                 r"fewer; with faults: none")

    def test_spilled_registers_are_reported(self):
        status, output = self.check(crowded("spills", ".maxntid 1024, 1, 1"))
        self.assertEqual(status, 1)
        self.assertRegex(output, r"spills +sm_80 +64 +1024 +[1-9]\d* .* <- spills registers")
        self.assertRegex(output, r"kernels checked: 1, spills 2, .* with faults: 2")
        self.assertEqual(self.check(crowded("fits", ".maxntid 256, 1, 1"))[0], 0)

    def test_blocks_need_registers_for_all_their_threads(self):
        status, output = self.check(crowded("large"), self.launches("large", 1024))
        self.assertEqual(status, 1)
        self.assertIn("needs more than 65,536 registers for a block", output)
        self.assertEqual(self.check(crowded("large"), self.launches("large", 256))[0], 0)

    def test_all_kernels_are_launched_where_launches_are_given(self):
        text = kernel("launched", "st.global.b32 [%rd1], %r1;") + "\0" + kernel("forgotten", "st.global.b32 [%rd1], %r1;", ".maxntid 256, 1, 1")
        status, output = self.check(text, self.launches("launched", 32))
        self.assertEqual(status, 1)
        self.assertRegex(output, r"forgotten +sm_80 .* <- was never launched")
        self.assertRegex(output, r"launched +sm_80 +\d+ +32 [^<]*\n")
        self.assertEqual(self.check(text)[0], 0)

    def test_a_floor_holds_something(self):
        status, output = self.check(looping("dense", 40, 2), "--arch=sm_80", "--floor=dense=.5", "--floor=dnese=.5")
        self.assertEqual(status, 1)
        self.assertIn("no kernel has a name like dnese, for which there is a floor", output)
        self.assertIn("with faults: 1", output)

    def test_local_memory_is_reported_unless_allowed(self):
        status, output = self.check(kernel("indexed", INDEXED))
        self.assertEqual(status, 1)
        self.assertRegex(output, r"indexed +sm_80 +\d+ +- +0 +400 .* <- has local memory")
        self.assertEqual(self.check(kernel("indexed", INDEXED), "--allow-local")[0], 0)

    def test_shared_memory_has_a_limit(self):
        text = kernel("shares", "st.global.b32 [%rd1], %r1;")
        self.assertEqual(self.check(text, self.launches("shares", 32, 49152))[0], 0)
        status, output = self.check(text, self.launches("shares", 32, 49156))
        self.assertEqual(status, 1)
        self.assertIn("needs more than 49,152 bytes of shared memory", output)

    def test_hot_loops_have_a_share_of_multiply_adds(self):
        dense = looping("dense", 40, 2)
        sparse = looping("sparse", 10, 30)
        status, output = self.check(dense + "\0" + sparse, "--arch=sm_80", "--floor=sparse|dense=.5")
        self.assertEqual(status, 1)
        shares = {name: int(share) for name, share in re.findall(r"(\w+) +sm_80.*? (\d+)%", output)}
        self.assertGreater(shares["dense"], 70)
        self.assertLess(shares["sparse"], 40)
        self.assertRegex(output, r"kernels checked: 2, .*; 2 with \d\d% multiply-adds or more; with faults: 1")
        status, output = self.check(dense + "\0" + sparse, "--floor=dense=.5", "--brief")
        self.assertEqual(status, 0)
        self.assertNotRegex(output, r"dense +sm_80")

    def test_what_does_not_assemble_is_reported(self):
        status, output = self.check(kernel("wrong", "frobnicate %r1;"))
        self.assertEqual(status, 1)
        self.assertIn("frobnicate", output)

    def test_files_without_kernels_are_reported(self):
        status, output = self.check("no kernels")
        self.assertEqual(status, 1)
        self.assertIn("no PTX in these files", output)


if __name__ == "__main__":
    unittest.main()

#include "compiler/kernels/object_file.h"

#include <fstream>

#include "compiler/commands/process.h"
#include "compiler/scratch_files.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

constexpr const char* merged_sections = R"(SECTIONS {
  .text : { *(.text .text.*) }
  .rodata : { *(.rodata .rodata.*) }
  /DISCARD/ : { *(.comment) }
}
)";

}  // namespace

/// Choice: each object by itself, since models in one program share kernels: ResNet-18's library 3.56 -> 2.98 MB, for
/// 3.5 ms an object. Alternative: all in one: 2.72 MB, but then programs of several models have kernels twice. Halide
/// has no option for either; it makes all functions global (2026-11).
void slim(const fs::path& object) {
  static const std::string linker = find_in_path("ld");
  static const std::string copier = find_in_path("objcopy");
  if (linker.empty() || copier.empty()) return;
  ScratchFiles files(object);
  const std::string script = files.file(".ld");
  const std::string slimmed = files.file(".slim");
  std::ofstream(script) << merged_sections;
  const bool done =
      run_process({linker, "-r", "-x", "-T", script, "-o", slimmed, object.string()}) == 0 &&
      run_process({copier, "--wildcard", "--keep-global-symbol=*_argv", "--strip-unneeded", slimmed}) == 0;
  if (done) fs::copy_file(slimmed, object, fs::copy_options::overwrite_existing);
}

}  // namespace netc

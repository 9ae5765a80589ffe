// A tool of the build: writes the object file with Halide's runtime (threads, errors, memory, CUDA without linking its
// driver) that generated programs link instead of libHalide.
#include <Halide.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: halide_runtime OBJECT\n";
    return 2;
  }
  const std::map<Halide::OutputFileType, std::string> outputs{{Halide::OutputFileType::object, argv[1]}};
  Halide::compile_standalone_runtime(outputs, Halide::Target("x86-64-linux-cuda"));
}

// Helpers of the runtime's tests.
#include "tests/runtime_support.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>

#include "netc/program.h"
#include "netc/random.h"

namespace netc::test {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "netc-runtime-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  fs::remove_all(path_);
}

std::vector<std::string> TemporaryFolder::names() const {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string read_text(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_text(const fs::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary) << text;
}

Error error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  FAIL("expected an error");
  std::abort();
}

void check_error(ErrorKind kind, const std::vector<std::string>& texts, const std::function<void()>& f) {
  const Error error = error_of(f);
  const std::string message = error.what();
  CAPTURE(message);
  CHECK(error.kind() == kind);
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string& text : texts) {
    CAPTURE(text);
    CHECK(message.find(text) != std::string::npos);
  }
}

void write_idx(const fs::path& file, const std::vector<std::uint32_t>& shape, std::string_view bytes) {
  std::string content{0, 0, 8, static_cast<char>(shape.size())};
  for (std::uint32_t extent : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) content += static_cast<char>(extent >> shift & 0xff);
  }
  content += bytes;
  gzFile out = gzopen(file.c_str(), "wb");
  REQUIRE(out != nullptr);
  REQUIRE(gzwrite(out, content.data(), static_cast<unsigned>(content.size())) == static_cast<int>(content.size()));
  REQUIRE(gzclose(out) == Z_OK);
}

namespace {

void write_split(const fs::path& folder, const std::string& prefix, int count) {
  RandomStream random(3, "data/" + prefix);
  std::string labels;
  std::string pixels;
  for (int i = 0; i < count; ++i) {
    const auto label = random.below(10);
    labels += static_cast<char>(label);
    for (std::uint32_t p = 0; p < 28 * 28; ++p) {
      const std::uint32_t signal = p % 10 == label ? 120 : 0;
      pixels += static_cast<char>(signal + random.below(100));
    }
  }
  const auto images = static_cast<std::uint32_t>(count);
  write_idx(folder / (prefix + "-images-idx3-ubyte.gz"), {images, 28, 28}, pixels);
  write_idx(folder / (prefix + "-labels-idx1-ubyte.gz"), {images}, labels);
}

}  // namespace

void write_small_data(const fs::path& folder, int train, int test) {
  write_split(folder, "train", train);
  write_split(folder, "t10k", test);
}

namespace {

constexpr int classes = 10;

Description make_description(int side) {
  const std::int64_t pixels = std::int64_t{side} * side;
  Description d;
  d.name = "softmax";
  d.inputs = {{"image", DType::f32, {-1, 1, side, side}}};
  d.labels = {{"label", DType::i32, {-1}, classes}};
  d.outputs = {{"logits", DType::f32, {-1, classes}}};
  const Initializer weight{Initializer::Rule::xavier_uniform, 1, 0, {}};
  const Initializer bias{Initializer::Rule::fan_in_uniform, 0, 0, {}};
  const Initializer one{Initializer::Rule::constant, 1, 0, {}};
  d.parameters = {{"out.weight", {classes, pixels}, {1, classes}, 0, pixels, classes, weight},
                  {"out.bias", {classes}, {1}, pixels * classes, pixels, classes, bias}};
  d.buffers = {{"stats.mean", {1}, {1}, 0, 1, 1, one}};
  d.parameter_floats = pixels * classes + 16;  // padded
  d.buffer_floats = 1;
  d.evaluation = {44, 64, 4};  // logits, loss; softmax of one example
  d.few = d.evaluation;
  d.training = {84 + pixels * 4, 64, 4};  // and the gradients of logits and image
  d.recipe.data = {"fashion_mnist", side == 28 ? 0 : side};
  d.recipe.batch = 16;
  d.recipe.epochs = 3;
  d.recipe.optimizer = {"sgd", 0.05, 0.9, 0.0001, false};
  d.recipe.seed = 1;
  return d;
}

class SoftmaxNetwork : public Network {
 public:
  explicit SoftmaxNetwork(const Description& description)
      : Network(description), pixels_(description.parameters[0].shape[1]) {
    initialize(description.recipe.seed);
  }

 private:
  void infer() override {
    compute_logits(1);
    set_output(0, at(0));
  }

  void infer_loss() override { compute_losses(nullptr); }

  void infer_few() override { infer(); }
  void infer_few_loss() override { infer_loss(); }

  void forward_pass() override {
    const float mean = std::accumulate(image(0), image(launch().batch), 0.0f) / static_cast<float>(pixels_);
    buffer_arena()[0] = 0.9f * buffer_arena()[0] + 0.1f * mean / static_cast<float>(launch().batch);
    compute_logits(noise());
    compute_losses(at(44));
    set_output(0, at(0));
  }

  void backward_pass() override {
    std::fill_n(gradient_arena(), description().parameter_floats, 0.0f);
    for (std::int64_t n = 0; n < launch().batch; ++n) {
      for (int c = 0; c < classes; ++c) {
        const float d = at(44)[n * classes + c] * noise();
        for (std::int64_t p = 0; p < pixels_; ++p) gradient_arena()[p * classes + c] += d * image(n)[p];
        gradient_arena()[pixels_ * classes + c] += d;
      }
    }
  }

  void input_backward_pass() override {
    for (std::int64_t n = 0; n < launch().batch; ++n) {
      for (std::int64_t p = 0; p < pixels_; ++p) {
        float sum = 0;
        for (int c = 0; c < classes; ++c) sum += at(44)[n * classes + c] * noise() * parameter_arena()[p * classes + c];
        at(84)[n * pixels_ + p] = sum;
      }
    }
    set_input_gradient(0, at(84));
  }

  const float* image(std::int64_t n) const { return static_cast<const float*>(input(0)) + n * pixels_; }

  /// Stands for dropout: a function of seed and step.
  float noise() const {
    const auto block = philox({launch().step, 0, 0, 0}, {launch().seed, 0});
    return 1 + 0.1f * static_cast<float>(block[0] >> 8) * 0x1p-24f;
  }

  void compute_logits(float scale) {
    for (std::int64_t n = 0; n < launch().batch; ++n) {
      for (int c = 0; c < classes; ++c) {
        float sum = parameter_arena()[pixels_ * classes + c];
        for (std::int64_t p = 0; p < pixels_; ++p) sum += parameter_arena()[p * classes + c] * image(n)[p];
        at(0)[n * classes + c] = sum * scale;
      }
    }
  }

  /// And the gradients of the mean loss with respect to the logits, where they are wanted.
  void compute_losses(float* gradient) {
    float* softmax = fixed(0);
    for (std::int64_t n = 0; n < launch().batch; ++n) {
      const float* logit = at(0) + n * classes;
      const float largest = *std::max_element(logit, logit + classes);
      std::transform(logit, logit + classes, softmax, [&](float x) { return std::exp(x - largest); });
      const float sum = std::accumulate(softmax, softmax + classes, 0.0f);
      const auto label = static_cast<const std::int32_t*>(Network::label(0))[n];
      at(40)[n] = std::log(sum) - (logit[label] - largest);
      for (int c = 0; gradient != nullptr && c < classes; ++c) {
        gradient[n * classes + c] =
            (softmax[c] / sum - (c == label ? 1.0f : 0.0f)) / static_cast<float>(launch().batch);
      }
    }
    set_losses(at(40));
  }

  std::int64_t pixels_;
};

/// Sends a stream of this process to a file for a while.
class Redirection {
 public:
  Redirection(std::FILE* stream, const fs::path& file) : stream_(stream), saved_(dup(fileno(stream))) {
    std::fflush(stream);
    const int to = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(to, fileno(stream));
    close(to);
  }
  ~Redirection() {
    std::fflush(stream_);
    dup2(saved_, fileno(stream_));
    close(saved_);
  }
  Redirection(const Redirection&) = delete;
  Redirection& operator=(const Redirection&) = delete;

 private:
  std::FILE* stream_;
  int saved_;
};

}  // namespace

const Description& softmax_description(int side) {
  static std::map<int, Description> descriptions;
  const auto found = descriptions.find(side);
  return found != descriptions.end() ? found->second : descriptions.emplace(side, make_description(side)).first->second;
}

std::unique_ptr<Network> make_softmax(const Description& description) {
  return std::make_unique<SoftmaxNetwork>(description);
}

ProgramResult run_softmax(const std::vector<std::string>& arguments, int side) {
  return run_softmax(arguments, softmax_description(side));
}

ProgramResult run_softmax(const std::vector<std::string>& arguments, const Description& description) {
  std::vector<std::string> texts{"softmax"};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(texts.size());
  for (std::string& text : texts) argv.push_back(text.data());
  const TemporaryFolder folder;
  ProgramResult result{};
  {
    const Redirection out(stdout, folder / "out");
    const Redirection err(stderr, folder / "err");
    result.status =
        program(static_cast<int>(argv.size()), argv.data(), description, [&] { return make_softmax(description); });
    std::fflush(stdout);
  }
  result.out = read_text(folder / "out");
  result.err = read_text(folder / "err");
  return result;
}

}  // namespace netc::test

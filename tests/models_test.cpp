// The networks in models/: `netc summary` prints the shapes and parameters that Dive into Deep Learning states, and
// every one of them generates.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "command_support.h"

namespace netc {
namespace {

using Lines = std::vector<std::string>;
using test::WorkingFolder;

/// What `netc summary --json` says of a model.
class Summary {
 public:
  explicit Summary(const std::filesystem::path& file, const Lines& set = {}) {
    const WorkingFolder folder;
    Lines arguments{"summary", file.string(), "--json"};
    for (const std::string& setting : set) arguments.insert(arguments.end(), {"--set", setting});
    const test::CommandResult result = test::run_netc(arguments);
    REQUIRE_MESSAGE(result.status == 0, result.err);
    json_ = nlohmann::json::parse(result.out);
  }

  std::int64_t parameters() const { return json_.at("parameters"); }

  /// "conv [N,96,54,54]", a line a layer.
  Lines layers() const {
    Lines lines;
    for (const auto& layer : json_.at("layers")) {
      lines.push_back(fmt::format("{} {}", std::string(layer.at("op")), std::string(layer.at("shape"))));
    }
    return lines;
  }

  /// The shapes that leave these parts: of the last layer whose path begins so.
  Lines after(const Lines& parts) const {
    Lines shapes;
    for (const std::string& part : parts) {
      shapes.push_back("nowhere");
      for (const auto& layer : json_.at("layers")) {
        if ((std::string(layer.at("path")) + ".").starts_with(part + ".")) shapes.back() = layer.at("shape");
      }
    }
    return shapes;
  }

 private:
  nlohmann::json json_;
};

Summary summary(const std::string& model, const Lines& set = {}) {
  return Summary(std::filesystem::absolute("models/" + model + ".net"), set);
}

// ---- Shapes and parameters ------------------------------------------------------------------------------------------

TEST_CASE("LeNet: shapes and parameters") {
  const Summary lenet = summary("lenet");
  CHECK(lenet.parameters() == 61706);
  CHECK(lenet.layers() == Lines{"conv [N,6,28,28]", "sigmoid [N,6,28,28]", "avgpool [N,6,14,14]", "conv [N,16,10,10]",
                                "sigmoid [N,16,10,10]", "avgpool [N,16,5,5]", "flatten [N,400]", "linear [N,120]",
                                "sigmoid [N,120]", "linear [N,84]", "sigmoid [N,84]", "linear [N,10]"});
}

TEST_CASE("AlexNet: shapes and parameters") {
  const Summary alexnet = summary("alexnet");
  CHECK(alexnet.parameters() == 46764746);
  CHECK(alexnet.layers() == Lines{"conv [N,96,54,54]",   "relu [N,96,54,54]",  "maxpool [N,96,26,26]",
                                  "conv [N,256,26,26]",  "relu [N,256,26,26]", "maxpool [N,256,12,12]",
                                  "conv [N,384,12,12]",  "relu [N,384,12,12]", "conv [N,384,12,12]",
                                  "relu [N,384,12,12]",  "conv [N,256,12,12]", "relu [N,256,12,12]",
                                  "maxpool [N,256,5,5]", "flatten [N,6400]",   "linear [N,4096]",
                                  "relu [N,4096]",       "dropout [N,4096]",   "linear [N,4096]",
                                  "relu [N,4096]",       "dropout [N,4096]",   "linear [N,10]"});
}

TEST_CASE("VGG-11: shapes and parameters") {
  const Summary vgg = summary("vgg11");
  CHECK(vgg.parameters() == 128806154);
  CHECK(summary("vgg11", {"ratio=4"}).parameters() == 43093322);
  CHECK(vgg.after({"features.0", "features.1", "features.2", "features.3", "features.4", "flatten"}) ==
        Lines{"[N,64,112,112]", "[N,128,56,56]", "[N,256,28,28]", "[N,512,14,14]", "[N,512,7,7]", "[N,25088]"});
  CHECK(vgg.after({"fc1.linear", "fc1.relu", "fc1.dropout", "fc2.linear", "fc2.relu", "fc2.dropout", "fc3"}) ==
        Lines{"[N,4096]", "[N,4096]", "[N,4096]", "[N,4096]", "[N,4096]", "[N,4096]", "[N,10]"});
}

TEST_CASE("NiN: shapes and parameters") {
  const Summary nin = summary("nin");
  CHECK(nin.parameters() == 1992166);
  CHECK(nin.after({"block1", "maxpool", "block2", "maxpool2", "block3", "maxpool3", "dropout", "block4",
                   "globalavgpool", "flatten"}) == Lines{"[N,96,54,54]", "[N,96,26,26]", "[N,256,26,26]",
                                                         "[N,256,12,12]", "[N,384,12,12]", "[N,384,5,5]", "[N,384,5,5]",
                                                         "[N,10,5,5]", "[N,10,1,1]", "[N,10]"});
}

TEST_CASE("GoogLeNet: shapes and parameters") {
  const Summary googlenet = summary("googlenet");
  CHECK(googlenet.parameters() == 5977530);
  CHECK(googlenet.after({"b1", "b2", "b3", "b4", "b5", "fc"}) ==
        Lines{"[N,64,24,24]", "[N,192,12,12]", "[N,480,6,6]", "[N,832,3,3]", "[N,1024]", "[N,10]"});
  CHECK(googlenet.after({"b3.a", "b3.b", "b4.a", "b4.b", "b4.c", "b4.d", "b4.e", "b5.a", "b5.b"}) ==
        Lines{"[N,256,12,12]", "[N,480,12,12]", "[N,512,6,6]", "[N,512,6,6]", "[N,512,6,6]", "[N,528,6,6]",
              "[N,832,6,6]", "[N,832,3,3]", "[N,1024,3,3]"});
}

TEST_CASE("ResNet-18: shapes and parameters") {
  const Summary resnet = summary("resnet18", {"pixels=224"});
  CHECK(resnet.parameters() == 11178378);
  CHECK(resnet.after({"stem", "stages.0", "stages.1", "stages.2", "stages.3", "head.globalavgpool", "head.flatten",
                      "head.linear"}) == Lines{"[N,64,56,56]", "[N,64,56,56]", "[N,128,28,28]", "[N,256,14,14]",
                                               "[N,512,7,7]", "[N,512,1,1]", "[N,512]", "[N,10]"});
  CHECK(summary("resnet18").after({"stages.3"}) == Lines{"[N,512,3,3]"});
}

TEST_CASE("deeper residual networks are settings of one") {
  CHECK(summary("resnet152").parameters() == 60192808);
  CHECK(summary("resnet152", {"depth=101"}).parameters() == 44549160);
  CHECK(summary("resnet152", {"depth=50"}).parameters() == 25557032);
  CHECK(summary("resnet152", {"depth=34"}).parameters() == 21797672);
  CHECK(summary("resnet152").after({"maxpool", "layer1", "layer2", "layer3", "layer4"}) ==
        Lines{"[N,64,56,56]", "[N,256,56,56]", "[N,512,28,28]", "[N,1024,14,14]", "[N,2048,7,7]"});
}

TEST_CASE("torchvision's networks: parameters") {
  CHECK(summary("torchvision/alexnet").parameters() == 61100840);
  CHECK(summary("torchvision/vgg11").parameters() == 132863336);
  CHECK(summary("torchvision/googlenet").parameters() == 6624904);
  CHECK(summary("torchvision/googlenet_aux").parameters() == 13004888);
  CHECK(summary("torchvision/resnet18").parameters() == 11689512);
  CHECK(summary("torchvision/resnet50").parameters() == 25557032);
}

// ---- Code -----------------------------------------------------------------------------------------------------------

/// Those of a folder that parity_test does not run (and so generate).
Lines models_without_oracle(const std::string& folder, const std::string& prefix) {
  Lines files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string oracle = fmt::format("tests/parity/{}{}.safetensors", prefix, entry.path().stem().string());
    if (entry.path().extension() != ".net" || std::filesystem::exists(oracle)) continue;
    files.push_back(std::filesystem::absolute(entry.path()).string());
  }
  return files;
}

TEST_CASE("every model generates") {
  Lines files = models_without_oracle("models", "");
  for (const std::string& file : models_without_oracle("models/torchvision", "torchvision_")) files.push_back(file);
  CHECK_FALSE(files.empty());
  const WorkingFolder folder;
  for (const std::string& file : files) {
    CAPTURE(file);
    const std::string name = std::filesystem::path(file).stem().string();
    const test::CommandResult result = test::run_netc({file, "--quiet", "-o", name});
    CHECK_MESSAGE(result.status == 0, result.err);
    const std::filesystem::directory_iterator written(name);
    CHECK(
        std::any_of(begin(written), end(written), [](const auto& entry) { return entry.path().extension() == ".a"; }));
  }
}

}  // namespace
}  // namespace netc

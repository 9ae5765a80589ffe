"""The six models that are measured: what they are called, and what they are measured with."""
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
TITLES = {"lenet": "LeNet, 28x28", "alexnet": "AlexNet, 224x224", "vgg11": "VGG-11/4, 224x224", "nin": "NiN, 224x224",
          "googlenet": "GoogLeNet, 96x96", "resnet18": "ResNet-18, 96x96"}
PIXELS = {"lenet": 28, "alexnet": 224, "vgg11": 224, "nin": 224, "googlenet": 96, "resnet18": 96}  # of a side
RECIPES = {"lenet": 256, "alexnet": 128, "vgg11": 128, "nin": 128, "googlenet": 128, "resnet18": 256}  # batches
SETTINGS = {"vgg11": {"ratio": 4}}


def short_title(model):
    return TITLES[model].split(",")[0]


def settings_of(model):
    """The model's settings as options of netc."""
    return [word for name, value in SETTINGS.get(model, {}).items() for word in ("--set", f"{name}={value}")]

"""Files that torchvision and timm publish, as --weights reads them: the same answers afterwards."""

import importlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from published import computes, published
from safetensors.torch import save_file

from shinso.data.examples import Description, save_description
from shinso.learn.fitting import choices_that_fit
from shinso.learn.foreign_weights import Foreign, load_weights, pixels, read_weights
from shinso.learn.recognise import Recognition

SLOW = pytest.mark.slow
CASES = [
    ("torchvision:resnet18", "resnet", {"width": 64, "stem": "imagenet"}, {}, 0.485),
    pytest.param("timm:resnet50", "resnet", {"depth": 50, "width": 64, "stem": "imagenet"}, {}, 0.485, marks=SLOW),
    pytest.param("torchvision:densenet121", "densenet", {"network": "121"}, {}, 0.485, marks=SLOW),
    pytest.param("timm:dpn68", "dual_path", {"network": "68"}, {}, 124 / 255, marks=SLOW),
    pytest.param("torchvision:googlenet", "googlenet", {"width": 1.0}, {"init_weights": False}, 0.5, marks=SLOW),
    pytest.param("timm:inception_v3", "inception_v3", {"aux": False}, {}, 0.5, marks=SLOW),
    pytest.param("timm:inception_v4", "inception_v4", {}, {}, 0.5, marks=SLOW),
    pytest.param("timm:inception_resnet_v2", "inception_resnet", {"form": "v2"}, {}, 0.5, marks=SLOW),
    pytest.param("torchvision:alexnet", "alexnet", {"small": False, "hidden": 4096, "grid": 6}, {}, 0.485, marks=SLOW),
    pytest.param("torchvision:vgg11_bn", "vgg", {"head": "mlp", "grid": 7}, {}, 0.485, marks=SLOW),
]


@pytest.mark.parametrize(("theirs", "ours", "change", "options", "mean"), CASES)
def test_a_published_file_gives_its_answers(theirs, ours, change, options, mean, tmp_path):
    state, asked = published(theirs, (2, 3, 80, 80), tmp_path, **options)
    files = [tmp_path / "net.pth", tmp_path / "net.safetensors"]
    torch.save(state, files[0])
    save_file(state, files[1])
    system = importlib.import_module(f"shinso.vision.{ours}")
    for file, classes in zip(files, (1000, 7), strict=True):
        network = system.build(system.Setup(data=described(tmp_path, classes), **change)).model
        foreign = read_weights(file)
        notes = load_weights(network, foreign, file)
        assert bool(notes) == (classes == 7) and all("instead of 1000" in note for note in notes)
        assert pixels(network, foreign, 3)[0][0] == pytest.approx(mean)
        if classes == 1000:
            computes(network.to(memory_format=torch.contiguous_format), asked)  # as theirs: the same sums in one order


PUBLISHED = {
    "alexnet": ["torchvision:alexnet"],
    "vgg": [f"{library}:vgg{depth}{norm}" for library in ("torchvision", "timm") for depth in (11, 13, 16, 19)
            for norm in ("", "_bn")],
    "resnet": [f"{library}:resnet{depth}" for library in ("torchvision", "timm") for depth in (18, 34, 50, 101, 152)],
    "densenet": [f"{library}:densenet{n}" for library in ("torchvision", "timm") for n in (121, 161, 169, 201)],
    "googlenet": ["torchvision:googlenet"],
    "inception_v3": ["torchvision:inception_v3", "timm:inception_v3"],
    "inception_v4": ["timm:inception_v4"],
    "inception_resnet": ["timm:inception_resnet_v2"],
    "preact_resnet": ["timm:resnetv2_50"],
    "dual_path": [f"timm:dpn{n}" for n in (68, 92, 98, 107, 131)],
    "squeeze_excitation": ["timm:seresnet50", *(f"timm:legacy_seresnet{n}" for n in (18, 34, 50, 101, 152))],
}


@pytest.mark.slow
@pytest.mark.parametrize("family", PUBLISHED)
def test_the_options_for_every_published_file_are_found(family):
    system = importlib.import_module(f"shinso.vision.{family}")
    about = Description(name="x", classes=("a", "b"), shape=(3, 299, 299), mean=(0.5,) * 3, std=(0.5,) * 3,
                        form="picture")
    for name, sizes in shapes(PUBLISHED[family]).items():
        state = {key: torch.empty(size, device="meta") for key, size in sizes.items()}
        assert choices_that_fit(system.VARIANTS["default"], Recognition, Foreign(state, {}), about), name


SHAPES = """
import json, sys, torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm, torchvision

def network(name):
    package, _, name = name.partition(":")
    if package == "timm":
        return timm.create_model(name, pretrained=False)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, **options)

with torch.device("meta"):
    print(json.dumps({name: {key: list(value.shape) for key, value in network(name).state_dict().items()}
                      for name in sys.argv[1:]}))
"""


def shapes(names: list[str]) -> dict[str, dict[str, list[int]]]:
    """Of every tensor in what torchvision and timm publish under these names."""
    python = os.environ.get("SHINSO_ORACLES_PYTHON")
    if not python:
        pytest.skip("SHINSO_ORACLES_PYTHON names no Python that has torchvision and timm")
    said = subprocess.run([python, "-c", SHAPES, *names], check=True, capture_output=True, text=True).stdout
    return json.loads(said.splitlines()[-1])


def described(folder: Path, classes: int) -> str:
    about = Description(name="x", classes=tuple(map(str, range(classes))), shape=(3, 224, 224), mean=(0.5,) * 3,
                        std=(0.5,) * 3, form="picture")
    save_description(about, folder / "data.json")
    return f"described:{folder / 'data.json'}"

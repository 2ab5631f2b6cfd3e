"""Files that torchvision and timm publish, as --weights reads them: the same answers afterwards."""

import importlib
from pathlib import Path

import pytest
import torch
from published import computes, published
from safetensors.torch import save_file

from shinso.data.examples import Description, save_description
from shinso.learn.foreign_weights import load_weights, pixels, read_weights

SLOW = pytest.mark.slow
CASES = [
    ("torchvision:resnet18", "resnet", {"width": 64, "stem": "imagenet"}, {}, 0.485),
    pytest.param("timm:resnet50", "resnet", {"depth": 50, "width": 64, "stem": "imagenet"}, {}, 0.485, marks=SLOW),
    pytest.param("torchvision:densenet121", "densenet", {"network": "121"}, {}, 0.485, marks=SLOW),
    pytest.param("timm:dpn68", "dual_path", {"network": "68"}, {}, 124 / 255, marks=SLOW),
    pytest.param("torchvision:googlenet", "googlenet", {"width": 1.0}, {"init_weights": False}, 0.5, marks=SLOW),
]


@pytest.mark.parametrize(("theirs", "ours", "change", "options", "mean"), CASES)
def test_a_published_file_gives_its_answers(theirs, ours, change, options, mean, tmp_path):
    state, asked = published(theirs, (2, 3, 64, 64), tmp_path, **options)
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


def described(folder: Path, classes: int) -> str:
    about = Description(name="x", classes=tuple(map(str, range(classes))), shape=(3, 224, 224), mean=(0.5,) * 3,
                        std=(0.5,) * 3, form="picture")
    save_description(about, folder / "data.json")
    return f"described:{folder / 'data.json'}"

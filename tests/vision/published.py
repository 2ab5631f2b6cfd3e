"""Networks that torchvision and timm publish, as live oracles: theirs computes in a Python of its own."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn


def published(network: str, shape: tuple[int, ...], folder: Path, *, scale: float = 1.0,
              **options) -> tuple[dict, dict]:
    """(state_dict, {input, output, grad}) of `torchvision:NAME` or `timm:NAME` with random weights.

    The scales of its normalisations are around `scale`: where depth multiplies rounding, smaller ones keep it small.
    """
    python = os.environ.get("SHINSO_ORACLES_PYTHON")
    if not python:
        pytest.skip("SHINSO_ORACLES_PYTHON names no Python that has torchvision and timm")
    asked = json.dumps({"network": network, "shape": shape, "options": options, "scale": scale})
    out = folder / "published.safetensors"
    subprocess.run([python, str(Path(__file__).with_name("_published.py")), asked, str(out)], check=True,
                   capture_output=True, text=True)
    tensors = load_file(out)
    out.unlink()
    state = {name.removeprefix("state/"): t for name, t in tensors.items() if name.startswith("state/")}
    return state, {name: t for name, t in tensors.items() if not name.startswith("state/")}


def computes(ours: nn.Module, theirs: dict[str, Tensor], within: float = 1e-5) -> None:
    """Asserts that our network, already given their weights, has their outputs and input gradients.

    `within` is relative to the largest entry, in float32.
    """
    ours.eval()
    x = theirs["input"].clone().requires_grad_()
    y = ours(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    assert x.grad is not None
    for mine, other in ((y.detach(), theirs["output"]), (x.grad, theirs["grad"])):
        assert mine.shape == other.shape
        assert float((mine - other).abs().max() / other.abs().max()) <= within

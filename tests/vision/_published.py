"""Run by the Python that has torchvision and timm: one of their networks, random weights, and what it computes.

    python _published.py {"network": "torchvision:resnet18", "shape": [2, 3, 64, 64], "options": {}, "scale": 1.0} OUT

`torchvision:googlenet/aux1` is a module of one, with inputs of this shape.

Written: `state/<name>` for every weight and buffer, `input`, `output`, and `grad`, the input's gradient of the sum of
outputs times -1..1. The network is in evaluation mode; its normalisations have statistics and scales other than 0, 1.
"""

import json
import sys

import torch
from safetensors.torch import save_file


def main(asked: str, out: str) -> None:
    library = torch.library.Library("torchvision", "DEF")  # beside torch for the CPU two operations are not declared
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    given = json.loads(asked)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    package, _, name = given["network"].partition(":")
    name, _, inside = name.partition("/")
    if package == "torchvision":
        import torchvision

        network = torchvision.models.get_model(name, weights=None, **given["options"])
    else:
        import timm

        network = timm.create_model(name, pretrained=False, **given["options"])
    network = network.get_submodule(inside).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5 * given["scale"], 1.5 * given["scale"])
                module.bias.normal_(0, 0.1)
    x = torch.randn(given["shape"], requires_grad=True)
    y = network(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    state = {f"state/{key}": value.clone().contiguous() for key, value in network.state_dict().items()}
    save_file({**state, "input": x.detach(), "output": y.detach().contiguous(), "grad": x.grad.contiguous()}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])

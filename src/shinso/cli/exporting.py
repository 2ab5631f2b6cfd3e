"""A network as a file of another program, read back and compared."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from shinso.catalogue.index import missing_package
from shinso.core.errors import UserError
from shinso.engine.disk import atomic_write_bytes

BATCHES = (1, 3)
"""sizes with which an export is compared: none of them needs to be the example's"""


def write_safetensors(network: nn.Module, example: Tensor, path: Path, about: Mapping[str, str]) -> tuple[float, float]:
    """The state dict; returns (0 if it reads back exactly, the largest weight)."""
    from safetensors.torch import load_file, save

    # Tied weights are written twice: a reader of the file need not know which are tied.
    state = {name: value.detach().cpu().clone().contiguous() for name, value in network.state_dict().items()}
    atomic_write_bytes(path, save(state, metadata=dict(about)))
    back = load_file(path)
    filled = {name: value.double() for name, value in state.items() if value.numel()}
    difference = max((float((back[name].double() - value).abs().max()) for name, value in filled.items()), default=0.0)
    return difference, max((float(value.abs().max()) for value in filled.values()), default=0.0)


def write_onnx(network: nn.Module, example: Tensor, path: Path, about: Mapping[str, str]) -> tuple[float, float]:
    """The forward pass with any batch size; returns (largest difference in onnxruntime, largest output)."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it and would say so at length
    except ModuleNotFoundError as missing:
        raise missing_package("export --to onnx", (missing.name or "onnx").partition(".")[0]) from None
    network = network.eval().cpu()
    example = example.cpu()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells at length what it does not need
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own making
        try:
            shape = ({0: torch.export.Dim.DYNAMIC},)
            torch.onnx.export(network, (example,), path, dynamo=True, dynamic_shapes=shape, external_data=False,
                              input_names=["input"], output_names=["output"], verbose=False)
        except torch.onnx.OnnxExporterError as error:
            reason = " ".join(str(error.__cause__ or error).split())[:200]
            raise UserError(path, f"the exporter refuses this network ({reason})", "use --to safetensors") from None
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(about))
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return _compared(network, example, session)


@torch.no_grad()
def _compared(network: nn.Module, example: Tensor, session: object) -> tuple[float, float]:
    draw = torch.Generator().manual_seed(0)
    difference, scale = 0.0, 0.0
    for size in BATCHES:
        inputs = torch.randn((size, *example.shape[1:]), generator=draw).to(example.dtype)
        expected = network(inputs)
        (found,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})  # pyright: ignore
        difference = max(difference, float((torch.from_numpy(found) - expected).abs().max()))
        scale = max(scale, float(expected.abs().max()))
    return difference, scale

r"""The layers of a network, one row each: what they are, what they cost, what they see.

For one example, of every module that computes something of its own, in the order of computation:

    parameters  = numbers that are trained or could be: weights and biases                         (1)
    products    = out * in / groups * window * places       of a convolution, bias left out        (2)
    products    = out * in * places                         of a linear map                        (3)
    memory      = bytes of what it hands on                                                        (4)

A product with its addition is one multiply-accumulate, MAC; counted as two operations, FLOPs = 2 * products. They are
counted where tensors are multiplied, so that it does not matter whether a layer is a module, a function or fused into
native code. Weights that the example does not reach have a row without a shape. The surprise, in VGG-16: nine tenths
of its parameters stand in three layers, and more than nine tenths of its work is done by all the others.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from json import dumps
from math import prod
from typing import final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_least, exactly
from shinso.inside.following import Fields, Following
from shinso.inside.watching import AbstractWatch, call_name, module_name, watching


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One row."""

    name: str
    """of the module in the network; relu#2 where it works a second time"""
    kind: str
    """its class"""
    shape: tuple[int, ...] = ()
    """of what it hands on for one example: (channels, height, width) or (features,); empty: it was not reached"""
    parameters: int = 0
    products: int = 0
    """multiply-accumulates for one example; FLOPs are twice as many"""
    memory: int = 0
    """bytes of what it hands on for one example"""
    field: Fields | None = None
    """what a unit of it sees along height and width; none: the input is no picture"""
    container: bool = False
    """it only holds other modules: its costs stand in their rows"""

    def sees(self, picture: Sequence[int]) -> tuple[int, int] | None:
        """Height and width of what one unit sees of a picture (height, width), cut at its borders."""
        if self.field is None:
            return None
        high, wide = (min(round(field.size), side) for field, side in zip(self.field, picture, strict=True))
        return high, wide


@torch.no_grad()
def layers(network: nn.Module, example: Tensor, *, containers: bool = False) -> list[Layer]:
    """The table for one example (1, ...), in the order of computation; on the meta device it costs nothing.

    With `containers` modules that only hold others have rows, too, behind their parts.
    """
    table = _Table(network, example)
    with watching(network, table.see):
        hooks = [module.register_forward_pre_hook(table.enter) for module in network.modules()]
        hooks += [module.register_forward_hook(table.leave) for module in network.modules()]
        try:
            with table.follow, table.counter:
                network(example)
        finally:
            for handle in hooks:
                handle.remove()
    return [row for row in table.rows() if containers or not row.container]


@torch.no_grad()
def products(network: nn.Module, example: Tensor) -> int:
    """The sum of that column alone."""
    counted: list[int] = []
    with watching(network), _Products(counted.append):
        network(example)
    return sum(counted) // max(1, len(example))


def grouped(rows: Sequence[Layer], most: int) -> list[Layer]:
    """At most `most` rows where names allow it: modules in place of their parts, as deep down as possible.

    What such a module hands on is known where `rows` have containers.
    """
    deepest = max((row.name.count(".") + 1 for row in rows), default=1)
    for depth in range(deepest, 0, -1):
        groups: dict[str, list[Layer]] = {}
        for row in rows:
            groups.setdefault(".".join(row.name.split(".")[:depth]), []).append(row)
        groups = {name: parts for name, parts in groups.items() if not all(part.container for part in parts)}
        if len(groups) <= most or depth == 1:
            return [_sum(name, parts) for name, parts in groups.items()]
    return []


def as_json(rows: Sequence[Layer], example: Sequence[int]) -> str:
    """The table for other programs, with its units and sums; `example` is the shape of one input."""
    units = {"name": "of the module in the network; NAME#2 where it works a second time",
             "products": "multiply-accumulates for one example; FLOPs are twice as many",
             "memory": "bytes for one example", "field": "height and width; size, jump and start in pixels"}
    total = {name: sum(getattr(row, name) for row in rows) for name in ("parameters", "products", "memory")}
    return dumps({"input": list(example), "units": units, "total": total, "layers": [asdict(row) for row in rows]},
                 indent=1)


@final
class _Table:
    """Rows in the making; products belong to the innermost module that is at work."""

    def __init__(self, network: nn.Module, example: Tensor):
        self.network, self.examples = network, max(1, len(example))
        self.follow, self.counter = Following(example), _Products(self.count)
        if example.dim() != 4:
            self.follow.fields.clear()
        self.names = {module: name for name, module in network.named_modules()}
        self.at_work: list[str] = []
        self.calls: Counter[str] = Counter()
        self.found: dict[str, Layer] = {}
        self.products: dict[str, int] = {}

    def enter(self, module: nn.Module, _inputs: object) -> None:
        self.at_work.append(call_name(self.names[module], self.calls))

    def leave(self, module: nn.Module, _inputs: object, _output: object) -> None:
        self.at_work.pop()

    def count(self, products: int) -> None:
        name = self.at_work[-1]
        self.products[name] = self.products.get(name, 0) + products

    def see(self, name: str, module: nn.Module, output: Tensor) -> None:
        shape, size = tuple(output.shape[1:]), output.numel() * output.element_size() // self.examples
        own = sum(weight.numel() for weight in module.parameters(recurse=False))
        container = not (own or self.products.get(name)) and any(True for _ in module.children())
        self.found[name] = Layer(name=name, kind=type(module).__name__, shape=shape, parameters=own,
                                 container=container, memory=0 if container else size,
                                 field=self.follow.fields.get(output))

    def rows(self) -> list[Layer]:
        counted = [replace(row, products=self.products.get(name, 0) // self.examples)
                   for name, row in self.found.items()]
        counted += [Layer(name=name, kind=type(module).__name__, parameters=own)
                    for name, module in self.network.named_modules() if name not in self.found
                    and (own := sum(weight.numel() for weight in module.parameters(recurse=False)))]
        return _each_weight_once(self.network, counted)


def _each_weight_once(network: nn.Module, rows: Sequence[Layer]) -> list[Layer]:
    """Weights that two modules share, or one that works twice, count for the first of them."""
    seen: set[Tensor] = set()
    once = []
    for row in rows:
        weights = set(network.get_submodule(module_name(row.name)).parameters(recurse=False)) - seen
        seen |= weights
        once.append(replace(row, parameters=sum(weight.numel() for weight in weights)))
    return once


@final
class _Products(AbstractWatch):
    """(2) and (3), counted at every convolution and matrix product."""

    def __init__(self, count: Callable[[int], None]):
        super().__init__()
        from torch.utils.flop_counter import flop_registry, sdpa_flop_count

        def attention(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> int:
            return sdpa_flop_count(query.shape, key.shape, value.shape)

        on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # the one that torch's table lacks
        self.count, self.known = count, {on_cpu: attention, **flop_registry}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = _computed(func, args, kwargs or {})
        twice = self.known.get(func.overloadpacket)
        if twice is not None:
            self.count(twice(*args, **(kwargs or {}), out_val=output) // 2)
        return output


def _computed(func: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]) -> object:
    """What `func` gives; on the meta device the two that torch works out through its compiler, by their shape alone.

    The import of the compiler takes a second.
    """
    first, name = args[0] if args else None, str(func).split(".")[1]
    if isinstance(first, Tensor) and first.is_meta:
        if name in ("relu", "relu_"):
            return first if name == "relu_" else torch.empty_like(first)
        if name == "native_batch_norm":
            return torch.empty_like(first), *(first.new_empty(first.shape[1]) for _ in range(2))
    return func(*args, **kwargs)


def _sum(name: str, parts: Sequence[Layer]) -> Layer:
    if len(parts) == 1:
        return parts[0]
    last = next((part for part in reversed(parts) if part.shape), parts[-1])
    whole = next((part for part in parts if part.name == name), last)
    kind = whole.kind if whole.name == name else f"{len(parts)} parts"
    parameters, products, memory = (sum(getattr(part, key) for part in parts)
                                    for key in ("parameters", "products", "memory"))
    return Layer(name=name, kind=kind, shape=whole.shape, parameters=parameters, products=products, memory=memory,
                 field=whole.field)


def _vgg_16() -> nn.Sequential:
    """VGG-16 from its list of widths, for counting: on no device, and without its ReLUs, which count for nothing."""
    widths = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, *(512, 512, 512, 0) * 2)  # 0: pooling
    parts: list[nn.Module] = []
    channels = 3
    with torch.device("meta"):
        for width in widths:
            if width == 0:
                parts.append(nn.MaxPool2d(2))
                continue
            parts.append(nn.Conv2d(channels, width, 3, 1, 1))
            channels = width
        parts += [nn.Flatten(), nn.Linear(512 * 49, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)]
    return nn.Sequential(*parts)


def _vgg_16_rows() -> list[Layer]:
    return layers(_vgg_16(), torch.empty(1, 3, 224, 224, device="meta"))


def parameters_are_those_of_the_paper() -> Check:
    """The rows of VGG-16 hold 138,357,544 parameters.

    Source: Simonyan and Zisserman 2014, table 2 (138 million), counted
    """
    return exactly(sum(row.parameters for row in _vgg_16_rows()), 138_357_544)


def products_are_those_of_the_layer_list() -> Check:
    """They make 15,470,264,320 products for one picture of 224x224.

    Source: equations (2) and (3)
    """
    return exactly(products(_vgg_16(), torch.empty(1, 3, 224, 224, device="meta")), 15_470_264_320)


def nine_tenths_of_the_parameters_are_in_three_layers() -> Check:
    """Its three linear layers have 0.8936 of the parameters.

    Source: Simonyan and Zisserman 2014, table 1
    """
    rows = _vgg_16_rows()
    share = sum(row.parameters for row in rows if row.kind == "Linear") / sum(row.parameters for row in rows)
    return about(share, 0.8936, 5e-5)


def the_work_is_in_the_others() -> Check:
    """Its convolutions make more than 0.99 of the products.

    Source: equations (2) and (3)
    """
    rows = _vgg_16_rows()
    return at_least(sum(row.products for row in rows if row.kind == "Conv2d") / sum(row.products for row in rows), 0.99)


def a_convolution_is_its_formula() -> Check:
    """A 5x5 convolution of 12 to 18 channels in 6 groups at 30x20 places makes 18 * 2 * 25 * 600 products.

    Source: equation (2)
    """
    rows = layers(nn.Conv2d(12, 18, 5, padding=2, groups=6), torch.zeros(1, 12, 30, 20))
    return exactly(rows[0].products, 18 * 2 * 25 * 600)


def memory_is_that_of_the_first_layer() -> Check:
    """The first convolution of VGG-16 hands on 64 * 224 * 224 numbers of 4 bytes: more than any other layer.

    Source: equation (4)
    """
    rows = _vgg_16_rows()
    largest = max(row.memory for row in rows)
    return exactly(largest, 4 * prod((64, 224, 224)) if rows[0].memory == largest else 0)


CARD = Card(
    name="Layer table",
    name_ja="層の表",
    paper="Simonyan, Zisserman 2014, Very deep convolutional networks for large-scale image recognition, "
          "arXiv:1409.1556 (table 2)",
    equations=(
        r"\mathrm{parameters} = |W| + |b|",
        r"\mathrm{products} = C' \frac{C}{G}\, k_h k_w\, H' W'",
        r"\mathrm{products} = C' C\, n",
        r"\mathrm{memory} = 4\, C' H' W'",
    ),
    summary="Shape, parameters, multiplications, receptive field and memory of every layer of any network.",
    summary_ja="任意のネットワークの各層について、出力の形・パラメータ数・乗算の回数・受容野・メモリを表にする。",
    topics=(),
    facts=(
        parameters_are_those_of_the_paper,
        products_are_those_of_the_layer_list,
        nine_tenths_of_the_parameters_are_in_three_layers,
        the_work_is_in_the_others,
        a_convolution_is_its_formula,
        memory_is_that_of_the_first_layer,
    ),
    notes=("Some papers call a product with its addition one FLOP, others two: here products are counted, FLOPs are "
           "twice as many.",),
    notes_ja=("積と和の一組を1 FLOPと数える論文と、2と数える論文がある。"
              "ここでは積の回数 (MAC) を数え、FLOPsはその二倍とする。",),
)

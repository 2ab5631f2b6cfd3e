r"""The channel axis: a batch of feature maps has four axes, and so has a convolution's kernel.

    x: (batch, channels, height, width)          NCHW, torch                                       (1)
    x: (batch, height, width, channels)          NHWC, Keras and TensorFlow                        (2)
    W: (out, in, height, width)                  OIHW, torch                                       (3)
    W: (height, width, in, out)                  HWIO, Keras and TensorFlow: W_torch = transpose(3, 2, 0, 1)   (4)
    address = n s_n + c s_c + i s_h + j s_w      where an entry stands in memory                   (5)

The surprise: torch's channels_last changes none of (1) to (4). It is a memory format: the shape stays NCHW, only the
strides s of (5) are those that NHWC would have, and every result is the same; many kernels are faster on it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly


def to_nhwc(x: Tensor) -> Tensor:
    """(1) to (2), contiguous."""
    return x.permute(0, 2, 3, 1).contiguous()


def to_nchw(x: Tensor) -> Tensor:
    """(2) to (1), contiguous."""
    return x.permute(0, 3, 1, 2).contiguous()


def kernel_from_hwio(weight: Tensor) -> Tensor:
    """(4): a Keras kernel (height, width, in, out) as torch's (out, in, height, width)."""
    return weight.permute(3, 2, 0, 1).contiguous()


def kernel_to_hwio(weight: Tensor) -> Tensor:
    """The inverse of (4)."""
    return weight.permute(2, 3, 1, 0).contiguous()


def _drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def there_and_back_is_exact() -> Check:
    """Pictures and kernels go to the other order and back with 0 differences.

    Source: equations (1) to (4)
    """
    x, weight = _drawn(2, 3, 7, 5), _drawn(4, 3, 5, 2)
    back = (to_nchw(to_nhwc(x)) != x).sum() + (kernel_from_hwio(kernel_to_hwio(weight)) != weight).sum()
    return exactly(int(back), 0)


def a_keras_convolution_is_ours_with_its_kernel_turned() -> Check:
    """A convolution summed up in NHWC and HWIO is torch's with kernel and picture turned, to 1e-13.

    Source: equation (4)
    """
    x, weight = _drawn(2, 6, 8, 3), _drawn(3, 2, 3, 4)  # NHWC, HWIO
    slow = torch.zeros(2, 4, 7, 4, dtype=torch.float64)
    for i in range(3):
        for j in range(2):
            slow += torch.einsum("nhwc,co->nhwo", x[:, i:i + 4, j:j + 7], weight[i, j])
    ours = to_nhwc(F.conv2d(to_nchw(x), kernel_from_hwio(weight)))
    return at_most(float((ours - slow).abs().max()), 1e-13)


def the_wrong_turn_is_not_seen_by_shapes() -> Check:
    """Where height = width and in = out, transpose(2, 3, 0, 1) fits as well and is wrong by more than 0.1.

    Source: equation (4)
    """
    x, weight = _drawn(1, 3, 8, 8), _drawn(3, 3, 3, 3)
    wrong = F.conv2d(x, weight.permute(2, 3, 0, 1))
    return at_least(float((wrong - F.conv2d(x, kernel_from_hwio(weight))).abs().max()), 0.1)


def channels_last_keeps_the_shape() -> Check:
    """In channels_last the shape stays (2, 3, 7, 5) and the stride of the channels becomes 1.

    Source: equation (5)
    """
    x = _drawn(2, 3, 7, 5)
    last = x.contiguous(memory_format=torch.channels_last)
    same = last.shape == x.shape and torch.equal(last, x)
    return exactly(last.stride(1) if same else -1, 1)


def its_memory_is_that_of_nhwc() -> Check:
    """Its memory, read from the beginning, is that of NHWC with 0 differences.

    Source: equations (2) and (5)
    """
    x = _drawn(2, 3, 7, 5)
    last = x.contiguous(memory_format=torch.channels_last)
    memory = last.as_strided((last.numel(),), (1,))
    return exactly(int((memory != to_nhwc(x).flatten()).sum()), 0)


def results_are_the_same_in_both_formats() -> Check:
    """Convolution, pooling, batch normalisation and gradient are the same in both formats, to 1e-13.

    Source: a memory format is no part of the value
    """
    found = []
    for form in (torch.contiguous_format, torch.channels_last):
        x = _drawn(2, 3, 9, 9).contiguous(memory_format=form).requires_grad_()
        y = F.conv2d(x, _drawn(8, 3, 3, 3).contiguous(memory_format=form), padding=1)
        y = F.batch_norm(F.max_pool2d(y.relu(), 2), None, None, training=True)
        (gradient,) = torch.autograd.grad(y.square().sum() + y[:, 0].sum() + (y * y * y).sum(), x)
        found.append((y.detach(), gradient))
    return at_most(max(float((a - b).abs().max()) for a, b in zip(*found, strict=True)), 1e-13)


CARD = Card(
    name="Channel axis",
    name_ja="チャンネルの軸",
    paper="LeCun, Bottou, Bengio, Haffner 1998, Proc. IEEE 86 (maps and kernels); PyTorch 2020, channels_last",
    equations=(
        r"x:\ (N, C, H, W)",
        r"x:\ (N, H, W, C)",
        r"W:\ (O, I, H, W)",
        r"W_{oihw} = W_{hwio}",
        r"\mathrm{address} = n s_n + c s_c + i s_h + j s_w",
    ),
    summary="Feature maps have three axes and kernels four; which comes first is a convention, and memory is another.",
    summary_ja="特徴マップは三つ、カーネルは四つの軸を持つ。どの軸が先かは約束事であり、メモリの並びはまた別である。",
    topics=("vision.part.channels",),
    facts=(
        there_and_back_is_exact,
        a_keras_convolution_is_ours_with_its_kernel_turned,
        the_wrong_turn_is_not_seen_by_shapes,
        channels_last_keeps_the_shape,
        its_memory_is_that_of_nhwc,
        results_are_the_same_in_both_formats,
    ),
    notes=("Keras and TensorFlow keep pictures as NHWC and kernels as HWIO: their weights need transpose(3, 2, 0, 1).",
           "channels_last is a memory format, not another shape: code that indexes NCHW stays right."),
    notes_ja=("Keras と TensorFlow の画像は NHWC、カーネルは HWIO である。"
              "重みを移すには transpose(3, 2, 0, 1) が要る。",
              "channels_last はメモリの並びであって別の形ではない。NCHW で添字を書いたコードはそのまま正しい。"),
)

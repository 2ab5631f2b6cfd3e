"""torch's own table of optimisers: its wrong inputs get the same error from ours, and its right ones the same path."""

import warnings
from inspect import signature

import pytest
import torch

from shinso.optim.named import methods

pytest.importorskip("expecttest", reason="torch's table of optimisers needs the package expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch's own test code
    from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

OURS = {kind.__name__: kind for kind in methods().values()}
WIDER = {"Muon"}
"""a method that takes more than torch's: its own test compares the rest"""
TWINS = [info for info in optim_db if info.optim_cls.__name__ in OURS]
WRONG = [(OURS[info.optim_cls.__name__], error) for info in TWINS
         for error in info.optim_error_inputs_func("cpu", torch.float32) if "only supports 2D" not in error.error_regex]
PLAIN = next(info for info in optim_db if info.optim_cls is torch.optim.SGD)
ANYBODYS = [(kind, error) for kind in OURS.values()
            for error in PLAIN.optim_error_inputs_func("cpu", torch.float32)
            if kind.__name__ not in {info.optim_cls.__name__ for info in TWINS}
            and set(error.optimizer_error_input.kwargs) <= set(signature(kind).parameters) & {"lr"}
            and error.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR]
"""what torch says about parameters and rates whatever the method"""

ALL_AT_ONCE = {"BFGS", "ConjugateGradient", "HessianFree", "NaturalGradient", "Newton"}
"""methods of one group of parameters"""


def told(case):
    return f"{case.__name__}" if isinstance(case, type) else case.error_regex[:40]


def test_every_method_that_torch_has_is_compared():
    assert {"SGD", "Adagrad", "Adadelta", "RMSprop", "Rprop", "Adam", "AdamW", "Adamax", "NAdam", "LBFGS"} <= {
        info.optim_cls.__name__ for info in TWINS}
    assert len(WRONG) >= 80


@pytest.mark.parametrize(("kind", "error"), WRONG + ANYBODYS, ids=told)
def test_a_wrong_input_gets_torchs_error(kind, error):
    given, said = error.optimizer_error_input, error.error_regex
    if kind.__name__ in ALL_AT_ONCE and "group" in said and error.error_type is ValueError:
        said = f"{said}|parameter groups"  # which it refuses altogether, as torch's LBFGS does
    with pytest.warns(error.error_type, match=said) if issubclass(error.error_type, Warning) else (
            pytest.raises(error.error_type, match=said)):
        optimiser = kind(given.params, **given.kwargs)
        if error.error_on is OptimizerErrorEnum.STEP_ERROR:
            optimiser.step()


PATHS = [(info, dtype) for info in TWINS for dtype in (torch.float64, torch.complex128)
         if info.optim_cls.__name__ not in WIDER and (not dtype.is_complex or info.supports_complex)]


@pytest.mark.parametrize(("info", "dtype"), PATHS, ids=lambda case: str(getattr(case, "optim_cls", case)))
def test_torchs_own_choice_of_options_walks_the_same_path(info, dtype):
    for given in info.optim_inputs_func("cpu"):
        # At the minimum L-BFGS divides rounding errors by each other: it is compared before it is there. It cannot
        # search along gradients that are not contiguous.
        lbfgs = info.optim_cls is torch.optim.LBFGS
        ours, theirs = (_walked(kind, given.kwargs, dtype, steps=2 if lbfgs else 20, turned=not lbfgs)
                        for kind in (OURS[info.optim_cls.__name__], info.optim_cls))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13, msg=lambda m, g=given: f"{g.desc}: {m}")


def _walked(kind, options, dtype, steps, turned):
    """Two weights after some steps down |A w - b|^2, the second of them not contiguous if `turned`."""
    draw = torch.Generator().manual_seed(0)
    A, b = torch.randn(5, 5, generator=draw, dtype=dtype), torch.randn(5, 3, generator=draw, dtype=dtype)
    u = torch.randn(5, 3, generator=draw, dtype=dtype).requires_grad_()
    v = torch.randn(3, 5, generator=draw, dtype=dtype).t()
    v = (v if turned else v.contiguous()).requires_grad_()
    optimiser = kind([u, v], **options)

    def closure():
        optimiser.zero_grad()
        loss = (A @ (u + v) - b).abs().square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimiser.step(closure)
    return torch.stack([u.detach(), v.detach()])

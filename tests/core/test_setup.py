"""Setups come from JSON and from the command line, and never lose a typo."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import pytest

from shinso.core.errors import UserError
from shinso.core.setup import from_json, in_range, replace_fields, sensible, to_json


@dataclass(frozen=True, kw_only=True)
class Example:
    epochs: int = 3
    lr: float = 0.1
    hidden: tuple[int, ...] = (100, 10)
    rule: Literal["sgd", "adam"] = "adam"
    augment: bool = True
    clip: float | None = None


def test_a_setup_survives_json_exactly():
    setup = Example(lr=0.1 + 0.2, hidden=(), clip=1e-300)
    assert from_json(Example, to_json(setup), "setup.json") == setup


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("12", "epochs", 12),
        ("1e-3", "lr", 1e-3),
        ("128,64", "hidden", (128, 64)),
        ("sgd", "rule", "sgd"),
        ("no", "augment", False),
        ("none", "clip", None),
        ("2", "clip", 2.0),
    ],
)
def test_typed_text_becomes_the_fields_type(typed, field, value):
    changed = getattr(replace_fields(Example(), {field: typed}, "run"), field)
    assert changed == value and type(changed) is type(value)


@pytest.mark.parametrize(
    ("typed", "cure"),
    [
        ({"epoch": "3"}, "did you mean 'epochs'?"),
        ({"epochs": "3.5"}, "give a whole number"),
        ({"epochs": "many"}, "give a whole number"),
        ({"rule": "adm"}, "did you mean 'adam'?"),
        ({"augment": "maybe"}, "write true or false"),
        ({"hidden": "10,x"}, "give a whole number"),
    ],
)
def test_a_wrong_field_or_value_is_refused_with_its_cure(typed, cure):
    with pytest.raises(UserError) as refused:
        replace_fields(Example(), typed, "run")
    assert refused.value.cure == cure


@pytest.mark.parametrize("values", [{"epochs": True}, {"epochs": 1.5}, {"hidden": "100"}, {"lr": "0.1"}, {"rule": 3}])
def test_json_of_the_wrong_type_is_refused(values):
    with pytest.raises(UserError):
        from_json(Example, values, "setup.json")


def test_every_single_edit_of_a_field_name_is_refused_with_a_suggestion():
    for name in ("epochs", "hidden", "augment"):
        for place in range(len(name)):
            typo = name[:place] + name[place + 1 :]
            with pytest.raises(UserError) as refused:
                from_json(Example, {typo: 1}, "setup.json")
            assert name in refused.value.cure


def test_a_message_stays_on_one_line_whatever_the_name():
    line = UserError("bad\nname\x1b[31m", "is no file.", "give a file.").line()
    assert "\n" not in line and "\x1b" not in line and line.endswith("give a file.")


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"epochs": -3}, {"lr": float("nan")}, {"lr": float("inf")},
                                   {"share": 1.5}, {"share": -0.1}])
def test_a_number_that_makes_no_sense_is_refused_by_its_field(wrong):
    fields = {"epochs": 1, "lr": 0.1, "share": 1.0, "limit": None, **wrong}
    with pytest.raises(UserError, match=next(iter(wrong))):
        in_range(SimpleNamespace(**fields), ("epochs", "lr", "limit"), ("share",))
    in_range(SimpleNamespace(epochs=1, lr=1e-9, share=0, limit=None), ("epochs", "lr", "limit"), ("share",))


@dataclass(frozen=True, kw_only=True)
class Placed:
    SIGNED = ("start",)
    start: tuple[float, ...] = (-4.0, 1.0)
    lr: float = 0.1


def test_only_fields_that_say_so_may_be_negative():
    assert sensible(Placed(start=(-3.0, 2.0))).start == (-3.0, 2.0)
    with pytest.raises(UserError, match=r"lr: -0\.1 is not in range"):
        sensible(Placed(lr=-0.1))
    for start in ((float("nan"),), (-float("inf"),), (-1e30,)):
        with pytest.raises(UserError, match="start"):
            sensible(Placed(start=start))

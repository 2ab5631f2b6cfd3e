"""Setups are plain values that survive JSON exactly, explain themselves, and are read as text as they are."""

import dataclasses
import json
import typing

import pytest
from traces import PATHS, module

from shinso.catalogue import hints, index
from shinso.core.errors import UserError
from shinso.core.setup import from_json, replace_fields, to_json

VARIANTS = [(path, name) for path in PATHS for name in module(path).VARIANTS]


@pytest.mark.parametrize("path", PATHS)
def test_a_setup_is_frozen_and_keyword_only(path):
    cls = module(path).Setup
    assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen
    assert all(f.kw_only for f in dataclasses.fields(cls))
    assert all(f.default is not dataclasses.MISSING for f in dataclasses.fields(cls)), "every field has a default"
    assert "seed" in {f.name for f in dataclasses.fields(cls)}


@pytest.mark.parametrize("path", PATHS)
def test_every_field_is_explained_and_read_as_text_with_its_type(path):
    cls, read = module(path).Setup, index.system(path).fields
    assert [f.name for f in read] == [f.name for f in dataclasses.fields(cls)]
    types = typing.get_type_hints(cls)
    for field in read:
        assert field.help, f"{path}: field {field.name} has no string under it"
        assert hints.hint(field.annotation) == types[field.name], f"{path}: {field.name}: {field.annotation}"


@pytest.mark.parametrize("path", PATHS)
def test_there_is_a_smoke_and_a_default_variant(path):
    system = module(path)
    assert {"smoke", "default"} <= set(system.VARIANTS)
    assert all(type(setup) is system.Setup for setup in system.VARIANTS.values())
    assert [v.name for v in index.system(path).variants] == list(system.VARIANTS)
    assert len(set(system.VARIANTS.values())) == len(system.VARIANTS), "two variants are the same"


@pytest.mark.parametrize(("path", "name"), VARIANTS)
def test_a_setup_survives_json_exactly(path, name):
    system = module(path)
    setup = system.VARIANTS[name]
    again = from_json(system.Setup, json.loads(json.dumps(to_json(setup), allow_nan=False)), path)
    assert again == setup
    for f in dataclasses.fields(setup):
        assert type(getattr(again, f.name)) is type(getattr(setup, f.name)), f"{path}: {f.name}"


@pytest.mark.parametrize("path", PATHS)
def test_every_value_can_be_typed_on_the_command_line(path):
    setup = module(path).VARIANTS["smoke"]
    typed = {f.name: _typed(getattr(setup, f.name)) for f in dataclasses.fields(setup)}
    assert replace_fields(module(path).Setup(), typed, path) == setup


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_field_is_refused_with_the_nearest_name(path):
    with pytest.raises(UserError, match="seed"):
        from_json(module(path).Setup, {"sede": 1}, path)


def _typed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

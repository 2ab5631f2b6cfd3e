"""`shinso export RUN --to onnx|safetensors`: the networks of a run for other programs, compared with the originals."""

import json as json_module
from pathlib import Path

import click

from shinso.cli.command import Command, flag, option
from shinso.cli.list import print_json
from shinso.cli.phrases import say
from shinso.core.errors import UserError

TOLERANCE = 1e-3
"""largest difference, relative to the largest output, that rounding in another program may make"""


def command() -> click.Command:
    to = option("to", "onnx|safetensors", "export.to", None, ("onnx", "safetensors"), required=True)
    out = option("out", "FILE", "export.out")
    return Command("export", export, [click.Argument(["run"], metavar="RUN"), to, out, flag("json", "option.json")])


def export(*, run: str, to: str, out: str | None, json: bool) -> int:
    """Writes each network that has an example; returns 1 when what was written computes something else."""
    from shinso.cli.exporting import write_onnx, write_safetensors
    from shinso.cli.rebuild import rebuild
    from shinso.engine.program import Networked

    folder = Path(run)
    program, _, values = rebuild(folder)
    if not isinstance(program, Networked) or not program.networks():
        raise UserError(values["system"], "this system has no network", "export the run of a system with a network")
    about = {"system": str(values["system"])}
    if (folder / "data.json").exists():
        described = json_module.loads((folder / "data.json").read_text(encoding="utf-8"))
        about |= {name: json_module.dumps(value, ensure_ascii=False) for name, value in described.items()}
    examples, networks = program.example(), program.networks()
    names = [name for name in networks if name in examples]
    if not names:
        raise UserError(values["system"], "its network is not made of torch's layers, so it has no form to export",
                        "export the run of a system such as vision.lenet")
    written = []
    for name in names:
        path = _path(folder, name, to, out, alone=len(names) == 1)
        write = write_onnx if to == "onnx" else write_safetensors
        difference, scale = write(networks[name], examples[name], path, about)
        written.append({"network": name, "file": str(path), "bytes": path.stat().st_size,
                        "difference": difference, "same": difference <= TOLERANCE * max(1.0, scale)})
    if json:
        print_json(written)
    else:
        for one in written:
            print(say("export.written", file=one["file"], size=f"{one['bytes']:,}", difference=one["difference"]))
    return 0 if all(one["same"] for one in written) else 1


def _path(folder: Path, name: str, to: str, out: str | None, *, alone: bool) -> Path:
    if out is None:
        return folder / f"{name}.{to}"
    path = Path(out)
    return path if alone else path.with_name(f"{path.stem}-{name}{path.suffix or '.' + to}")

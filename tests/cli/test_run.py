"""Runs from the command line: what is left behind, resume bit by bit, interrupts, early stopping, divergence."""

import json
import signal
import subprocess

import pytest
import torch

STEPS = ["--steps", 60, "--threads", 1]


def records(folder):
    return (folder / "records.jsonl").read_bytes()


def test_a_run_leaves_everything_that_was_promised(shell, tmp_path):
    said = shell("run", "basics.line", *STEPS, "--out", "a")
    assert said.code == 0 and said.out == ""
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {"setup.json", "records.jsonl", "checkpoints", "report.html", "curves.png", "summary.json"} <= names
    assert [name for name in names if name.startswith("events.out.tfevents")]
    assert (tmp_path / "a/checkpoints/latest").read_text() == "step-60\n"
    assert (tmp_path / "a/curves.png").read_bytes().startswith(b"\x89PNG")
    first, *rest = said.err.splitlines()
    assert first == "basics.line (default) on cpu, fp32, compile off, 1 thread(s); 60 steps"
    assert any(line.startswith("report: ") and line.endswith("report.html") for line in rest)
    assert rest[-1] == "next: shinso check basics.line"


def test_a_run_leaves_the_files_of_its_program_and_shows_what_moves(shell, tmp_path):
    assert shell("run", "basics.line", *STEPS, "--out", "a").code == 0
    assert {file.name for file in (tmp_path / "a/files").iterdir()} == {"line.gif", "line.csv"}
    assert (tmp_path / "a/files/line.csv").read_text().startswith("w\n")
    report = (tmp_path / "a/report.html").read_text(encoding="utf-8")
    assert 'src="data:image/gif;base64,R0lGODlh"' in report and "files/line.csv" in report


def test_json_is_the_records_and_then_the_metrics(shell, tmp_path):
    said = shell("run", "basics.line", *STEPS, "--json", "--out", "a")
    *rows, last = said.rows()
    assert rows == [json.loads(line) for line in records(tmp_path / "a").splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 61))
    assert [row["step"] for row in rows if "validation_loss" in row] == [10, 20, 30, 40, 50, 60]
    assert set(last) == {"run", "metrics"} and last["run"] == "a"
    assert set(last["metrics"]) == {"loss", "validation_loss", "test_loss"}


def test_long_runs_are_thinned_to_a_thousand_rows(shell, tmp_path):
    shell("run", "basics.line", "--steps", 2500, "--rhythm", 1000, "--threads", 1, "--out", "a")
    steps = [json.loads(line)["step"] for line in records(tmp_path / "a").splitlines()]
    assert steps == list(range(2, 2501, 2))


def test_folders_have_a_name_of_their_own(shell, tmp_path):
    for _ in range(2):
        assert shell("run", "basics.line", "--variant", "smoke", "--threads", 1).code == 0
    names = [path.name for path in (tmp_path / "runs").iterdir()]
    assert len(names) == 2 and all(name.startswith("basics.line-2") for name in names)


def test_fields_are_set_by_both_spellings(shell, tmp_path):
    shell("run", "basics.line", "--break-at", 0, "--break_at=0", "--steps", 10, "--sizes", "4,5", "--limit", "none",
          "--threads", 1, "--out", "a")
    values = json.loads((tmp_path / "a/setup.json").read_text())
    assert values["setup"]["sizes"] == [4, 5] and values["setup"]["limit"] is None and values["setup"]["steps"] == 10
    assert values["place"]["threads"] == 1


def test_a_folder_with_a_run_is_refused_and_nothing_in_it_changes(shell, tmp_path):
    shell("run", "basics.line", *STEPS, "--out", "a")
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    said = shell("run", "basics.line", *STEPS, "--out", "a")
    assert said.code == 2 and said.err.count("\n") == 1 and "--resume a" in said.err
    assert {path: path.read_bytes() for path in before} == before


def stopped_at(shell, monkeypatch, step, *words):
    """A run that wishes to end at `step`, as after Ctrl-C."""
    from shinso.engine.interrupt import Interruptible

    def wish(self, row, program):
        self.signal = signal.SIGINT if row.step == step else self.signal
        return self.signal is not None

    with monkeypatch.context() as patch:
        patch.setattr(Interruptible, "__call__", wish)
        return shell("run", "basics.line", *words)


@pytest.mark.parametrize("step", [1, 7, 10, 33, 59])
def test_resume_is_bit_identical_from_any_step(shell, monkeypatch, tmp_path, step):
    shell("run", "basics.line", *STEPS, "--out", "whole")
    said = stopped_at(shell, monkeypatch, step, *STEPS, "--out", "parts")
    assert said.code == 130 and "shinso run --resume parts" in said.err
    said = shell("run", "--resume", "parts")
    assert said.code == 0 and f"continues after step {step} of 60" in said.err
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    states = [torch_state(tmp_path / name / "checkpoints/step-60/state.safetensors") for name in ("whole", "parts")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    metrics = [json.loads((tmp_path / name / "summary.json").read_text())["metrics"] for name in ("whole", "parts")]
    assert metrics[0] == metrics[1]


def torch_state(path):
    from safetensors.torch import load_file

    return load_file(path)


def test_records_beyond_the_checkpoint_are_done_again(shell, monkeypatch, tmp_path):
    """As after kill -9: rows were written that no checkpoint knows."""
    shell("run", "basics.line", *STEPS, "--out", "whole")
    stopped_at(shell, monkeypatch, 20, *STEPS, "--out", "parts")
    with open(tmp_path / "parts/records.jsonl", "ab") as file:
        file.write(b'{"step": 21, "loss": 5.0}\n{"step": 22, "lo')
    assert shell("run", "--resume", "parts").code == 0
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


def test_a_run_killed_before_its_first_checkpoint_starts_anew(shell, monkeypatch, tmp_path):
    import shutil

    shell("run", "basics.line", *STEPS, "--out", "whole")
    stopped_at(shell, monkeypatch, 20, *STEPS, "--out", "parts")
    shutil.rmtree(tmp_path / "parts/checkpoints")
    assert shell("run", "--resume", "parts").code == 0
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


def test_a_run_that_ended_before_its_report_is_not_finished(shell, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr("shinso.cli.ending.write_report", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert shell("run", "basics.line", *STEPS, "--out", "a").code == 130
    assert shell("run", "--resume", "a").code == 0
    assert (tmp_path / "a/report.html").exists() and (tmp_path / "a/curves.png").exists()
    assert "this run is finished" in shell("run", "--resume", "a").err


def test_a_folder_with_a_setup_has_the_description_of_its_data(real, monkeypatch, tmp_path):
    """The setup makes a folder a run: a kill between the two files must not leave a run that cannot predict."""
    with monkeypatch.context() as patch:
        patch.setattr("shinso.cli.training.save_description", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert real("run", "basics.mlp", "--variant", "smoke", "--threads", 1, "--out", "a").code == 130
    assert not (tmp_path / "a/setup.json").exists()
    assert real("run", "basics.mlp", "--variant", "smoke", "--threads", 1, "--out", "a").code == 0
    assert (tmp_path / "a/setup.json").exists() and (tmp_path / "a/data.json").exists()


def test_a_finished_run_says_so(shell, tmp_path):
    shell("run", "basics.line", *STEPS, "--out", "a")
    before = records(tmp_path / "a")
    said = shell("run", "--resume", "a", "--json")
    assert said.code == 0 and "this run is finished (60 of 60 steps)" in said.err
    assert said.rows()[-1]["run"] == "a" and "test_loss" in said.rows()[-1]["metrics"]
    assert records(tmp_path / "a") == before


@pytest.mark.parametrize("extra", [["--steps", 90], ["--variant", "smoke"], ["--threads", 2], ["--out", "b"],
                                   ["--device", "cpu"], ["--precision", "bf16"]])
def test_a_resumed_run_keeps_its_setup(shell, monkeypatch, extra):
    stopped_at(shell, monkeypatch, 20, *STEPS, "--out", "a")
    said = shell("run", "basics.line", "--resume", "a", *extra)
    assert said.code == 2 and said.err.count("\n") == 1 and f"{extra[0]} cannot change" in said.err


def test_a_run_of_another_system_is_refused(shell, monkeypatch):
    stopped_at(shell, monkeypatch, 20, *STEPS, "--out", "a")
    said = shell("run", "basics.curve", "--resume", "a")
    assert said.code == 2 and said.err.count("\n") == 1


def test_checkpoints_follow_the_rhythm_that_was_asked_for(shell, tmp_path):
    shell("run", "basics.line", *STEPS, "--checkpoint-every", 7, "--keep", 2, "--out", "a")
    found = sorted(path.name for path in (tmp_path / "a/checkpoints").iterdir() if path.is_dir())
    best = (tmp_path / "a/checkpoints/best").read_text().strip()
    assert {"step-56", "step-60"} <= set(found) <= {"step-56", "step-60", best}


def test_early_stopping_tests_the_best_weights(shell, monkeypatch, tmp_path):
    """The validation loss rises from step 31 on: three evaluations later it ends, with the weights of step 30."""
    from shinso.catalogue import index

    line = index.load("basics.line").Line
    judged = line.evaluate
    seen = []

    def rising(self, split):
        seen.append((split, float(self.model.weight.detach())))
        count = sum(name == "validation" for name, _ in seen)
        return {"loss": abs(count - 3.0) + 1} if split == "validation" else judged(self, split)

    monkeypatch.setattr(line, "evaluate", rising)
    said = shell("run", "basics.line", "--steps", 200, "--patience", 3, "--threads", 1, "--out", "a", "--json")
    assert "stopped at step 60: no better validation_loss for 3 evaluations (best at step 30)" in said.err
    assert [split for split, _ in seen] == ["validation"] * 6 + ["test"]
    assert seen[-1][1] == seen[2][1] != seen[5][1]
    assert json.loads((tmp_path / "a/summary.json").read_text())["checkpoint"] == "best"
    assert "finished (60 of 200" in shell("run", "--resume", "a").err


def test_divergence_names_the_layer_and_keeps_what_was_saved(shell, tmp_path):
    said = shell("run", "basics.line", *STEPS, "--break-at", 25, "--checkpoint-every", 10, "--out", "a")
    assert said.code == 1
    assert "model.bias" in said.err.splitlines()[-1] and "step 26" in said.err.splitlines()[-1]
    assert (tmp_path / "a/checkpoints/latest").read_text() == "step-20\n"
    assert len(records(tmp_path / "a").splitlines()) == 25


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_finish_the_step_save_and_say_how_to_go_on(shell, program, tmp_path, number, code):
    words = ["--steps", 60, "--rest", 0.05, "--threads", 1]
    command = program("run", "basics.line", *words, "--out", "parts", "--json")
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    for _ in range(5):
        running.stdout.readline()
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert err.splitlines()[-1].strip() == "shinso run --resume parts"
    done = len(records(tmp_path / "parts").splitlines())
    assert 5 <= done < 60
    assert shell("run", "--resume", "parts").code == 0
    shell("run", "basics.line", *words, "--out", "whole")
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


def test_two_writers_are_refused(shell, program, tmp_path):
    words = ["run", "basics.line", "--steps", 200, "--rest", 0.05, "--threads", 1, "--out", "a", "--json"]
    running = subprocess.Popen(program(*words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert running.stdout is not None
    running.stdout.readline()
    said = shell("run", "--resume", "a")
    running.kill()
    running.communicate()
    assert said.code == 2 and str(running.pid) in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(("name", "content"), [
    ("setup.json", None), ("setup.json", b"{"), ("setup.json", b"[]"), ("setup.json", b"{}"),
    ("setup.json", b"\xff\xfe"),
    ("setup.json", b'{"system": "basics.line", "variant": "x", "setup": {"stepz": 1}, "place": {}}'),
    ("setup.json", b'{"system": "basics.line", "variant": "x", "setup": {"steps": "a"}, "place": {}}'),
    ("setup.json", b'{"system": "../../etc", "variant": "x", "setup": {}, "place": {}}'),
    ("setup.json", b'{"system": 3, "variant": "x", "setup": {}, "place": {}}'),
    ("setup.json", b'{"system": "basics.line", "variant": [], "setup": 3, "place": {}}'),
    ("setup.json", b'{"system": "basics.line", "variant": "x", "setup": {}, "place": {"device": "tpu"}}'),
    ("summary.json", b"{"), ("checkpoints/latest", b"step-7"), ("checkpoints/step-20/state.safetensors", b"x"),
    ("checkpoints/step-20/manifest.json", b"{}"),
])  # fmt: skip
def test_a_damaged_folder_is_one_line(shell, monkeypatch, tmp_path, name, content):
    stopped_at(shell, monkeypatch, 20, *STEPS, "--out", "a")
    path = tmp_path / "a" / name
    path.unlink() if content is None else path.write_bytes(content)
    said = shell("run", "--resume", "a")
    if name == "checkpoints/latest":
        assert said.code == 0
    else:
        assert said.code == 2 and said.err.count("\n") == 1 and said.err.startswith("shinso: "), said
        assert "Traceback" not in said.err


def test_progress_is_a_plain_line_now_and_then_without_a_terminal(shell, monkeypatch):
    monkeypatch.setattr("shinso.cli.progress.LINE_EVERY", 0.0)
    said = shell("run", "basics.line", "--steps", 3, "--threads", 1, "--out", "a")
    assert [line for line in said.err.splitlines() if line.startswith("2/3  67 %")]


def test_a_switch_alone_is_on_and_other_fields_need_a_value(shell, tmp_path):
    for name, words in {"on": ["--loud"], "off": ["--loud", "false"], "between": ["--loud", "--steps", 2]}.items():
        assert shell("run", "basics.line", "--variant", "smoke", "--out", tmp_path / name, *words).code == 0
        setup = json.loads((tmp_path / name / "setup.json").read_text())["setup"]
        assert setup["loud"] == (name != "off") and setup["steps"] == (2 if name == "between" else 40)
    said = shell("run", "basics.line", "--steps")
    assert said.code == 2 and "--steps" in said.err

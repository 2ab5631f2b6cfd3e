"""What the side files say stands wherever claims and fields are shown to people; what scripts read stays English."""

import json

from shinso.catalogue import index

ENGLISH, JAPANESE = "784-100-10 has 79,510 parameters.", "784-100-10 のネットワークのパラメータは79,510個である。"


def test_cards_checks_and_helps_speak_the_users_language(real, monkeypatch):
    commands = {"facts": (("show", "basics.mlp"), ("check", "basics.mlp")),
                "fields": (("show", "basics.mlp"), ("run", "basics.mlp", "--help"))}
    monkeypatch.setenv("COLUMNS", "200")  # no sentence is broken over two lines
    system = index.system("basics.mlp")
    words = {"facts": (ENGLISH, JAPANESE), "fields": ("learning rate [", "学習率 [")}
    assert words["facts"][1] in system.japanese["facts"].values()
    for table, (english, japanese) in words.items():
        for command in commands[table]:
            monkeypatch.setenv("SHINSO_LANG", "en")
            assert english in (said := real(*command).out) and japanese not in said, command
            monkeypatch.setenv("SHINSO_LANG", "ja")
            assert japanese in (said := real(*command).out) and english not in said, command


def test_json_is_the_same_in_every_language_and_lists_carry_both(real, monkeypatch):
    for command in (("list",), ("show", "basics.mlp"), ("check", "basics.mlp")):
        monkeypatch.setenv("SHINSO_LANG", "en")
        english = real(*command, "--json").out
        monkeypatch.setenv("SHINSO_LANG", "ja")
        assert real(*command, "--json").out == english, command
    one = next(entry for entry in json.loads(real("list", "--json").out) if entry["system"] == "basics.mlp")
    assert one["facts"][2]["claim"] == ENGLISH and one["facts_ja"][2]["claim"] == JAPANESE
    assert [f["name"] for f in one["fields_ja"]] == [f["name"] for f in one["fields"]]


def test_the_report_of_a_run_carries_both(real, tmp_path):
    assert real("run", "basics.mlp", "--variant", "smoke", "--threads", 1, "--out", "a").code == 0
    html = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert f'<span lang="en">{ENGLISH}</span><span lang="ja">{JAPANESE}</span>' in html
    assert '<span lang="en">learning rate</span><span lang="ja">学習率</span>' in html


def test_a_side_file_that_cannot_be_read_is_one_line_before_anything_runs(shell, tmp_path, monkeypatch):
    (tmp_path / "basics").mkdir()
    source = (index.ROOT / "basics" / "line.py").read_text(encoding="utf-8")
    (tmp_path / "basics" / "line.py").write_text(source, encoding="utf-8")
    (tmp_path / "basics" / "line.ja.toml").write_text("[facts]\nslope = 3\n", encoding="utf-8")
    monkeypatch.setattr(index, "ROOT", tmp_path)
    said = shell("run", "basics.line", "--threads", 1, "--out", "a")
    assert said.code == 2 and "line.ja.toml: [facts] holds more than names and texts" in said.err
    assert said.err.count("\n") == 1 and not (tmp_path / "a").exists()

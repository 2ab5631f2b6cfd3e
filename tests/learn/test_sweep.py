"""A sweep measures each point once, in order, and forgets nothing when it is resumed."""

import numpy as np

from shinso.learn.sweep import Columns, Sweep


def squares() -> tuple[Sweep, list[float]]:
    asked: list[float] = []

    def measure(point: float) -> dict[str, float]:
        asked.append(point)
        return {"point": point, "square": point**2}

    def draw(columns: Columns) -> dict[str, np.ndarray]:
        return {"squares": np.outer(columns["square"], [1, 1, 1])[None].astype(np.uint8)}

    return Sweep((1.0, 2.0, 3.0), measure, draw), asked


def test_points_are_measured_once_in_their_order():
    program, asked = squares()
    rows = [program.step(i) for i in range(program.total)]
    assert asked == [1.0, 2.0, 3.0]
    assert [row["square"] for row in rows] == [1.0, 4.0, 9.0]


def test_a_resumed_sweep_has_the_rows_from_before():
    first, _ = squares()
    first.step(0)
    second, asked = squares()
    second.restore(first.state())
    second.step(1)
    assert asked == [2.0]
    assert second.columns()["square"].tolist() == [1.0, 4.0]


def test_a_record_handed_out_is_no_part_of_the_state():
    program, _ = squares()
    dict(program.step(0))["square"] = 77.0
    assert program.state()["rows"] == [{"point": 1.0, "square": 1.0}]


def test_before_the_first_point_there_is_nothing_to_draw():
    program, _ = squares()
    assert program.pictures() == {}
    program.step(0)
    assert program.pictures()["squares"].shape == (1, 1, 3)

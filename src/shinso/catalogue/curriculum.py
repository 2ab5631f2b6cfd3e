"""`docs/curriculum.md`: every topic that works, and where; generated from the cards.

`python -m shinso.catalogue.curriculum` writes it. Only what a fact or a test runs stands there.
"""

from pathlib import Path

from shinso.catalogue import index

REPOSITORY = index.ROOT.parent.parent
PAGE = REPOSITORY / "docs" / "curriculum.md"

# Topics that are no card of their own (a tool, an exercise, a page), each with the test that runs it.
ELSEWHERE: dict[str, str] = {
    "learn.supervised-data": "tests/data/test_own_pictures.py::test_a_folder_becomes_tensors_and_a_bad_file_is_named",
    "data.loader-shuffle":
        "tests/data/test_own_pictures.py::test_training_is_shuffled_by_the_seed_and_testing_keeps_its_order",
    "data.to-tensor-normalise":
        "tests/data/test_batches.py::test_to_float_is_totensor_and_normalise_and_has_an_inverse",
    "data.random-minibatch":
        "tests/data/test_drawn.py::test_frequencies_are_right_and_the_same_seed_gives_the_same_stream",
    "engine.device-switch": "tests/engine/test_device_switch.py::test_the_same_program_runs_without_an_accelerator",
    "learn.save-and-resume": "tests/learn/test_supervised.py::test_a_run_resumed_at_any_step_is_bit_identical",
    "basics.caltech101-next": "tests/data/test_folder.py::test_classes_sizes_and_parts",
    "basics.exercise-0-python": "tests/notebooks/test_notebooks.py::test_gradient_descent_by_prediction",
    "basics.exercise-1-1": "tests/notebooks/test_notebooks.py::test_gradient_descent_by_prediction",
    "basics.exercise-3-mnist-mlp": "tests/notebooks/test_notebooks.py::test_it_holds_at_full_size",
    "basics.exercise-keras-digit": "tests/notebooks/test_notebooks.py::test_a_digit_of_ones_own",
    "basics.exercise-perceptron-plot": "tests/notebooks/test_notebooks.py::test_the_line_of_a_perceptron",
    "basics.mnist-structure": "tests/data/test_idx.py::test_mnist_is_the_published_data_set",
    "basics.report": "tests/report/test_page.py::test_the_page_needs_nothing_from_outside",
    "core.colab": "tests/notebooks/test_notebooks.py::test_every_notebook_runs_in_a_fresh_kernel",
    "sparse.notebook-autoencoder": "tests/notebooks/test_notebooks.py::test_a_channel_autoencoder",
    "sparse.notebook-fft-ista": "tests/notebooks/test_notebooks.py::test_complex_ista_with_the_fft",
    "sparse.notebook-gdbf": "tests/notebooks/test_notebooks.py::test_the_noisy_bit_flipping_decoder",
    "sparse.notebook-ista": "tests/notebooks/test_notebooks.py::test_learned_ista",
    "sparse.notebook-mimo": "tests/notebooks/test_notebooks.py::test_neural_mimo_detection",
    "sparse.notebook-power-control": "tests/notebooks/test_notebooks.py::test_power_control_learned",
    "studio.tensorboard": "tests/report/test_events.py::test_the_reader_sees_the_same_scalars",
}


def page(found: dict[str, index.System], elsewhere: dict[str, str]) -> str:
    """The document: which system, part or test makes a topic work, then what each of them checks."""
    claimed = index.topics(found.values())
    rows = {topic: _row(topic, system) for topic, system in claimed.items()}
    rows |= {topic: f"| {topic} | | [test](../{target.partition('::')[0]}) |" for topic, target in elsewhere.items()}
    subjects: dict[str, list[str]] = {}
    for topic in sorted(rows):
        subjects.setdefault(topic.partition(".")[0], []).append(rows[topic])
    lines = [
        "# Curriculum", "",
        f"{len(rows)} topics work here. This page is generated from the cards by "
        "`python -m shinso.catalogue.curriculum`; a topic stands here when a fact or a test runs it.", "",
    ]  # fmt: skip
    for subject, table in subjects.items():
        lines += [f"## {subject}", "", "| topic | where | test |", "|---|---|---|", *table, ""]
    lines += ["## What they check", ""]
    for system in found.values():
        if system.facts:
            lines += [f"### {system.path}: {system.card['name']} / {system.card['name_ja']}", ""]
            lines += [f"- {fact.claim} ({fact.source})" for fact in system.facts]
            lines.append("")
    return "\n".join(lines)


def test_file(system: index.System) -> Path:
    """Where the system's test stands, relative to the repository."""
    *folders, name = system.path.split(".")
    return Path("tests", *folders, f"test_{name}.py")


def _row(topic: str, system: index.System) -> str:
    source = f"../src/shinso/{system.path.replace('.', '/')}.py"
    return f"| {topic} | [{system.path}]({source}) | [test](../{test_file(system).as_posix()}) |"


def main() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(index.cards(), ELSEWHERE), encoding="utf-8")


if __name__ == "__main__":
    main()

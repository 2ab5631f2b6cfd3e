"""What a trained LeNet-5 reads of digits that nobody prepared: the figures that README quotes."""

from dataclasses import replace

import numpy as np
import pytest
from writing import drawn_with_a_mouse, photograph, printed

from shinso.data.examples import open_data
from shinso.engine.loop import run
from shinso.vision import lenet


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    """Files and true digits by kind; photographs need MNIST's test part."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("writing")
    kinds = {"printed": [*printed(rng)], "drawn": [*drawn_with_a_mouse(300, rng)]}
    found = {}
    for kind, made in kinds.items():
        found[kind] = [(folder / f"{kind}{i}.img", digit) for i, (digit, _) in enumerate(made)]
        for (path, _), (_, raw) in zip(found[kind], made, strict=True):
            path.write_bytes(raw)
    return found


def share_read(program, pages):
    answers = program.predict([path for path, _ in pages])
    return sum(answer == str(digit) for (answer, _), (_, digit) in zip(answers, pages, strict=True)) / len(pages)


def trained(data):
    program = lenet.build(replace(lenet.VARIANTS["default"], data=data))
    for _ in run(program):
        pass
    return program


@pytest.mark.slow
def test_a_network_trained_on_mnist_reads_print_strokes_and_photographs(real_data, sheets, tmp_path):
    if not (real_data / "mnist").is_dir():
        pytest.skip("MNIST is not among the data sets on this machine")
    test, rng = open_data("mnist").test, np.random.default_rng(1)
    photographs = []
    for i in range(400):
        image, digit = test[7 * i]
        (tmp_path / f"{i}.img").write_bytes(photograph(image[0].numpy(), rng))
        photographs.append((tmp_path / f"{i}.img", int(digit)))
    program = trained("mnist")
    shares = {kind: share_read(program, pages) for kind, pages in {**sheets, "photographs": photographs}.items()}
    print({kind: f"{share:.1%}" for kind, share in shares.items()})
    assert min(shares.values()) >= 0.95, shares


@pytest.mark.slow
def test_a_network_trained_on_the_embedded_digits_reads_strokes(sheets):
    shares = {kind: share_read(trained("digits"), pages) for kind, pages in sheets.items()}
    print({kind: f"{share:.1%}" for kind, share in shares.items()})
    assert shares["drawn"] >= 0.95 and shares["printed"] >= 0.8, shares

"""Makes digits.bin from scikit-learn's copy: `python src/shinso/data/_make_digits.py`.

The file is one zlib stream: 1,797 labels, then 1,797 images of 8x8 bytes with values 0..16.
"""

import zlib
from pathlib import Path


def payload() -> bytes:
    """The uncompressed content of digits.bin."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return labels.astype("uint8").tobytes() + images.astype("uint8").tobytes()


if __name__ == "__main__":
    Path(__file__).with_name("digits.bin").write_bytes(zlib.compress(payload(), 9))

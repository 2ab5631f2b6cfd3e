"""Fashion-MNIST: 60,000 and 10,000 grey pictures of clothes in ten classes, in MNIST's form and files.

Found under the data folder as `fashion-mnist/` or `fashion-mnist/raw/`, plain or .gz, or fetched once. The last 5,000
of the published training part are for validation. Xiao, Rasul and Vollgraf 2017 (arXiv:1708.07747).
"""

from shinso.core.errors import UserError
from shinso.data.examples import Dataset
from shinso.data.idx import Source, load_family

SOURCE = Source(
    name="fashion-mnist",
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    url="https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    archives=("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
              "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
              "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
              "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"))


def load(argument: str) -> Dataset:
    """The data set; it takes no argument."""
    if argument:
        raise UserError(f"data 'fashion-mnist:{argument}'", "fashion-mnist takes no argument", "write fashion-mnist")
    return load_family(SOURCE)

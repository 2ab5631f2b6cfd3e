"""MNIST: 60,000 and 10,000 handwritten digits, size-normalised into 20x20 and centred by mass in 28x28.

Four IDX files, found under the data folder as `mnist/` or `mnist/raw/`, plain or .gz, or fetched once. The last 5,000
of the published training part are for validation. LeCun, Bottou, Bengio and Haffner 1998.
"""

from shinso.core.errors import UserError
from shinso.data.examples import Dataset
from shinso.data.idx import Source, load_family

SOURCE = Source(
    name="mnist", classes=tuple("0123456789"),
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    archives=("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
              "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
              "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
              "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    contents=frozenset({"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}))


def load(argument: str) -> Dataset:
    """The data set; it takes no argument."""
    if argument:
        raise UserError(f"data 'mnist:{argument}'", "mnist takes no argument", "write mnist")
    return load_family(SOURCE)

"""The command: runs workloads, prints their tables, writes a record of each."""

import argparse
import importlib
import shutil
import time
from pathlib import Path

from benchmarks.data import arrays, folder
from benchmarks.publish import publish
from benchmarks.race import race, table

NAMES = ("c1_startup", "c2_loop", "c3_neighbour", "c4_time_to_97", "c5_steps_to_loss", "c6_ten_epochs", "w1_mlp",
         "w2_cnn", "w3_lenet", "w4_resnet", "w8_optimisers", "w9_autodiff")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds, 5 or more for a record")
    parser.add_argument("--seconds", type=float, default=0.6, help="of work per contestant and round")
    parser.add_argument("--out", type=Path, help="folder for records, for example records")
    chosen = parser.parse_args()
    names = [name for name in NAMES if not chosen.names or any(name.startswith(typed) for typed in chosen.names)]
    fails = 0
    for name in names:
        begin, module = time.perf_counter(), importlib.import_module(f"benchmarks.{name}")
        lines = [module.__doc__.strip(), ""]
        if hasattr(module, "report"):
            lines += module.report(chosen.rounds, chosen.seconds)
        else:
            for title, entries in module.races().items():
                outcomes = race(entries, arrays(getattr(module, "DATA", "mnist")), rounds=chosen.rounds,
                                seconds=chosen.seconds, steps=module.STEPS)
                lines += [f"{title}:", "", *table(outcomes, module.BATCH), ""]
        lines.append(f"\n{chosen.rounds} rounds of {chosen.seconds} s; {time.perf_counter() - begin:.0f} s in all.")
        print("\n".join(lines), flush=True)
        fails += any("FAILS" in line for line in lines)
        if chosen.out:
            print(publish(name, lines, chosen.out))
    if folder.cache_info().currsize:
        shutil.rmtree(folder())
    return 1 if fails else 0


if __name__ == "__main__":
    raise SystemExit(main())

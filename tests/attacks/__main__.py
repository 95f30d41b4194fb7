"""`python -m tests.attacks receiver --bodies 1000000`, `python -m tests.attacks parsers --seconds 600`."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.attacks import fuzz, parsers


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("what", choices=("receiver", "parsers"))
    parser.add_argument("--bodies", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    if words.what == "receiver":
        return 0 if fuzz.by_hand(words.bodies, words.seed) else 1
    if not parsers.has_atheris():
        print(f"{parsers.by_mutation(words.seconds, words.seed):,} bodies, no error but our own (atheris is not there)")
        return 0
    with TemporaryDirectory() as folder:
        for number, body in enumerate(parsers.seeds()):
            (Path(folder) / str(number)).write_bytes(body)
        parsers.by_atheris(words.seconds, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

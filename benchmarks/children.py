"""Child processes that do what a line on their standard input asks, and answer with one line of JSON."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Child:
    process: "subprocess.Popen[str]"

    def ask(self, word: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.told()

    def told(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


@contextmanager
def child(module: str, *words: str) -> Iterator[Child]:
    """`python -m module words…`, ended by the end of its standard input."""
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Child(process)
        assert process.stdin is not None
        process.stdin.close()


def answer(**words: Callable[[], Any]) -> None:
    """In the child: answer each line until there is no more."""
    for line in sys.stdin:
        tell(words[line.strip()]())


def tell(value: Any) -> None:
    print(json.dumps(value), flush=True)

"""What people ask for is done in order, in a thread of the widget's own, and never in the kernel's main thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import ParamSpec

P = ParamSpec("P")


class OneThread:
    """Jobs handle their own errors. A job that has begun is finished, even when the kernel ends."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)

    def post(self, job: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do this when everything asked for before is done."""
        self._pool.submit(job, *args, **kwargs)

    def wait(self, seconds: float) -> bool:
        """Wait until everything asked for so far is done; False if that takes longer."""
        return not wait([self._pool.submit(bool)], seconds).not_done

    def stop(self) -> None:
        """Take nothing more; what waits is still done."""
        self._pool.shutdown(wait=False)

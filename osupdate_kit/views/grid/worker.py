"""One thread per grid: what people ask for is done here, in order, and never in the kernel's main thread."""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

Job = Callable[[], None]


class Worker:
    """Runs jobs in order. `flush` runs when wanted, at most every `pause` seconds, however often it is wanted."""

    def __init__(self, name: str, *, flush: Job, pause: float) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._flush, self._pause = flush, pause
        self._flushed_at = 0.0
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._starting = threading.Lock()

    def post(self, job: Job) -> None:
        """Do this when everything asked for before is done. A job handles its own errors."""
        self._jobs.put(job)
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()

    def want_flush(self) -> None:
        if not self._wanted.is_set():
            self._wanted.set()
            self.post(lambda: None)  # a sleeping thread looks up

    def wait(self, timeout: float) -> bool:
        """Wait until all that was asked for is done, the flush included; False if that took more than `timeout` s."""
        done = threading.Event()

        def finish() -> None:
            self._flush_if_wanted()
            done.set()

        self.post(finish)
        return done.wait(timeout)

    def stop(self) -> None:
        """End after the jobs that wait."""
        self._jobs.put(None)

    def _run(self) -> None:
        while True:
            due = self._flushed_at + self._pause - time.monotonic() if self._wanted.is_set() else None
            if due is not None and due <= 0:
                self._flush_if_wanted()
                continue
            try:
                job = self._jobs.get(timeout=due)
            except Empty:
                continue
            if job is None:
                return
            job()

    def _flush_if_wanted(self) -> None:
        if self._wanted.is_set():
            self._wanted.clear()
            self._flushed_at = time.monotonic()
            self._flush()

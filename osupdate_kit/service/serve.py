"""`serve`: one service works; every other one on the same store stands by and takes over, however the first ends."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from osupdate_kit.errors import OSUpdateKitError
from osupdate_kit.stores.ledger import Ledger, ServiceLock

log = logging.getLogger(__name__)

STAND_BY_SECONDS = 0.5  # how often a stand-by asks whether it may work
ALIVE_SECONDS = 2.0  # how often the working one asks whether it still may

Work = Callable[[], AbstractContextManager[object]]


def serve(ledger: Ledger, work: Work, stop: threading.Event, *, tell: Callable[[str], None] = log.info) -> None:
    """Until `stop`: stand by, work while the right to is ours, stand by again if it is lost.

    work: enters with receiver and turns running, and leaves when both have ended. tell: one sentence at each change.
    """
    standing_by = False
    while not stop.is_set():
        lock = _taken(ledger)
        if lock is None:
            if not standing_by:
                tell("Another service works on this store: standing by.")
            standing_by = True
            stop.wait(STAND_BY_SECONDS)
            continue
        standing_by = False
        try:
            with work():
                tell("Working.")
                while not stop.wait(ALIVE_SECONDS):
                    if not lock.alive():
                        tell("The right to work on this store is lost: standing by.")
                        break
        finally:
            lock.close()


def _taken(ledger: Ledger) -> ServiceLock | None:
    try:
        return ledger.try_service_lock()
    except OSUpdateKitError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return None

"""NanoHUB 0.2 as a CommandServer: the NanoMDM 0.9 within it, at NanoHUB's own addresses.

Its webhook is NanoMDM's, but never signed: who may post to the receiver is decided by where that listens (`settings`).
"""

from osupdate_kit.servers.queue_api import NANOHUB, QueueServer


class NanoHUB(QueueServer):
    """One NanoHUB."""

    dialect = NANOHUB

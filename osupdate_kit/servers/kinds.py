"""The kinds of MDM servers that the kit can talk to, by the name that the settings give them."""

from collections.abc import Mapping

from osupdate_kit.servers.nanohub import NanoHUB
from osupdate_kit.servers.nanomdm import NanoMDM
from osupdate_kit.servers.queue_api import QueueServer

KINDS: Mapping[str, type[QueueServer]] = {made.dialect.kind: made for made in (NanoMDM, NanoHUB)}

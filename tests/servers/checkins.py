"""A device's check-ins at a real server, said by hand."""

import plistlib
from typing import Any

from osupdate_kit.lab.real import HTTPClient, http_exchange
from tests.real import RealServer

TOPIC = "com.apple.mgmt.External.e3b8ceac-1f18-2c8e-8a63-dd17d99435d9"


def say(server: RealServer, udid: str, kind: str, fields: dict[str, Any]) -> bytes:
    """One "checkin" or "connect" of the device; the server's answer."""
    exchange = http_exchange(HTTPClient(server.url), server.identities, udid)
    return exchange(kind, plistlib.dumps({"UDID": udid} | fields))


def enrol(server: RealServer, udid: str, serial: str, *, leaves: bool = False) -> None:
    """Authenticate and TokenUpdate, with a user channel beside; `leaves`: and then CheckOut."""
    described = {
        "SerialNumber": serial, "DeviceName": "Ann's", "ProductName": "Mac16,1", "OSVersion": "15.6.1",
        "BuildVersion": "24G90", "Model": "MW2U3", "ModelName": "MacBook Pro",
    }  # fmt: skip
    token = {"MessageType": "TokenUpdate", "Topic": TOPIC, "Token": b"token", "PushMagic": "magic"}
    user = {"UserID": f"U-{serial}", "UserShortName": "ann", "UserLongName": "Ann"}
    say(server, udid, "checkin", {"MessageType": "Authenticate", "Topic": TOPIC} | described)
    say(server, udid, "checkin", token | {"UnlockToken": b"planted-unlock-token"})
    say(server, udid, "checkin", token | user)
    if leaves:
        say(server, udid, "checkin", {"MessageType": "CheckOut", "Topic": TOPIC})

"""Small feeds in the formats of SOFA and of Apple's lookup service, and a server that hands them out."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def sofa_release(version: str, released: str, *, expires: str = "", **more: Any) -> dict[str, Any]:
    entry = {"ProductName": "iOS and iPadOS", "ProductVersion": version, "ReleaseType": "OS", "ReleaseDate": released}
    return entry | ({"ExpirationDate": expires} if expires else {}) | more


NEWEST = sofa_release(
    "26.6.1", "2026-08-17T00:00:00Z", expires="2026-11-20", Build="23G83", AllBuilds=["23G83", "23G6083"],
    SupportedDevices=["iPad13,18", "iPhone14,5"], CVEs={"CVE-2026-1": {}, "CVE-2026-2": {}},
    ActivelyExploitedCVEs=["CVE-2026-2"], SecurityInfo="https://support.apple.com/en-us/148282",
)  # fmt: skip
IOS = {
    "Version": "2.0",
    "LastCheck": "2026-08-22T18:45:03Z",
    "OSVersions": [
        {
            "OSVersion": "26",
            "Latest": NEWEST,
            "SecurityReleases": [NEWEST, sofa_release("26.6", "2026-07-27T00:00:00Z", expires="2026-11-20")],
        },
        {
            "OSVersion": "18",
            "Latest": {"ProductVersion": "18.7.8", "SupportedDevices": ["iPad7,11", "iPad13,18"]},
            "SecurityReleases": [
                sofa_release(
                    "18.7.10", "2026-08-17T00:00:00Z", expires="2026-11-20", SupportedDevices=["iPad7,11"],
                    DeviceScope="device-specific",
                ),
                sofa_release("18.7.8", "2026-04-22T00:00:00Z", expires="2026-11-20"),
                sofa_release("18.7.7", "2026-03-24T00:00:00Z"),
            ],
        },
    ],
    "Devices": {"iPad13,18": {"MarketingName": "iPad (10th generation)"}},
    "BackgroundSecurityImprovements": {
        "26": [{"Version": "26.6.1", "VersionExtra": "(a)", "Build": "23G830001a", "PostingDate": "2026-08-20"}]
    },
}  # fmt: skip
_MAC = sofa_release(
    "15.7.9", "2026-08-06", expires="2026-11-20", ProductName="macOS", Build="24G830", SupportedDevices=["J413AP"]
)
MACOS = {
    "LastCheck": "2026-08-22T18:45:03Z",
    "OSVersions": [
        {
            "OSVersion": "Sequoia 15",
            "Latest": _MAC,
            "SecurityReleases": [_MAC],
            "SupportedModels": [{"Model": "iMac", "Identifiers": {"iMac19,2": "iMac (2019)"}}],
        }
    ],
    "Devices": {"J413AP": {"DeviceID": "Mac14,2", "MarketingName": "MacBook Air (M2)"}},
}
LOOKUP = {
    "PublicAssetSets": {
        "iOS": [
            {"ProductVersion": "26.6", "Build": "23L773", "PostingDate": "2026-07-27", "ExpirationDate": "2026-11-20",
             "SupportedDevices": ["AppleTV11,1", "Watch4,1"]},
        ],
        "macOS": [
            {"ProductVersion": "15.7.9", "Build": "24G830", "PostingDate": "2026-08-17",
             "SupportedDevices": ["J413AP"]},
            {"ProductVersion": "15.7.9", "Build": "24G831", "PostingDate": "2026-08-20",
             "SupportedDevices": ["J999AP"]},
        ],
    },
    "AssetSets": {"iOS": [], "visionOS": []},
}  # fmt: skip


def body(words: object) -> bytes:
    return json.dumps(words).encode()


class Shelf:
    """What lies at each path, and who asked. A changed body has another ETag."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []  # path, If-None-Match
        self.url = ""

    def etag(self, path: str) -> str:
        return f'"{hash(self.bodies.get(path, b"")):x}"'


@contextmanager
def shelf() -> Iterator[Shelf]:
    made = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("If-None-Match", "")
            made.asked.append((self.path, known))
            status = made.statuses.get(self.path, 200 if self.path in made.bodies else 404)
            same = status == 200 and known == made.etag(self.path)
            self.send_response(304 if same else status)
            self.send_header("ETag", made.etag(self.path))
            answer = b"" if same else made.bodies.get(self.path, b"")
            self.send_header("Content-Length", str(len(answer)))
            if status == 302:
                self.send_header("Location", "http://sofa.invalid/elsewhere")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

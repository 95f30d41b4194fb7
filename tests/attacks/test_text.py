"""Names that devices gave themselves, on their whole way: they stay text in every place where people see them (I12)."""

import csv
import hmac
import json
import plistlib
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from hashlib import sha256
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import openpyxl
import pytest

from osupdate_kit.cli import main
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.specs import PROFILES, DeviceSpec
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list

BAIT = "PWNED"
NAMES = (
    f"<img src=x onerror={BAIT}>", f"</script><script>{BAIT}()</script>", f'"><svg onload={BAIT}>',
    f"=cmd|'/c {BAIT}'!A1", f"+{BAIT}", f"-2+3+{BAIT}", f"@SUM({BAIT})", f"\t={BAIT}", f"\r\n={BAIT}",
    f"\x1b]0;{BAIT}\x07", f"\x1b[2J{BAIT}\x1b[8m", f"\x9b31m{BAIT}", f"[red]{BAIT}[/red]",
    f"[link=http://x.invalid]{BAIT}[/link]", f"%{{x}}{{{{{BAIT}}}}}", f"${{{BAIT}}}", f"../../{BAIT}",
    f"C:\\{BAIT}.exe", f"\u202e{BAIT}\u202c", f"<b>%{{hovertext}}</b>{BAIT}", f"{BAIT}\n# {BAIT}",
)  # fmt: skip
_NOT_IN_XML = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    rehearsal: Rehearsal
    rollout: int

    def run(self, *words: str) -> str:
        """What the command prints, on either stream."""
        out, err = StringIO(), StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit):
            main(words)
        return out.getvalue() + err.getvalue()


def _named(spec: DeviceSpec, number: int) -> DeviceSpec:
    name, habits = NAMES[number], PROFILES["install_fails" if number % 3 else "always_on"]
    return replace(spec, name="" if _NOT_IN_XML.search(name) else name, supervised=True, behaviour=habits)


def _tell(rehearsal: Rehearsal, spec: DeviceSpec, name: str) -> None:
    """What no XML can hold comes in the binary form, in a device's own Authenticate."""
    fields = {"UDID": spec.udid, "SerialNumber": spec.serial, "DeviceName": name, "MessageType": "Authenticate"}
    part = {
        "udid": spec.udid,
        "ids": {"id": spec.udid, "type": "Device"},
        "raw_payload": b64encode(plistlib.dumps(fields, fmt=plistlib.FMT_BINARY)).decode(),
    }
    event = {"topic": "mdm.Authenticate", "created_at": "2026-11-26T06:55:07Z", "checkin_event": part}
    body = json.dumps(event).encode()
    webhook = rehearsal.world.server.webhook
    assert webhook is not None
    signature = b64encode(hmac.digest(b"rehearsal", body, sha256)).decode()
    assert webhook(body, {"X-Hmac-Signature": signature}) == 200


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """As many iPads as there are names, one of them each; two thirds fail."""
    folder = tmp_path_factory.mktemp("hostile")
    parts = makeup("school")
    pads = [spec for spec in make_fleet(parts, 200, 3) if spec.platform is Platform.IPADOS][: len(NAMES)]
    specs = tuple(_named(spec, number) for number, spec in enumerate(pads))
    rehearsal = Rehearsal.of(parts, specs, f"sqlite:///{folder / 'store.db'}", seed=1, who="ann")
    kit = rehearsal.kit
    kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
    rehearsal.run(1)
    rollout = kit.start(kit.plan(kit.select(), target="26.6.1", allow_major=True))
    rehearsal.run(2)
    for number, spec in enumerate(specs):
        if _NOT_IN_XML.search(NAMES[number]):
            _tell(rehearsal, spec, NAMES[number])
    rehearsal.run(0.01)
    key = folder / "lab.key"
    key.touch(mode=0o600)
    key.write_text("key")
    (folder / "osupdate-kit.toml").write_text(
        f'store_url = "sqlite:///{folder / "store.db"}"\n'
        f'[servers.{SERVER}]\nurl = "http://127.0.0.1:9"\nkey_file = "lab.key"\n'
    )
    yield Place(folder, rehearsal, rollout.id)
    kit.close()


@pytest.fixture(scope="module")
def written(place: Place) -> list[Path]:
    return place.rehearsal.kit.rollout(place.rollout).report(place.folder / "report", ["html", "xlsx", "csv"])


def test_the_names_have_arrived(place: Place) -> None:
    """Else the others prove nothing."""
    names = {device.name for device in place.rehearsal.kit.inventory()}
    assert sum(BAIT in name for name in names) == len(NAMES)
    assert any("\x1b" in name for name in names), names


class _Marks(HTMLParser):
    """What a browser would take for markup."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag] * (tag in ("img", "svg", "b", "iframe") and any(BAIT in str(a) for a in attrs))
        self.found += [f"{tag} {name}" for name, value in attrs if name.startswith("on")]


def marks(html: str) -> list[str]:
    parser = _Marks()
    parser.feed(html)
    return parser.found


def test_no_name_is_markup_in_a_report(written: list[Path]) -> None:
    (html,) = (path.read_text() for path in written if path.suffix == ".html")
    assert BAIT in html
    assert marks(html) == []
    for script in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL):
        assert f"{BAIT}()" not in script.split("</script>")[0] or "\\u003c" in script


def test_no_name_is_a_formula(written: list[Path]) -> None:
    cells = 0
    for path in written:
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                for row in csv.reader(file):
                    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row), row
                    cells += sum(BAIT in cell for cell in row)
        if path.suffix == ".xlsx":
            for sheet in openpyxl.load_workbook(path).worksheets:
                for line in sheet.iter_rows():
                    assert not any(cell.data_type == "f" or cell.hyperlink for cell in line)


def test_no_file_is_named_by_a_device(place: Place, written: list[Path]) -> None:
    assert {path.parent for path in written} == {place.folder / "report"}
    assert all(re.fullmatch(r"[a-z0-9.-]+", path.name) for path in written), written
    assert not any(BAIT in str(path) for path in place.folder.rglob("*"))


@pytest.mark.parametrize(
    "words",
    [
        ("devices", "list"), ("rollout", "status", "1"), ("rollout", "status", "1", "--state", "failed"), ("today",),
        ("alerts", "list"), ("hold", "list"),
    ],
)  # fmt: skip
def test_no_name_drives_the_terminal(place: Place, words: tuple[str, ...]) -> None:
    """ESC and its eight-bit kin would colour, hide, retitle, or worse."""
    told = place.run(*words)
    assert told
    assert not _UNSEEN.search(told), repr(told[:300])


def test_no_name_drives_the_terminal_in_a_devices_story(place: Place) -> None:
    for device in place.rehearsal.kit.inventory():
        told = place.run("why", device.serial)
        assert not _UNSEEN.search(told), (device.name, told[:300])


def test_json_for_programs_is_json(place: Place) -> None:
    assert json.loads(place.run("rollout", "status", str(place.rollout), "--json"))


def test_no_name_is_markup_in_a_notebook(place: Place) -> None:
    kit = place.rehearsal.kit
    rollout = kit.rollout(place.rollout)
    for shown in (kit, rollout, rollout.status(), kit.today("100d"), kit.table(kit.devices().head(50))):
        html = getattr(shown, "_repr_html_", lambda: "")()
        assert marks(html or "") == [], type(shown)
    for device in kit.inventory():
        assert marks(kit.why(device.serial)._repr_html_()) == []


def test_no_name_is_markup_or_a_template_in_a_hover(place: Place) -> None:
    """Plotly takes some markup, and %{…} in a hover template."""
    for chart in place.rehearsal.kit.rollout(place.rollout).charts():
        for trace in json.loads(chart.figure().to_json())["data"]:
            template = json.dumps(trace.get("hovertemplate", ""))
            assert BAIT not in template
            for key in ("text", "hovertext", "customdata"):
                assert "<img" not in json.dumps(trace.get(key, ""))
                assert "<svg" not in json.dumps(trace.get(key, ""))

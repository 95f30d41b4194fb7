"""Secrets planted wherever one may be, then looked for wherever one could have got to (I11)."""

import hmac
import json
import logging
import plistlib
import traceback
import zipfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from sqlalchemy import MetaData, create_engine, select

from osupdate_kit.cli import main
from osupdate_kit.errors import OSUpdateKitError
from osupdate_kit.kit import Kit
from osupdate_kit.lab.clock import DAY
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.server import basic_authorization
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.service.receiver import webhook_sources
from osupdate_kit.settings import Settings

API_KEY, WEBHOOK_KEY = "planted-api-key-c41f", "planted-webhook-key-77aa"
STORE_PASSWORD = "planted-store-password-9d"
FOREIGN = "planted-recovery-key-5e1f"
OURS = (API_KEY, WEBHOOK_KEY, STORE_PASSWORD)


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    rehearsal: Rehearsal
    secrets: tuple[bytes, ...]
    log: str
    told: int  # bodies with a secret that came to the receiver

    def settings(self) -> Settings:
        return Settings.load(self.folder / "osupdate-kit.toml")

    def found(self, where: str, body: bytes) -> list[str]:
        return [f"{secret.decode()} in {where}" for secret in self.secrets if secret in body]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A rehearsed fleet whose devices tell their secrets, and another party's commands whose answers hold some."""
    folder, log = tmp_path_factory.mktemp("secrets"), StringIO()
    handler = logging.StreamHandler(log)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        parts = makeup("school")
        specs = make_fleet(parts, 24, 5)
        rehearsal = Rehearsal.of(parts, specs, f"sqlite:///{folder / 'store.db'}", seed=1, who="ann")
        kit = rehearsal.kit
        kit.sync(str(write_list(specs, folder / "fleet.csv")), SERVER)
        rehearsal.run(1)
        told = _listen(rehearsal)
        kit.start(kit.plan(kit.select(), target="26.6.1", allow_major=True))
        _foreign_answers(rehearsal)
        rehearsal.world.enrol()  # each tells its tokens once more
        rehearsal.run(2)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    for name, key in (("api.key", API_KEY), ("webhook.key", WEBHOOK_KEY)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(key)
    (folder / "osupdate-kit.toml").write_text(
        f'store_url = "sqlite:///{folder / "store.db"}"\n[servers.{SERVER}]\nurl = "http://127.0.0.1:9"\n'
        'key_file = "api.key"\nwebhook_key_file = "webhook.key"\n'
    )
    devices = [secret for device in rehearsal.world.devices.values() for secret in device.secrets()]
    plain = [*devices, FOREIGN.encode(), *(word.encode() for word in OURS)]
    yield Place(folder, rehearsal, tuple(plain + [b64encode(secret) for secret in plain]), log.getvalue(), len(told))
    kit.close()


def _listen(rehearsal: Rehearsal) -> list[str]:
    """Note the topic of each body that comes to the receiver with a secret in it."""
    told: list[str] = []
    server, receiver = rehearsal.world.server, rehearsal.world.server.webhook
    assert receiver is not None

    def hook(body: bytes, headers: Mapping[str, str]) -> int:
        event = json.loads(body)
        part = event.get("acknowledge_event") or event.get("checkin_event") or {}
        raw = b64decode(part.get("raw_payload", ""))
        if _holds(raw):
            told.append(event["topic"])
        return receiver(body, headers)

    server.webhook = hook
    return told


def _holds(raw: bytes) -> bool:
    values = list(plistlib.loads(raw).values()) if raw else []
    return any(isinstance(value, bytes) for value in values) or FOREIGN.encode() in raw


def _foreign_answers(rehearsal: Rehearsal) -> None:
    """Another party's InstallProfile, SecurityInfo and so on: their answers come by the same webhook."""
    server, hook = rehearsal.world.server, rehearsal.world.server.webhook
    assert hook is not None
    for number, udid in enumerate(list(rehearsal.world.devices)[:6]):
        fields: dict[str, Any] = {
            "UDID": udid, "CommandUUID": f"FOREIGN-{number}", "Status": "Acknowledged",
            "SecurityInfo": {"FDE_PersonalRecoveryKeyCMS": FOREIGN.encode(), "PasscodePresent": True},
            "QueryResponses": {"UnlockToken": FOREIGN.encode(), "DeviceName": FOREIGN}, "ProfileList": [{"x": FOREIGN}],
            "UnlockToken": FOREIGN.encode(), "RotateResult": {"EncryptedNewRecoveryKey": FOREIGN.encode()},
        }  # fmt: skip
        part = {
            "udid": udid, "ids": {"id": udid, "type": "Device"}, "status": "Acknowledged",
            "command_uuid": f"FOREIGN-{number}", "raw_payload": b64encode(plistlib.dumps(fields)).decode(),
            "url_params": {"token": FOREIGN},
        }  # fmt: skip
        event = {"topic": "mdm.Connect", "created_at": "2026-11-24T13:00:00Z", "acknowledge_event": part}
        body = json.dumps(event).encode()
        signed = {"X-Hmac-Signature": _signature(body)}
        assert hook(body, signed) == 200
    headers = {"Authorization": basic_authorization("wrong-key")}
    assert server.handle("PUT", "/v1/push/x", {}, headers, b"").status == 401


def _signature(body: bytes) -> str:
    return b64encode(hmac.digest(b"rehearsal", body, "sha256")).decode()


def test_the_secrets_were_told(place: Place) -> None:
    """Else the search proves nothing."""
    assert len(place.secrets) > 100
    assert place.told >= 24


def test_none_is_in_the_store(place: Place) -> None:
    """In any cell of any table, packed or not; nor in the file's free pages, nor in its log."""
    engine, tables, cells = create_engine(f"sqlite:///{place.folder / 'store.db'}"), MetaData(), 0
    with engine.connect() as connection:
        tables.reflect(connection)
        for table in tables.tables.values():
            for row in connection.execute(select(table)):
                for cell in row:
                    assert place.found(table.name, _plain(cell)) == []
                    cells += 1
    engine.dispose()
    assert cells > 10_000
    for path in place.folder.glob("store.db*"):
        assert place.found(path.name, path.read_bytes()) == []


def _plain(cell: object) -> bytes:
    if not isinstance(cell, bytes):
        return str(cell).encode()
    with suppress(zlib.error):
        return zlib.decompress(cell[1:])  # what the store packs begins with a mark
    return cell


def test_none_is_in_the_log_though_everything_is_logged(place: Place) -> None:
    assert place.log
    assert place.found("log", place.log.encode()) == []


def test_none_is_in_a_report(place: Place) -> None:
    written = place.rehearsal.kit.rollout().report(place.folder / "report", ["html", "xlsx", "csv"])
    for path in written:
        assert place.found(path.name, path.read_bytes()) == []
        if path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                for name in book.namelist():
                    assert place.found(name, book.read(name)) == []


def test_none_is_in_what_any_value_shows(place: Place) -> None:
    settings = place.settings()
    kit = Kit.open(settings)
    sources = webhook_sources(settings)
    server = kit.servers[SERVER]
    values: list[object] = [settings, settings.servers, kit, sources, server, kit.rollout(), kit.today("9d")]
    values += [settings.model_dump(), settings.model_dump_json(), kit.turns(), kit.ledger]
    for value in values:
        for shown in (repr(value), str(value), getattr(value, "_repr_html_", lambda: "")() or ""):
            assert place.found(type(value).__name__, shown.encode()) == []
    kit.close()


@pytest.mark.parametrize(
    "words",
    [
        ("servers", "check"), ("doctor",), ("devices", "list", "--json"), ("rollout", "status", "1", "--json"),
        ("rollout", "status", "99"), ("today", "--json"), ("store", "verify"), ("plan", "show", "nothing.yaml"),
        ("serve", "--port", "99999"),
    ],
)  # fmt: skip
def test_none_is_in_what_the_command_prints(place: Place, words: tuple[str, ...]) -> None:
    out, err = StringIO(), StringIO()
    with chdir(place.folder), redirect_stdout(out), redirect_stderr(err), suppress(SystemExit):
        main(words)
    assert out.getvalue() + err.getvalue()
    assert place.found(" ".join(words), (out.getvalue() + err.getvalue()).encode()) == []


def test_none_is_in_an_error_of_a_store_that_cannot_be_reached(place: Place) -> None:
    url = f"postgresql://kit:{STORE_PASSWORD}@127.0.0.1:9/osupdate"
    (place.folder / "away.toml").write_text(f'store_url = "{url}"\n')
    settings = Settings.load(place.folder / "away.toml")
    with pytest.raises(OSUpdateKitError) as failed:
        Kit.open(settings)
    shown = "".join(traceback.format_exception(failed.value)) + repr(failed.value) + repr(settings)
    assert place.found("traceback", shown.encode()) == []
    assert failed.value.remedy


def test_none_is_in_an_error_of_a_server_that_cannot_be_reached(place: Place) -> None:
    kit = Kit.open(place.settings())
    (check,) = kit.check_servers()
    answer = kit.servers[SERVER].push(["PAD"])
    for value in (check, answer):
        assert place.found("answer", repr(value).encode()) == []
    kit.close()


def test_none_is_in_an_executed_notebook(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, tracebacks included, are what people mail to one another."""
    lines = [
        "from osupdate_kit.kit import Kit\nfrom osupdate_kit.settings import Settings\n"
        "settings = Settings.load()\nkit = Kit.open(settings)\nsettings",
        "kit", "kit.devices()", "kit.rollout()", "kit.rollout().devices()", "kit.check_servers()", "vars(kit)",
        "kit.servers", "dir(kit.servers)", "kit.rollout().monitor()", "kit.rollout(99)", "1 / 0", "%debug_nothing",
    ]  # fmt: skip
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(line) for line in lines])
    monkeypatch.setenv("OSUPDATE_KIT_CONFIG", str(place.folder / "osupdate-kit.toml"))
    NotebookClient(book, timeout=120, allow_errors=True, kernel_name="python3").execute()
    text = nbformat.writes(book)
    assert "ZeroDivisionError" in text
    assert place.found("notebook", text.encode()) == []


def test_a_key_in_a_readable_file_is_not_even_read(place: Place) -> None:
    (place.folder / "open.key").write_text(API_KEY)
    (place.folder / "open.key").chmod(0o644)
    (place.folder / "open.toml").write_text(
        f'store_url = "sqlite://"\n[servers.{SERVER}]\nurl = "http://127.0.0.1:9"\nkey_file = "open.key"\n'
    )
    with pytest.raises(OSUpdateKitError) as failed:
        Kit.open(Settings.load(place.folder / "open.toml")).servers[SERVER].push(["PAD"])
    assert place.found("error", "".join(traceback.format_exception(failed.value)).encode()) == []


def test_the_store_and_what_is_beside_it_are_their_owners_only(place: Place) -> None:
    for path in place.folder.glob("store.db*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert place.rehearsal.clock.now() > DAY

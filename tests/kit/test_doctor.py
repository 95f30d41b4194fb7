"""The doctor before real servers: with a fault planted it names that hop and its remedy; without, it is content."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import create_engine

from osupdate_kit.kit import Kit
from osupdate_kit.kit.doctor import Diagnosis, Found, Hop, examine
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.http import Call, Loopback
from osupdate_kit.lab.real import HTTPClient
from osupdate_kit.lab.server import Response
from osupdate_kit.settings import Settings
from osupdate_kit.stores import migrate
from tests.line.site import API_KEY, WEBHOOK_KEY, Site, site
from tests.real import free_port

REAL = pytest.mark.real_server
SPEED = 600


@contextmanager
def place(tmp_path: Path, *, kind: Literal["nanomdm", "nanohub"] = "nanomdm") -> Iterator[Site]:
    specs = [spec.behaving(reach_seconds=(300, 900)) for spec in make_fleet(makeup("school"), 3, 5)]
    with site(tmp_path, specs, speed=SPEED, start="2026-11-23T12:00:00Z", kind=kind) as here:
        yield here


def change(here: Site, old: str, new: str) -> None:
    file = here.folder / "osupdate-kit.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def write_key(here: Site, name: str, key: str) -> None:
    (here.folder / name).write_text(key)


def serve(here: Site) -> None:
    here.serve()
    here.wait(lambda: "Webhook of" in here.logs(), seconds=30, what="a service that works")


def device(here: Site) -> str:
    return here.specs[0].udid


def doctor(here: Site, *words: str, ok: bool = False) -> dict[str, Any]:
    """What the command says; every key of the site stays unsaid."""
    told: dict[str, Any] = here.json_of("doctor", *words, "--seconds", "15", exits=0 if ok else 1)
    assert told["ok"] is ok
    assert not [key for key in (API_KEY, WEBHOOK_KEY) if key in str(told)]
    return told


def found(told: dict[str, Any]) -> dict[str, str]:
    return {f"{hop['server']}: {hop['name']}".removeprefix(": "): hop["found"] for hop in told["hops"]}


def broken(told: dict[str, Any]) -> dict[str, str]:
    """The one hop that is broken; those behind it say so."""
    failed = [hop for hop in told["hops"] if hop["found"] == Found.FAILED]
    assert len(failed) == 1, failed
    assert failed[0]["remedy"]
    title = f"{failed[0]['server']}: {failed[0]['name']}".removeprefix(": ")
    assert told["broken"] == title
    behind = [hop for hop in told["hops"] if f"after what is broken: {title}." in hop["seen"]]
    assert all(hop["found"] == Found.NOT_LOOKED_AT for hop in behind)
    return dict(failed[0])


# --- well ---


@REAL
def test_where_all_is_well_every_hop_is(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        serve(here)
        first = doctor(here, ok=True)
        assert found(first)["site: device"] == "not looked at"
        told = doctor(here, "--device", device(here), ok=True)
        assert set(found(told).values()) == {"ok"}, told
        assert list(found(told)) == [
            "settings", "site: keys", "site: address", "site: kind", "site: key", "site: enqueue", "site: clock",
            "disk", "store", "who may post", "service", "receiver", "site: push", "site: webhook", "site: signature",
            "site: device",
        ]  # fmt: skip
        assert "It runs" in told["hops"][-1]["seen"]
        again = doctor(here, ok=True)
        assert found(again)["site: webhook"] == found(again)["site: push"] == "ok", "what came before is remembered"
        shown = here.run("doctor", "--device", device(here))
        assert shown.count("\n") >= 17
        assert "Nothing broken was found." in shown
        kit = Kit.open(Settings.load(tmp_path / "osupdate-kit.toml"))
        html = kit.doctor()._repr_html_()
        kit.close()
        assert html.count("<tr>") == 17
        assert here.services[0].poll() is None
        assert here.logs().count("Working.") == 1, "the service went on undisturbed"


@REAL
def test_where_all_is_well_with_a_nanohub_on_loopback(tmp_path: Path) -> None:
    with place(tmp_path, kind="nanohub") as here:
        serve(here)
        told = doctor(here, "--device", device(here), ok=True)
        assert set(found(told).values()) == {"ok"}, told


def test_its_page_shows_what_servers_say_as_text() -> None:
    hop = Hop(name="push", server="a", found=Found.FAILED, seen="<img src=x>", remedy="none")
    assert "&lt;img" in Diagnosis((hop,))._repr_html_()


# --- ten faults ---


@REAL
def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        serve(here)
        write_key(here, "api.key", "another")
        told = doctor(here, "--device", device(here))
        hop = broken(told)
        assert (hop["name"], hop["server"]) == ("key", "site")
        assert "-api flag" in hop["remedy"]
        assert found(told)["site: address"] == found(told)["site: kind"] == found(told)["service"] == "ok"
        assert {found(told)[f"site: {one}"] for one in ("enqueue", "push", "device")} == {"not looked at"}


@REAL
def test_a_wrong_webhook_url_is_named(tmp_path: Path) -> None:
    """The server calls /webhook/site, and the settings call it school."""
    with place(tmp_path) as here:
        change(here, "[servers.site]", "[servers.school]")
        serve(here)
        hop = broken(doctor(here, "--device", device(here)))
        assert (hop["name"], hop["server"]) == ("webhook", "school")
        assert "/webhook/site" in hop["seen"]
        assert "end in /webhook/school" in hop["remedy"]
        assert broken(doctor(here))["name"] == "webhook", "it is remembered without a device, too"


@REAL
def test_a_differing_hmac_is_named(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        write_key(here, "webhook.key", "another")
        serve(here)
        told = doctor(here, "--device", device(here))
        hop = broken(told)
        assert (hop["name"], hop["server"]) == ("signature", "site")
        assert "a wrong signature" in hop["seen"]
        assert "-webhook-hmac-key" in hop["remedy"]
        assert found(told)["site: webhook"] == "ok", "they do arrive"
        assert broken(doctor(here))["name"] == "signature"


@REAL
def test_a_receiver_behind_a_closed_port_is_named(tmp_path: Path) -> None:
    """The server's calls go where nobody listens; the receiver itself is well."""
    with place(tmp_path) as here:
        port = Settings.load(tmp_path / "osupdate-kit.toml").receiver.port
        change(here, f"port = {port}", f"port = {free_port()}")
        serve(here)
        told = doctor(here, "--device", device(here))
        hop = broken(told)
        assert (hop["name"], hop["server"]) == ("webhook", "site")
        assert "Nothing came from site" in hop["seen"]
        assert "an open port, no firewall" in hop["remedy"]
        assert found(told)["receiver"] == found(told)["site: push"] == "ok"
        assert found(doctor(here, ok=True))["site: webhook"] == "not looked at", "without a device nothing is known"


@REAL
def test_a_port_that_the_receiver_itself_does_not_answer_at_is_named(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        serve(here)
        port = Settings.load(tmp_path / "osupdate-kit.toml").receiver.port
        change(here, f"port = {port}", f"port = {free_port()}")
        told = doctor(here)
        assert broken(told)["name"] == "receiver"
        assert found(told)["site: webhook"] == "not looked at"


class WrongClock:
    """Before a server, with a clock that is an hour behind."""

    def __init__(self, upstream: str) -> None:
        self._client = HTTPClient(upstream)
        self.loopback = Loopback(self._pass)

    def _pass(self, call: Call) -> Response:
        headers = {name: value for name, value in call.headers.items() if name.lower() not in ("host", "connection")}
        answer = self._client.call(call.method, call.target, headers, call.body)
        at = parsedate_to_datetime(answer.headers["Date"]).timestamp() - 3600
        return replace(answer, headers={**answer.headers, "Date": formatdate(at, usegmt=True)})


@REAL
def test_a_clock_that_is_off_by_an_hour_is_named(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        serve(here)
        slow = WrongClock(here.proxy.url)
        with slow.loopback:
            change(here, here.proxy.url, slow.loopback.url)
            told = doctor(here)
            hop = broken(told)
            assert (hop["name"], hop["server"]) == ("clock", "site")
            assert "60 minutes behind ours" in hop["seen"]
            assert "NTP" in hop["remedy"]
            assert found(told)["service"] == "ok"


@REAL
def test_a_missing_push_certificate_is_named(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        change(here, here.proxy.url, here.server.url)  # the real one, which has none
        serve(here)
        told = doctor(here, "--device", device(here))
        hop = broken(told)
        assert (hop["name"], hop["server"]) == ("push", "site")
        assert "no push certificate" in hop["seen"]
        assert "/v1/pushcert" in hop["remedy"]
        assert found(told)["site: device"] == "not looked at"
        assert broken(doctor(here))["name"] == "push", "the service keeps what the server said"


@contextmanager
def tiny_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def alone(tmp_path: Path, store: Path) -> Settings:
    """Settings whose server does not answer: for what is found on this machine."""
    (tmp_path / "api.key").touch(mode=0o600)
    (tmp_path / "api.key").write_text(API_KEY)
    file = tmp_path / "osupdate-kit.toml"
    url = f'[servers.site]\nurl = "http://127.0.0.1:{free_port()}"\nkey_file = "api.key"\n'
    file.write_text(f'store_url = "sqlite:///{store}"\n{url}')
    return Settings.load(file)


def hops(diagnosis: Diagnosis) -> dict[str, Hop]:
    return {hop.title: hop for hop in diagnosis.hops}


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk") as disk:
        settings = alone(tmp_path, disk / "store.db")
        Kit.open(settings).close()
        with pytest.raises(OSError, match="No space"):
            (disk / "filler").write_bytes(b"\0" * (2 << 20))
        told = hops(examine(lambda: settings))
        assert told["disk"].found is Found.FAILED
        assert "is full" in told["disk"].seen
        assert f"Free space on the disk of {disk}" in told["disk"].remedy
        assert told["store"].found is told["service"].found is Found.NOT_LOOKED_AT
        assert "disk" in told["store"].seen


def test_a_disk_that_will_soon_be_full_is_named(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk") as disk:
        settings = alone(tmp_path, disk / "store.db")
        told = hops(examine(lambda: settings))
        assert told["disk"].found is Found.FAILED
        assert "1 MiB left" in told["disk"].seen


@REAL
def test_a_service_that_does_not_run_is_named(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        told = doctor(here, "--device", device(here))
        assert broken(told)["name"] == "service"
        assert "osupdate-kit serve" in broken(told)["remedy"]
        assert found(told)["site: enqueue"] == found(told)["store"] == "ok"
        assert found(told)["site: device"] == "not looked at"
        serve(here)
        here.kill()
        assert broken(doctor(here))["name"] == "service"


def test_an_old_schema_is_named(tmp_path: Path) -> None:
    settings = alone(tmp_path, tmp_path / "store.db")
    with create_engine(settings.store_url).begin() as connection:
        migrate.upgrade(connection, migrate.REVISIONS[0])
    told = hops(examine(lambda: settings))
    assert told["store"].found is Found.FAILED
    assert "older schema 0001" in told["store"].seen
    assert "osupdate-kit store upgrade" in told["store"].remedy
    assert told["service"].found is Found.NOT_LOOKED_AT


@REAL
def test_a_nanohub_off_loopback_without_a_proxy_is_named(tmp_path: Path) -> None:
    with place(tmp_path, kind="nanohub") as here:
        change(here, "[receiver]", '[receiver]\nhost = "0.0.0.0"')
        told = doctor(here, "--device", device(here))
        hop = broken(told)
        assert hop["name"] == "who may post"
        assert "anybody could post" in hop["seen"]
        assert "trusted_proxy = true" in hop["remedy"]
        assert found(told)["service"] == "not looked at", "it refuses to start"
        assert found(told)["site: enqueue"] == "ok"


# --- further ones ---


def test_a_server_that_is_down_is_named_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    settings = alone(tmp_path, tmp_path / "store.db")
    diagnosis = examine(lambda: settings)
    told = hops(diagnosis)
    assert diagnosis.broken is told["site: address"]
    assert "does not answer" in told["site: address"].seen
    assert told["disk"].found is Found.OK
    assert told["store"].found is Found.NOT_LOOKED_AT
    assert not (tmp_path / "store.db").exists(), "looking makes no store"
    assert told["service"].found is Found.FAILED


def test_settings_that_cannot_be_read_are_the_broken_hop(tmp_path: Path) -> None:
    (tmp_path / "osupdate-kit.toml").write_text("[servers.site]\nurl = 7\n")
    diagnosis = examine(lambda: Settings.load(tmp_path / "osupdate-kit.toml"))
    assert [hop.title for hop in diagnosis.hops] == ["settings"]
    assert diagnosis.summary.startswith("Broken: settings.")


def test_a_key_that_others_may_read_is_named(tmp_path: Path) -> None:
    settings = alone(tmp_path, tmp_path / "store.db")
    (tmp_path / "api.key").chmod(0o644)
    told = hops(examine(lambda: settings))
    assert "chmod 600" in told["site: keys"].remedy
    assert told["site: address"].found is told["site: clock"].found is Found.NOT_LOOKED_AT


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    settings = alone(tmp_path, tmp_path / "locked" / "store.db")
    Kit.open(settings).close()
    (tmp_path / "locked").chmod(0o500)
    assert "as the user that the service runs as" in hops(examine(lambda: settings))["disk"].remedy


@REAL
def test_a_device_that_is_not_enrolled_there_is_named(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        serve(here)
        hop = broken(doctor(here, "--device", "NO-SUCH-DEVICE"))
        assert hop["name"] in ("push", "device")
        assert "enrolled on th" in hop["remedy"]


@REAL
def test_an_expired_push_certificate_is_named_by_the_settings(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        serve(here)
        change(here, 'key_file = "api.key"', 'key_file = "api.key"\npush_certificate_expires = 2026-01-31')
        hop = broken(doctor(here))
        assert (hop["name"], "2026-01-31" in hop["seen"]) == ("push", True)
        assert "same Apple Account" in hop["remedy"]

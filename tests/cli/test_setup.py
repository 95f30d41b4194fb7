"""`init` as people and scripts use it: what it writes, whom it lets read it, and what it says to do next."""

import os
import pty
import re
import select
import stat
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from osupdate_kit.settings import Settings
from tests.line.site import PAUSE

KEY = "the-api-key"
FLAGS = ("--url", "https://mdm.example.org", "--kind", "nanomdm", "--name", "north")


def run(folder: Path, *words: str, exits: int = 0, typed: str = "") -> str:
    """The command in this folder, by a program that has no terminal; everything it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OSUPDATE_KIT_")}
    done = subprocess.run(
        [sys.executable, "-m", "osupdate_kit.cli", *words], cwd=folder, env=environment | {"COLUMNS": "200"},
        input=typed, text=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == exits, done.stdout + done.stderr
    return done.stdout + done.stderr


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_flags_suffice(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'store.db'}"
    said = run(tmp_path, "init", *FLAGS, "--key-file", "-", "--store", store, "--port", "8099", typed=f"{KEY}\n")
    settings = Settings.load(tmp_path / "osupdate-kit.toml")
    server = settings.servers["north"]
    assert (server.kind, server.url, server.api_key()) == ("nanomdm", "https://mdm.example.org", KEY)
    assert (settings.store_url, settings.receiver.port) == (store, 8099)
    key = server.webhook_key()
    assert key is not None
    assert len(key) == 64
    assert mode(tmp_path / "north.api.key") == mode(tmp_path / "north.webhook.key") == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {"osupdate-kit.toml", "north.api.key", "north.webhook.key"}
    assert KEY not in said
    assert key.decode() not in said
    assert "nanomdm … -webhook-url http://127.0.0.1:8099/webhook/north -webhook-hmac-key" in said
    assert f'"$(cat {tmp_path / "north.webhook.key"})"' in said
    assert "osupdate-kit serve" in said
    assert "osupdate-kit doctor --device UDID" in said


def test_nothing_is_overwritten_unless_asked_and_a_webhook_key_is_kept(tmp_path: Path) -> None:
    run(tmp_path, "init", *FLAGS, "--key-env", "NORTH_KEY")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    said = run(tmp_path, "init", *FLAGS, "--key-env", "OTHER", exits=2)
    assert "exists. Say --force" in said
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    said = run(tmp_path, "init", *FLAGS, "--key-env", "OTHER", "--force")
    assert "Kept: " in said
    assert (tmp_path / "north.webhook.key").read_bytes() == before[tmp_path / "north.webhook.key"]
    assert 'key_env = "OTHER"' in (tmp_path / "osupdate-kit.toml").read_text()


def test_a_key_that_exists_is_not_overwritten_by_another_servers_settings(tmp_path: Path) -> None:
    (tmp_path / "north.api.key").write_text("older")
    said = run(tmp_path, "init", *FLAGS, "--key-file", "-", typed=KEY, exits=2)
    assert "north.api.key exists" in said
    assert (tmp_path / "north.api.key").read_text() == "older"
    assert not (tmp_path / "osupdate-kit.toml").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--url is not told, and nobody can be asked here."),
        (("--url", "https://a.example"), "--kind is not told"),
        (("--url", "https://a.example", "--kind", "nanomdm"), "--key-file or --key-env is not told"),
        (("--url", "mdm", "--kind", "nanomdm", "--key-env", "K"), "no URL"),
        (("--url", "https://a.example", "--kind", "nanomdm", "--key-env", "K", "--name", "a b"), "servers.a b"),
        (("--url", "https://a.example", "--kind", "nanomdm", "--key-env", "K", "--store", "mysql://x"), "no store"),
        (("--url", "https://a.example", "--kind", "micromdm", "--key-env", "K"), "micromdm"),
        (("--url", "https://a.example", "--kind", "nanomdm", "--key-file", "-"), "No key came"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_written(
    words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    assert told in run(tmp_path, "init", *words, exits=2)
    assert not list(tmp_path.iterdir())


def test_a_nanohub_gets_no_webhook_key_and_is_told_why(tmp_path: Path) -> None:
    words = ("--url", "http://127.0.0.1:9004", "--kind", "nanohub", "--name", "lobby", "--key-env", "K")
    said = run(tmp_path, "--config", "kit/my.toml", "init", *words)
    assert {file.name for file in (tmp_path / "kit").iterdir()} == {"my.toml"}
    assert "nanohub … -webhook-url http://127.0.0.1:8077/webhook/lobby\n" in said
    assert "NanoHUB signs nothing" in said
    assert f"--config {tmp_path / 'kit' / 'my.toml'} doctor" in said


def test_a_proxy_before_the_receiver_is_what_the_server_is_told(tmp_path: Path) -> None:
    said = run(
        tmp_path, "init", *FLAGS, "--key-env", "K", "--webhook-at", "https://kit.example.org/", "--trusted-proxy"
    )
    assert "-webhook-url https://kit.example.org/webhook/north" in said
    assert Settings.load(tmp_path / "osupdate-kit.toml").servers["north"].trusted_proxy


def test_kmfddm_beside_a_nanomdm_gets_its_settings_and_flags(tmp_path: Path) -> None:
    (tmp_path / "ddm.key").touch(mode=0o600)
    (tmp_path / "ddm.key").write_text(KEY)
    kmfddm = ("--kmfddm", "http://127.0.0.1:9002", "--kmfddm-key-file", "ddm.key")
    said = run(tmp_path, "init", *FLAGS, "--key-env", "K", *kmfddm)
    server = Settings.load(tmp_path / "osupdate-kit.toml").servers["north"]
    assert (server.declared_by, server.declarations_address()) == ("kmfddm", "http://127.0.0.1:9002")
    assert server.declarations_key() == KEY
    assert " -dm http://127.0.0.1:9002/\n" in said
    assert f'kmfddm … -api "$(cat {tmp_path / "ddm.key"})" -enqueue https://mdm.example.org/v1/enqueue/' in said


def test_texts_stay_texts(tmp_path: Path) -> None:
    """A quotation mark in a path ends nothing."""
    (tmp_path / 'a"b').mkdir()
    (tmp_path / 'a"b' / "api.key").touch(mode=0o600)
    (tmp_path / 'a"b' / "api.key").write_text(KEY)
    run(tmp_path, "init", *FLAGS, "--key-file", 'a"b/api.key')
    assert Settings.load(tmp_path / "osupdate-kit.toml").servers["north"].api_key() == KEY


def test_a_person_is_asked_and_the_key_is_not_shown(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OSUPDATE_KIT_")}
    child, person = pty.fork()
    if not child:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "osupdate_kit.cli", "init"], environment | {"TERM": "dumb"})
    seen = ""

    def until(words: str) -> None:
        nonlocal seen
        while words not in seen:
            assert select.select([person], [], [], 30)[0], f"nothing after {seen!r}"
            seen += os.read(person, 4096).decode()

    for question, answer in (("API (https", "https://mdm.example.org"), ("nanohub?", ""), ("call it?", "south"),
                             ("not shown", KEY)):  # fmt: skip
        until(question)
        for _ in range(1000 if answer == KEY else 0):  # as a person types: once nothing is echoed any more
            if not termios.tcgetattr(person)[3] & termios.ECHO:
                break
            PAUSE.wait(0.01)
        os.write(person, f"{answer}\n".encode())
    until("doctor --device UDID")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(person)
    assert KEY not in seen
    assert Settings.load(tmp_path / "osupdate-kit.toml").servers["south"].api_key() == KEY
    assert re.search(r"-webhook-url \S+/webhook/south", seen)

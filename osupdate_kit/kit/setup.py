"""The first settings: the file, its keys in files of their own, and what to tell the server.

Knows which files there are, who may read them, and which flags a server is to be started with. Leaves asking people to
the CLI. Nothing that exists is overwritten unless asked, and a webhook key that exists is kept: a server may use it.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from osupdate_kit.errors import SettingsError
from osupdate_kit.settings import Settings

KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a person told. Empty: the default."""

    name: str = "school"
    kind: str = "nanomdm"
    url: str
    api_key: str = ""  # to be written into a file of its own; else `key_env` or `key_file` says where it is
    key_env: str = ""
    key_file: str = ""
    store_url: str = ""
    host: str = "127.0.0.1"
    port: int = 8077
    webhook_at: str = ""  # where the server reaches the receiver, if not at `host` and `port`
    trusted_proxy: bool = False
    kmfddm: str = ""  # where KMFDDM's API is, beside a NanoMDM
    kmfddm_key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What stands on the disk now, and what is to be done with the server."""

    settings: Path
    keys: tuple[Path, ...]
    kept: tuple[Path, ...]  # keys that were there, and are used
    flags: str
    receiver: str


def write_settings(told: Answers, path: Path, *, force: bool = False) -> Written:
    """Write the settings and the keys beside them. Raises SettingsError, and then has written nothing."""
    path = path.absolute()
    signs = told.kind == "nanomdm"
    api, webhook = path.with_name(f"{told.name}.api.key"), path.with_name(f"{told.name}.webhook.key")
    text = _text(told, api_file=api.name if told.api_key else "", webhook_file=webhook.name if signs else "")
    new = {api: told.api_key} if told.api_key else {}
    new |= {webhook: secrets.token_hex(KEY_BYTES)} if signs and not webhook.exists() else {}
    kept = (webhook,) if signs and webhook.exists() else ()
    there = [one for one in (path, *new) if one.exists()]
    if there and not force:
        raise SettingsError(f"{there[0]} exists.", remedy="Say --force to write it anew, or name another by --config.")
    _check(text, path, [*new, *kept])
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, key in new.items():
            _write(file, f"{key}\n", 0o600)
        _write(path, text, 0o644)
    except OSError as error:
        raise SettingsError(
            f"{error.filename or path} cannot be written: {error.strerror}.", remedy="Choose another folder."
        ) from None
    at = (told.webhook_at or f"http://{_address(told.host)}:{told.port}").rstrip("/")
    flags = "\n".join(_flags(told, f"{at}/webhook/{told.name}", webhook))
    return Written(settings=path, keys=tuple(new), kept=kept, flags=flags, receiver=at)


def _text(told: Answers, *, api_file: str, webhook_file: str) -> str:
    server = {
        "kind": told.kind,
        "url": told.url,
        "key_env": told.key_env,
        "key_file": told.key_file or api_file,
        "webhook_key_file": webhook_file,
        "trusted_proxy": told.trusted_proxy,
        "declarations": "kmfddm" if told.kmfddm else "",
        "declarations_url": told.kmfddm,
        "declarations_key_file": told.kmfddm_key_file,
    }
    lines = [f"store_url = {_toml(told.store_url)}", ""] if told.store_url else []
    lines += [f"[servers.{_toml(told.name)}]", *_lines(server), "", "[receiver]"]
    return "\n".join([*lines, *_lines({"host": told.host, "port": told.port}), ""])


def _lines(values: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{key} = {_toml(value)}" for key, value in values.items() if value not in ("", False))


def _toml(value: object) -> str:
    """A TOML value: JSON's texts, numbers and truths are TOML's, too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _check(text: str, path: Path, keys: list[Path]) -> None:
    """Would these settings be read? Tried in a folder of its own, with keys that mean nothing."""
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / path.name
        tried.write_text(text, "utf-8")
        for key in keys:
            _write(Path(folder) / key.name, "key\n", 0o600)
        try:
            Settings.load(tried)
        except SettingsError as error:
            words = Exception.__str__(error).replace(str(tried), "These settings")
            raise SettingsError(words, remedy=error.remedy) from None


def _write(path: Path, text: str, mode: int) -> None:
    """In one step: nobody sees half a file, or a key that others could read for a moment."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _flags(told: Answers, webhook_url: str, webhook_key: Path) -> Iterator[str]:
    """The flags to add to the server's own. Keys are named by their files, never shown."""
    if told.kind == "nanohub":
        yield f"nanohub … -webhook-url {webhook_url}"
        return
    declarations = f" -dm {told.kmfddm.rstrip('/')}/" if told.kmfddm else ""
    yield f'nanomdm … -webhook-url {webhook_url} -webhook-hmac-key "$(cat {webhook_key})"{declarations}'
    if told.kmfddm:
        enqueue = f"{told.url.rstrip('/')}/v1/enqueue/"
        yield f'kmfddm … -api "$(cat {told.kmfddm_key_file})" -enqueue {enqueue} -enqueue-key API-KEY'

"""The doctor: every hop between a person's wish and a device's answer, looked at one by one; it names the broken one.

It runs with or without a service, changes nothing but one note in the store, and wakes nobody unless a device is named.
What the service has seen it reads from the store. Leaves the round trip to `roundtrip`.
"""

import errno
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from osupdate_kit.errors import OSUpdateKitError, SettingsError, StoreError
from osupdate_kit.kit.roundtrip import SECONDS, RoundTrip, round_trip, take_in
from osupdate_kit.kit.servers import Servers
from osupdate_kit.rollout.alerts import AlertKind
from osupdate_kit.rollout.journey import OutboxStatus
from osupdate_kit.rollout.policy import MINUTE
from osupdate_kit.rollout.ports import CHECKED, CommandServer, ServerCheck
from osupdate_kit.servers.database import ServerDatabase
from osupdate_kit.servers.transport import Health, health
from osupdate_kit.service.clock import KitClock, open_clock
from osupdate_kit.service.receiver import (
    NO_SIGNATURE,
    STRANGERS,
    WRONG_SIGNATURE,
    Heard,
    WebhookSource,
    refuse_strangers,
)
from osupdate_kit.service.sender import push_trouble_name
from osupdate_kit.service.tally import ALIVE_SECONDS, CHANGED_SECONDS, Sign, read_sign
from osupdate_kit.settings import ServerSettings, Settings
from osupdate_kit.stores.connect import file_of, store_url
from osupdate_kit.stores.ledger import Ledger, Transaction
from osupdate_kit.views.text import clean

LEAST_FREE = 256 << 20  # bytes on the store's disk
CLOCK_SECONDS = 60  # by which a server's clock may differ from ours
DAYS_BEFORE = 30  # a push certificate's expiry is remarked
_PROBE = b"\0" * (64 << 10)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SECOND = 1_000_000


class Found(StrEnum):
    OK = "ok"
    FAILED = "failed"
    NOT_LOOKED_AT = "not looked at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One hop: what was seen there, and what to do. server: empty where it is of all."""

    name: str
    server: str = ""
    found: Found
    seen: str
    remedy: str = ""

    @property
    def title(self) -> str:
        return f"{self.server}: {self.name}" if self.server else self.name

    def __str__(self) -> str:
        return f"{self.title}: {self.found.value}. {self.seen} {self.remedy}".strip()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All hops in the order in which they were looked at."""

    hops: tuple[Hop, ...]

    @property
    def ok(self) -> bool:
        """Is no hop broken? Those that were not looked at may be."""
        return self.broken is None

    @property
    def broken(self) -> Hop | None:
        """The first broken one: mend it first."""
        return next((hop for hop in self.hops if hop.found is Found.FAILED), None)

    @property
    def summary(self) -> str:
        broken = self.broken
        if broken is not None:
            return f"Broken: {broken.title}. {broken.seen} {broken.remedy}".strip()
        skipped = sum(hop.found is Found.NOT_LOOKED_AT for hop in self.hops)
        return "Nothing broken was found." + (f" {skipped} hops were not looked at." if skipped else "")

    def as_rows(self) -> list[dict[str, str]]:
        return [asdict(hop) for hop in self.hops]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{words}</th>" for words in ("server", "hop", "", "seen", "what to do"))
        rows = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in _cells(hop)) + "</tr>"
            for hop in self.hops
        )
        return f"<p><b>{escape(self.summary)}</b></p><table><tr>{head}</tr>{rows}</table>"


def _cells(hop: Hop) -> tuple[str, ...]:
    name = f"▶ {hop.name}" if hop.found is Found.FAILED else hop.name
    return hop.server, name, hop.found.value, hop.seen, hop.remedy


class Word(NamedTuple):
    """What a look at one hop found."""

    found: Found
    seen: str
    remedy: str = ""


def examine(
    load: Callable[[], Settings],
    *,
    device: str = "",
    server: str = "",
    seconds: float = SECONDS,
    show: Callable[[Hop], None] = lambda hop: None,
    tell: Callable[[str], None] = lambda words: None,
) -> Diagnosis:
    """Look at all hops; `show` gets each as soon as it is known.

    device: serial, UDID or enrollment ID of one that is woken and asked what it is, by way of the running service.
    server: of these hops of its own only; all servers if empty. seconds: of real time that the device is given.
    """
    with ExitStack() as stack:
        walk = _Walk(show, tell, stack)
        settings = walk.settings(load, server)
        if settings is not None:
            walk.through(settings, device=device, server=server, seconds=seconds)
        return Diagnosis(tuple(walk.hops))


@dataclass(slots=True)
class _Walk:
    """Where we are: the hops behind us, and what they gave."""

    show: Callable[[Hop], None]
    tell: Callable[[str], None]
    stack: ExitStack
    hops: list[Hop] = field(default_factory=list)
    certificates: dict[str, dict[str, datetime]] = field(default_factory=dict)  # by server and topic: the expiry
    broken: dict[tuple[str, str], str] = field(default_factory=dict)  # (server, hop) → the title of what broke it

    def add(self, name: str, word: Word, server: str = "") -> None:
        hop = Hop(name=name, server=server, found=word.found, seen=word.seen, remedy=word.remedy)
        if word.found is Found.FAILED:
            self.broken[server, name] = hop.title
        self.hops.append(hop)
        self.show(hop)

    def look(self, name: str, how: Callable[[], Word], *, after: tuple[str, ...] = (), server: str = "") -> None:
        """Look, unless one of the hops that it needs is broken."""
        cause = next((c for one in after if (c := self.broken.get((server, one)) or self.broken.get(("", one)))), "")
        if cause:
            self.broken[server, name] = cause
            self.add_skipped(name, cause, server)
            return
        try:
            word = how()
        except OSUpdateKitError as error:
            word = Word(Found.FAILED, Exception.__str__(error), error.remedy)
        self.add(name, word, server)

    def add_skipped(self, name: str, cause: str, server: str) -> None:
        hop = Hop(name=name, server=server, found=Found.NOT_LOOKED_AT, seen=f"It comes after what is broken: {cause}.")
        self.hops.append(hop)
        self.show(hop)

    # --- settings ---

    def settings(self, load: Callable[[], Settings], server: str) -> Settings | None:
        found: list[Settings] = []

        def how() -> Word:
            settings = load()
            if not settings.servers:
                raise SettingsError("The settings name no server.", remedy="`osupdate-kit init` writes them.")
            if server and server not in settings.servers:
                raise SettingsError(
                    f"There is no server {server!r} in the settings.", remedy=f"Servers: {', '.join(settings.servers)}."
                )
            found.append(settings)
            where = settings.source or "the environment"
            return Word(Found.OK, f"{where} names {', '.join(settings.servers)}.")

        self.look("settings", how)
        return found[0] if found else None

    def through(self, settings: Settings, *, device: str, server: str, seconds: float) -> None:
        chosen = {name: one for name, one in settings.servers.items() if not server or name == server}
        servers = Servers(settings.servers)
        for name, one in chosen.items():
            self._server(name, one, servers)
        ledger = self._store(settings)
        sign = self._service(settings, ledger)
        clock = open_clock(ledger) if ledger else KitClock()
        trip = self._trip(ledger, clock, device, chosen, seconds)
        if trip and ledger:
            sign = trip.after
            if trip.answer and chosen[trip.key.server].has_database:  # by which way did it come?
                threading.Event().wait(CHANGED_SECONDS + 1)
                with ledger.read() as tx:
                    sign = read_sign(tx)
        for name, one in chosen.items():
            self._way_back(name, one, ledger, clock, sign, trip, device)

    # --- a server's API ---

    def _server(self, name: str, settings: ServerSettings, servers: Mapping[str, CommandServer]) -> None:
        def keys() -> Word:
            settings.api_key()
            settings.webhook_key()
            if settings.has_database:
                settings.database_url()
            return Word(Found.OK, "The API key and what signs the webhook can be read.")

        self.look("keys", keys, server=name)
        if ("", name) in self.broken or (name, "keys") in self.broken:
            for hop in (*CHECKED, "clock"):
                self.look(hop, lambda: Word(Found.OK, ""), after=("keys",), server=name)
            return
        check = servers[name].check()
        for hop in CHECKED:
            word = Word(Found.OK, _reached(hop, check, settings))
            if hop == check.hop:
                word = Word(Found.FAILED, check.message, check.remedy)
            before = CHECKED[: CHECKED.index(hop)]
            self.look(hop, lambda word=word: word, after=before, server=name)  # type: ignore[misc]
        self.look("clock", lambda: _clock(name, check), after=("address",), server=name)
        if settings.has_database:
            self.look("database", lambda: self._database(name, settings), after=("keys",), server=name)

    def _database(self, name: str, settings: ServerSettings) -> Word:
        database = ServerDatabase(settings.database_url(), name)
        try:
            lacking = database.check()
            differs = abs(database.now() - time.time_ns() // 1000) / _SECOND
            self.certificates[name] = database.certificates() or {}
        finally:
            database.close()
        if differs > CLOCK_SECONDS:
            return Word(
                Found.FAILED,
                f"The clock of the database differs from ours by {_span(differs)}.",
                "Set both by NTP, and let the database's time zone be UTC.",
            )
        more = f" Not granted, and not needed: {lacking}." if lacking else ""
        return Word(Found.OK, f"What is needed can be read.{more}")

    # --- store and service ---

    def _store(self, settings: Settings) -> Ledger | None:
        opened: list[Ledger] = []
        path = file_of(store_url(settings.store_url))

        def store() -> Word:
            if path is not None and not path.exists():
                return Word(Found.NOT_LOOKED_AT, f"There is none at {path} yet.", "`osupdate-kit serve` makes it.")
            ledger = Ledger.open(settings.store_url)
            self.stack.callback(ledger.close)
            with ledger.write() as tx:  # does it take anything?
                tx.put("doctor", str(time.time_ns() // 1000))
            opened.append(ledger)
            return Word(Found.OK, f"{path or ledger.kind} has this version's schema and takes what is written.")

        self.look("disk", lambda: _disk(path))
        self.look("store", store, after=("disk",))
        return opened[0] if opened else None

    def _service(self, settings: Settings, ledger: Ledger | None) -> Sign:
        sign = Sign()
        if ledger is not None:
            with ledger.read() as tx:
                sign = read_sign(tx)
        self.look("who may post", lambda: _exposure(settings))
        self.look("service", lambda: _served(ledger, sign), after=("disk", "store", "who may post"))
        self.look("receiver", lambda: _receiver(settings, sign), after=("service",))
        return sign

    # --- the way to a device, and back ---

    def _trip(
        self, ledger: Ledger | None, clock: KitClock, device: str, chosen: Mapping[str, ServerSettings], seconds: float
    ) -> RoundTrip | None:
        if not device or ledger is None or ("", "service") in self.broken:
            return None
        key = take_in(ledger, clock, device, list(chosen))
        if any((key.server, hop) in self.broken for hop in CHECKED):
            return None
        return round_trip(ledger, clock, key, seconds=seconds, tell=self.tell)

    def _way_back(
        self,
        name: str,
        settings: ServerSettings,
        ledger: Ledger | None,
        clock: KitClock,
        sign: Sign,
        trip: RoundTrip | None,
        device: str,
    ) -> None:
        trip = trip if trip and trip.key.server == name else None
        now = clock.now()
        api = (*CHECKED, "keys")
        here = (*api, "disk", "store", "service")
        heard, strangers = sign.heard.get(name, Heard()), sign.heard.get(STRANGERS, Heard())

        def push() -> Word:
            with _reading(ledger) as tx:
                expiries = [at.date() for at in self.certificates.get(name, {}).values()]
                told = settings.push_certificate_expires
                return _push(name, min([*expiries, *([told] if told else [])], default=None), tx, now, trip)

        def webhook() -> Word:
            with _reading(ledger) as tx:
                silent = tx is not None and any(
                    (said.kind, said.subject) == (AlertKind.WEBHOOK, name) for said in tx.open_alerts()
                )
            return _webhook(name, settings, heard, strangers, now, trip, silent=silent)

        self.look("push", push, after=here, server=name)
        self.look("webhook", webhook, after=("service", "receiver", *(("push",) if trip else ())), server=name)
        came = trip is not None and bool(trip.answer) and not settings.has_database
        self.look("signature", lambda: _signature(settings, heard, now, came), after=("webhook", "keys"), server=name)
        self.look("device", lambda: _device(trip, device), after=(*here, "push", "webhook", "signature"), server=name)


@contextmanager
def _reading(ledger: Ledger | None) -> Iterator[Transaction | None]:
    if ledger is None:
        yield None
    else:
        with ledger.read() as tx:
            yield tx


# --- one hop each ---


def _reached(hop: str, check: ServerCheck, settings: ServerSettings) -> str:
    return {
        "address": f"{settings.url} answers.",
        "kind": f"It is a {settings.kind}, version {check.version or 'unknown'}.",
        "key": "It takes our API key.",
        "enqueue": "It reads commands. Nothing was queued.",
    }[hop]


def _clock(server: str, check: ServerCheck) -> Word:
    if not check.server_at:
        return Word(Found.NOT_LOOKED_AT, "Its answer bears no date.")
    ahead = (check.server_at - time.time_ns() // 1000) / _SECOND
    if abs(ahead) <= CLOCK_SECONDS:
        return Word(Found.OK, f"Its clock and ours agree to {max(1, round(abs(ahead)))} s.")
    return Word(
        Found.FAILED,
        f"The clock of {server} is {_span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} ours.",
        "Set both by NTP (timedatectl set-ntp true). Windows open by our clock; devices are believed by the server's.",
    )


def _span(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"


def _disk(path: Path | None) -> Word:
    if path is None:
        return Word(Found.NOT_LOOKED_AT, "The store is on PostgreSQL: its own machine knows its disk.")
    folder = next(one for one in (path.absolute().parent, *path.absolute().parents) if one.exists())
    remedy = f"Free space on the disk of {folder}, or move the store; a service goes on by itself."
    try:
        free = shutil.disk_usage(folder).free
        if path.exists():
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(_PROBE)
                probe.flush()
                os.fsync(probe.fileno())
    except OSError as error:
        if error.errno in _FULL:
            return Word(Found.FAILED, f"The disk of {folder} is full: {error.strerror}.", remedy)
        return Word(
            Found.FAILED,
            f"{folder} cannot be written: {error.strerror}.",
            "Run this as the user that the service runs as, or correct the owner of the folder.",
        )
    if free < LEAST_FREE:
        return Word(Found.FAILED, f"The disk of {folder} has {free / (1 << 20):.0f} MiB left.", remedy)
    return Word(Found.OK, f"The disk of {folder} has {free / (1 << 30):.1f} GiB free.")


def _exposure(settings: Settings) -> Word:
    sources = [
        WebhookSource(
            name=name,
            key=b"some" if s.webhook_key_env or s.webhook_key_file or s.webhook_keyring else None,
            trusted_proxy=s.trusted_proxy,
        )
        for name, s in settings.servers.items()
    ]
    refuse_strangers(sources, settings.receiver.host)
    unsigned = [source.name for source in sources if source.key is None]
    if not unsigned:
        return Word(Found.OK, "Every server signs its calls.")
    return Word(
        Found.OK, f"Of {', '.join(unsigned)} calls are not signed: the receiver is on loopback or behind your proxy."
    )


def _served(ledger: Ledger | None, sign: Sign) -> Word:
    nobody = Word(
        Found.FAILED,
        "No service works on this store.",
        "Start it: osupdate-kit serve, or by your system (systemctl start osupdate-kit). Its log says why it ended.",
    )
    if ledger is None:
        return nobody
    path = file_of(store_url(ledger.url))
    try:
        if path is not None and not path.with_name(f"{path.name}.lock").exists():
            return nobody  # without making the file: it would be ours, not the service's
        with ledger.service_lock() as free:
            if free:
                return nobody
    except OSError as error:
        raise StoreError(
            f"The lock beside {path} cannot be looked at: {error.strerror}.", remedy="Run this as the service's user."
        ) from None
    silent = (time.time_ns() // 1000 - sign.alive_at) / _SECOND
    if sign.alive_at and silent > 3 * ALIVE_SECONDS:
        return Word(
            Found.FAILED,
            f"A service holds the store, and has given no sign of life for {_span(silent)}.",
            "Read its log; then end that process and start it again. Nothing is lost by that.",
        )
    return Word(Found.OK, f"It works{f' on {sign.host}' if sign.host else ''}.")


def _receiver(settings: Settings, sign: Sign) -> Word:
    if sign.host and sign.host != socket.gethostname():
        return Word(Found.NOT_LOOKED_AT, f"It listens on another machine, {sign.host}.", "Run the doctor there.")
    host = settings.receiver.host
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - read, not bound
    url = f"http://{host}:{settings.receiver.port}"
    if not settings.receiver.port:
        url = sign.url
    told = health(url)
    if told is Health.OURS:
        return Word(Found.OK, f"It listens at {url}.")
    return Word(
        Found.FAILED,
        f"Nothing answers at {url}." if told is Health.SILENT else f"What answers at {url} is not the receiver.",
        "Compare receiver.host and receiver.port with what the service printed when it began; restart it after a "
        "change. A firewall on this machine may close the port.",
    )


_RENEW = (
    "Renew it at identity.apple.com with the same Apple Account, never make a new one; then load it: PUT /v1/pushcert."
)


def _push(server: str, expires: date | None, tx: Transaction | None, now: int, trip: RoundTrip | None) -> Word:
    left = (expires - datetime.now(UTC).date()).days if expires else None
    if expires and left is not None and left <= 0:
        return Word(Found.FAILED, f"The push certificate of {server} expired on {expires}.", _RENEW)
    soon = f" Its certificate expires in {left} days." if left is not None and left <= DAYS_BEFORE else ""
    note: dict[str, Any] = json.loads((tx and tx.get(push_trouble_name(server))) or "{}")
    at, words = note.get("at", 0), clean(note.get("words", ""))
    if trip and trip.shown and not words:
        return Word(Found.OK, f"The device came within {_span(trip.seconds)}.{soon}")
    if not note or (trip and at < trip.began_at and words):
        return Word(Found.NOT_LOOKED_AT, f"Nothing was pushed yet.{soon}", _NAME_ONE)
    if "push cert" in words:
        return Word(
            Found.FAILED,
            f"{server} has no push certificate for its devices, so nobody can be woken: {words}",
            "Load certificate and key into the server: PUT /v1/pushcert. What was queued meanwhile waits there.",
        )
    if "push data missing" in words:
        return Word(
            Found.FAILED if trip else Found.NOT_LOOKED_AT,
            f"{_ago(now, at)} {server} had no push data of whom it was to wake.",
            "That device is not enrolled on this server." if trip else _NAME_ONE,
        )
    if words:
        return Word(Found.FAILED, f"{_ago(now, at)} {server} woke nobody: {words}", _READ_LOG)
    return Word(Found.OK, f"{_ago(now, at)} Apple's push service took a push.{soon}")


_NAME_ONE = "`osupdate-kit doctor --device UDID` wakes one device and asks it what it is."
_READ_LOG = "Read the server's log; see that it reaches api.push.apple.com:443 and that its push certificate is valid."


def _webhook(
    server: str,
    settings: ServerSettings,
    heard: Heard,
    strangers: Heard,
    now: int,
    trip: RoundTrip | None,
    *,
    silent: bool,
) -> Word:
    flag = "-webhook-url"
    others = sorted(set(heard.refused) - {WRONG_SIGNATURE, NO_SIGNATURE})
    if heard.refused_at > heard.taken_at and others:
        return Word(
            Found.FAILED,
            f"Its calls arrive and are refused, the last {_ago(now, heard.refused_at).lower()}: {_counts(heard)}.",
            "503: the store takes nothing, look at it and its disk. 400, 413: something else posts to this address.",
        )
    if heard.refused_at > heard.taken_at:
        return Word(Found.OK, f"Its calls arrive, the last {_ago(now, heard.refused_at).lower()}.")
    if trip and trip.answer and not settings.has_database:
        return Word(Found.OK, "The answer came by it.")
    fresh = heard.taken_at > (trip.began_at if trip else 0)
    if fresh:
        return Word(Found.OK, f"{heard.taken:,} calls were taken in, the last {_ago(now, heard.taken_at).lower()}.")
    if settings.has_database and trip and trip.answer:
        return Word(Found.OK, "Nothing came by the webhook; the answer was read from the server's database.")
    if strangers.refused_at > max(heard.taken_at, trip.began_at if trip else 0):
        return Word(
            Found.FAILED,
            f"{sum(strangers.refused.values()):,} calls went to {strangers.path}, which is no server of the settings, "
            f"and none to /webhook/{server}.",
            f"Let the server's {flag} end in /webhook/{server}.",
        )
    if trip and not trip.shown and trip.status is OutboxStatus.QUEUED and heard.taken_at < now - 10 * MINUTE:
        return Word(
            Found.FAILED,
            f"Nothing came from {server} in {_span(trip.seconds)}, neither from this device nor from another.",
            f"See that its {flag} is the receiver's address with /webhook/{server}, and that the server's machine "
            "reaches it: an open port, no firewall, a proxy that passes it on. If so, the device sleeps: unlock it.",
        )
    if silent:
        return Word(
            Found.FAILED,
            f"Pushes go out, and nothing has come from {server} for long.",
            f"See that its {flag} leads to the receiver, and that the server's machine reaches that port.",
        )
    if heard.taken_at:
        return Word(Found.OK, f"{heard.taken:,} calls were taken in, the last {_ago(now, heard.taken_at).lower()}.")
    if settings.has_database:
        return Word(Found.NOT_LOOKED_AT, "Nothing has come from it; its database is read instead.", _NAME_ONE)
    return Word(Found.NOT_LOOKED_AT, "Nothing has come from it yet.", _NAME_ONE)


def _signature(settings: ServerSettings, heard: Heard, now: int, came: bool) -> Word:
    signs = bool(settings.webhook_key_env or settings.webhook_key_file or settings.webhook_keyring)
    if heard.refused_at > heard.taken_at and (wrong := sum(heard.refused.get(r, 0) for r in _UNSIGNED)):
        unsigned = not heard.refused.get(WRONG_SIGNATURE)
        return Word(
            Found.FAILED,
            f"{wrong:,} calls were refused for {NO_SIGNATURE if unsigned else WRONG_SIGNATURE}, the last "
            f"{_ago(now, heard.refused_at).lower()}, and none was taken in since.",
            "Start the server with -webhook-hmac-key and the webhook key of the settings."
            if unsigned
            else "The server's -webhook-hmac-key and the webhook key of the settings differ: write the same into both, "
            "then restart server and service.",
        )
    if not signs:
        return Word(Found.OK, "Its calls are not signed, and the settings expect no signature.")
    if came or heard.taken_at:
        return Word(Found.OK, "Signatures agree with our key.")
    return Word(Found.NOT_LOOKED_AT, "No call has come whose signature could be held against our key.")


_UNSIGNED = (WRONG_SIGNATURE, NO_SIGNATURE)


def _device(trip: RoundTrip | None, device: str) -> Word:
    if trip is None:
        words = "It is on another server." if device else "None was named."
        return Word(Found.NOT_LOOKED_AT, words, "" if device else _NAME_ONE)
    name = trip.key.enrollment_id
    if trip.answer:
        return Word(Found.OK, f"{name} answered {trip.answer} within {_span(trip.seconds)}. {trip.told}".strip())
    if trip.status is OutboxStatus.INTENDED:
        return Word(
            Found.FAILED,
            f"The service has not taken the question to {name} up in {_span(trip.seconds)}.",
            "Read its log: it names what holds the sender up.",
        )
    if trip.status is not OutboxStatus.QUEUED:
        return Word(
            Found.FAILED,
            f"{trip.key.server} did not queue a command for {name} ({trip.status.value}).",
            "See that this device is enrolled on that server, by that very ID: capital and small letters differ.",
        )
    if trip.shown:
        return Word(
            Found.FAILED,
            f"{name} came, and has not answered in {_span(trip.seconds)}.",
            "Commands queued before ours may hold it up. Try again; then look at `osupdate-kit why` of it.",
        )
    return Word(
        Found.FAILED,
        f"{name} did not come in {_span(trip.seconds)}, though others were heard of.",
        "Wake it: power, network, unlock it once. A push that Apple took may still come later.",
    )


def _counts(heard: Heard) -> str:
    return ", ".join(f"{count:,} times {reason}" for reason, count in sorted(heard.refused.items()))


def _ago(now: int, at: int) -> str:
    seconds = max(0, now - at) / _SECOND
    return f"{_span(seconds)} ago" if seconds >= 1 else "Just now"

"""Programs that are no Python packages, started for a test and ended with it: MDM servers, PostgreSQL, MariaDB.

Where one is missing the test is skipped with the reason; with OSUPDATE_KIT_REQUIRE_ALL=1 it fails instead.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal, NoReturn

import pytest

from osupdate_kit.lab.real import Identities, IdentityMode
from osupdate_kit.lab.server import IDENTITY_HEADER

REQUIRE_ALL = "OSUPDATE_KIT_REQUIRE_ALL"
NANOMDM_MODULE = "github.com/micromdm/nanomdm@v0.9.0"
START_SECONDS = 20.0


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where everything has to be there."""
    reason = f"{what} is not installed here"
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _go_env(name: str, otherwise: Path) -> Path:
    go = shutil.which("go")
    if go is None:
        return otherwise
    told = subprocess.run([go, "env", name], capture_output=True, text=True, check=True).stdout.strip()
    return Path(told) if told else otherwise


def _go_binary(program: str, what: str) -> Path:
    """The program from PATH or from Go's own folder."""
    found = shutil.which(program)
    path = Path(found) if found else _go_env("GOPATH", Path.home() / "go") / "bin" / program
    return path if path.exists() else missing(f"{what} ({program})")


def nanomdm_schema(storage: Literal["pgsql", "mysql"] = "pgsql") -> Path:
    """NanoMDM's own schema, from Go's module cache."""
    cache = _go_env("GOMODCACHE", Path.home() / "go" / "pkg" / "mod")
    path = cache / NANOMDM_MODULE / "storage" / storage / "schema.sql"
    return path if path.exists() else missing("NanoMDM's schema.sql (its Go module)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServer:
    """A running NanoMDM or NanoHUB. `identities` signed by the authority it trusts."""

    url: str
    api_key: str
    identities: Identities
    process: "subprocess.Popen[bytes]"
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaringServer:
    """A running KMFDDM; `nanomdm` stands before it, and devices talk to that."""

    url: str
    api_key: str
    process: "subprocess.Popen[bytes]"
    log: Path
    nanomdm: RealServer


@contextmanager
def nanomdm(
    storage: Literal["inmem", "pgsql"] = "inmem",
    *,
    dsn: str = "unused",
    delete: bool = False,
    webhook_url: str = "",
    webhook_key: str = "",
    api_key: str = "lab-key",
    mode: IdentityMode = IdentityMode.RFC9440,
    declarations_url: str = "",
    listen: str = "",
    identities: Identities | None = None,
) -> Iterator[RealServer]:
    """NanoMDM 0.9.0 on loopback. For pgsql give the `dsn` of a database made by `Cluster.nanomdm_database`.

    identities: of devices that it knows already, from a server that ended.
    """
    words = [str(_go_binary("nanomdm", "NanoMDM 0.9.0")), "-api", api_key, "-storage", storage, "-storage-dsn", dsn]
    words += ["-storage-options", "delete=1"] if delete else []
    words += ["-webhook-hmac-key", webhook_key] if webhook_key else []
    words += ["-dm", f"{declarations_url}/"] if declarations_url else []
    with _running(words, api_key, webhook_url, mode, listen, identities) as server:
        yield server


@contextmanager
def kmfddm(
    *, webhook_url: str = "", webhook_key: str = "", api_key: str = "lab-key", declarations_key: str = "ddm-key"
) -> Iterator[DeclaringServer]:
    """KMFDDM 0.8.3 on loopback, in memory, behind a NanoMDM."""
    address, before = (f"127.0.0.1:{free_port()}" for _ in range(2))
    words = [str(_go_binary("kmfddm", "KMFDDM 0.8.3")), "-api", declarations_key, "-storage", "inmem"]
    words += ["-listen", address, "-enqueue", f"http://{before}/v1/enqueue/", "-enqueue-key", api_key]
    with (
        _process(words, address) as (process, log),
        nanomdm(
            webhook_url=webhook_url,
            webhook_key=webhook_key,
            api_key=api_key,
            declarations_url=f"http://{address}",
            listen=before,
        ) as server,
    ):
        yield DeclaringServer(
            url=f"http://{address}", api_key=declarations_key, process=process, log=log, nanomdm=server
        )


@contextmanager
def nanohub(
    *,
    webhook_url: str = "",
    api_key: str = "lab-key",
    mode: IdentityMode = IdentityMode.RFC9440,
    shards: bool = False,
) -> Iterator[RealServer]:
    """NanoHUB 0.2.0 on loopback, in memory. shards: it declares to each device which hundredth it is of."""
    words = [str(_go_binary("nanohub", "NanoHUB 0.2.0")), "-api-key", api_key, "-storage", "inmem"]
    words += ["-dmshard"] if shards else []
    with _running(words, api_key, webhook_url, mode) as server:
        yield server


@contextmanager
def _running(
    words: list[str],
    api_key: str,
    webhook_url: str,
    mode: IdentityMode,
    listen: str = "",
    identities: Identities | None = None,
) -> Iterator[RealServer]:
    """The program, with the flags that NanoMDM and NanoHUB have in common."""
    with tempfile.TemporaryDirectory(prefix="osupdate-kit-") as folder:
        identities = identities or Identities(mode)
        address = listen or f"127.0.0.1:{free_port()}"
        words = [*words, "-listen", address, "-ca", str(identities.write_ca(Path(folder) / "ca.pem"))]
        words += ["-cert-header", IDENTITY_HEADER] if mode is not IdentityMode.SIGNATURE else []
        words += ["-webhook-url", webhook_url] if webhook_url else []
        with _process(words, address) as (process, log):
            yield RealServer(url=f"http://{address}", api_key=api_key, identities=identities, process=process, log=log)


@contextmanager
def _process(
    words: list[str], address: str, user: int | None = None
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """The program, once it listens, and its log."""
    with tempfile.TemporaryDirectory(prefix="osupdate-kit-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(words, stdout=output, stderr=output, user=user)
        try:
            _await_port(address, process, log)
            yield process, log
        finally:
            process.terminate()
            process.wait(20)


def _await_port(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    host, _, port = address.partition(":")
    pause = threading.Event()
    for _ in range(int(START_SECONDS / 0.02)):
        if process.poll() is not None:
            pytest.fail(f"the server ended at once: {log.read_text()[-2000:]}")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            pause.wait(0.02)
        else:
            return
    pytest.fail(f"nothing listens at {address} after {START_SECONDS} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running PostgreSQL of our own; `url()` names a fresh database."""

    binaries: Path
    port: int
    _numbers: "count[int]" = field(default_factory=count)

    def psql(self, database: str, *words: str) -> str:
        command = [str(self.binaries / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-qAtX"]
        command += ["-v", "ON_ERROR_STOP=1", database, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def database(self) -> str:
        """Make a database; its name."""
        name = f"db{next(self._numbers)}"
        self.psql("postgres", "-c", f"CREATE DATABASE {name}")
        return name

    def url(self, driver: str = "postgresql+psycopg") -> str:
        """A fresh database as an SQLAlchemy URL."""
        return f"{driver}://postgres@127.0.0.1:{self.port}/{self.database()}"

    def nanomdm_database(self) -> str:
        """A fresh database with NanoMDM's schema; its DSN."""
        name = self.database()
        self.psql(name, "-f", str(nanomdm_schema()))
        return f"postgres://postgres@127.0.0.1:{self.port}/{name}?sslmode=disable"


@contextmanager
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL cluster in a temporary folder, on loopback, as an unprivileged user where we are root."""
    binaries = _postgres_binaries()
    user = _unprivileged("postgres")
    with tempfile.TemporaryDirectory(prefix="osupdate-kit-pg-") as folder:
        if user is not None:
            os.chown(folder, user, -1)
        data, port = Path(folder) / "data", free_port()

        def run(*words: str) -> None:
            done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, user=user, cwd=folder)
            assert done.returncode == 0, done.stderr.decode()

        run(str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        control = str(binaries / "pg_ctl")
        run(control, "-D", str(data), "-w", "-l", str(Path(folder) / "log"), "-o", options, "start")
        try:
            yield Cluster(binaries=binaries, port=port)
        finally:
            run(control, "-D", str(data), "-w", "-m", "immediate", "stop")


def _postgres_binaries() -> Path:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = shutil.which("initdb")
    folders = [*versions, Path(found).resolve().parent] if found else versions
    programs = ("initdb", "pg_ctl", "postgres", "psql")
    whole = [folder for folder in folders if all((folder / program).exists() for program in programs)]
    return whole[0] if whole else missing("PostgreSQL (initdb, pg_ctl, psql)")


def _unprivileged(name: str) -> int | None:
    """Databases refuse root: the id of a user to run one as, if we are root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return names.get(name, names["nobody"])


@dataclass(frozen=True, slots=True, kw_only=True)
class MariaDB:
    """A running MariaDB of our own, which speaks MySQL's protocol."""

    socket: Path
    port: int
    _numbers: "count[int]" = field(default_factory=count)

    def sql(self, statements: str, database: str = "") -> str:
        words = ["mariadb", f"--socket={self.socket}", "--user=root", "--batch", "--skip-column-names"]
        words += [database] if database else []
        done = subprocess.run(words, input=statements, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def nanomdm_database(self) -> str:
        """A fresh database with NanoMDM's schema; its name."""
        name = f"db{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self.sql(nanomdm_schema("mysql").read_text(), name)
        return name


@contextmanager
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB in a temporary folder, on loopback."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    program, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if program is None or install is None:
        missing("MariaDB (mariadbd, mariadb-install-db)")
    user = _unprivileged("mysql")
    with tempfile.TemporaryDirectory(prefix="osupdate-kit-maria-") as folder:
        if user is not None:
            os.chown(folder, user, -1)
        data, port, socket_ = Path(folder) / "data", free_port(), Path(folder) / "socket"
        common = ["--no-defaults", f"--datadir={data}"]
        words = [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
        done = subprocess.run(words, capture_output=True, user=user, cwd=folder)
        assert done.returncode == 0, done.stderr.decode()
        words = [program, *common, f"--socket={socket_}", f"--port={port}", "--bind-address=127.0.0.1"]
        with _process(words, f"127.0.0.1:{port}", user):
            yield MariaDB(socket=socket_, port=port)

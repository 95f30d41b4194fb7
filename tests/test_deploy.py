"""The files of `deploy/`, as their own programs judge them: systemd, hadolint, nginx, Caddy, PostgreSQL."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.lab.http import Call, Loopback
from osupdate_kit.lab.server import Response
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.service.verify import verify
from osupdate_kit.settings import ReceiverSettings
from osupdate_kit.stores.ledger import Ledger
from osupdate_kit.stores.upgrade import upgrade
from tests.paths import ROOT
from tests.real import Cluster, free_port, missing, postgres
from tests.test_docs import PAGES, fenced, parse

DEPLOY = ROOT / "deploy"
NAME = "kit.example.org"


def program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:{Path(sys.executable).parent}") or missing(name)


def check(*words: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stdout + done.stderr)
    return done.stdout + done.stderr


# --- systemd ---


@pytest.mark.real_server
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With our own program in the place of the one that is installed elsewhere, which systemd looks for."""
    unit = tmp_path / "osupdate-kit.service"
    text = (DEPLOY / unit.name).read_text()
    (start,) = re.findall(r"^ExecStart=(\S+) (.*)$", text, re.MULTILINE)
    unit.write_text(text.replace(start[0], str(Path(sys.executable).with_name("osupdate-kit"))))
    assert check(program("systemd-analyze"), "verify", str(unit)).strip() == ""
    assert start[0] == "/opt/osupdate-kit/bin/osupdate-kit"
    parse(shlex.split(start[1]))


@pytest.mark.real_server
def test_the_unit_leaves_the_service_little_to_do_harm_with() -> None:
    unit = str(DEPLOY / "osupdate-kit.service")
    told = check(program("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert "OK" in told.splitlines()[-1]


# --- container ---


@pytest.mark.real_server
def test_hadolint_finds_nothing_in_the_container_file() -> None:
    assert check(program("hadolint"), "--strict-labels", str(DEPLOY / "Containerfile")).strip() == ""


def test_what_the_container_copies_is_there() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for word in line.split()[:-1]]
    assert {"pyproject.toml", "osupdate_kit", "data", "notebooks"} <= set(copied)
    assert not [word for word in copied if not (ROOT / word).exists()]
    assert f"EXPOSE {ReceiverSettings().port}" in text


# --- proxies ---


class Pair(NamedTuple):
    certificate: Path
    key: Path


class Authority:
    """Signs certificates for a test."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        own = self._built(self._name, self._key.public_key()).add_extension(constraint, critical=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _built(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))

    def pair(self, name: str, *, server: bool = False) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._built(subject, key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair


class Place(NamedTuple):
    """Ports and certificates of a test, and the calls that came to the receiver's place."""

    folder: Path
    receiver: int
    tls: int
    beside: int
    public: Authority
    clients: Authority
    server: Pair
    lobby: Pair
    came: list[Call]

    def put(self, text: str) -> str:
        """The example with this test's paths, ports and address."""
        for shown, here in (
            ("tls/kit.pem", self.server.certificate), ("tls/kit.key", self.server.key),
            ("tls/mdm-ca.pem", self.clients.path),
            ("tls/lobby.pem", self.lobby.certificate), ("tls/lobby.key", self.lobby.key),
        ):  # fmt: skip
            text = re.sub(rf"/etc/(nginx|caddy)/{re.escape(shown)}", str(here), text)
        text = text.replace("/etc/ssl/certs/ca-certificates.crt", str(self.public.path))
        text = text.replace("listen 127.0.0.1:8077", f"listen 127.0.0.1:{self.beside}")
        text = text.replace("127.0.0.1:8077", f"127.0.0.1:{self.receiver}")
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{self.tls} ssl").replace(
            "    listen [::]:443 ssl;\n", ""
        )
        to = f"https://127.0.0.1:{self.tls}"
        return text.replace(
            f"https://{NAME};", f"{to};\n        proxy_ssl_name {NAME};\n        proxy_set_header Host {NAME};"
        )

    def post(self, path: str, *, pair: Pair | None = None, body: bytes = b"{}") -> int:
        """Through TLS, with this certificate or none; the status."""
        words = [
            "curl",
            "--http1.1",
            "--silent",
            "--show-error",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ]
        words += ["--cacert", str(self.public.path), "--resolve", f"{NAME}:{self.tls}:127.0.0.1"]
        words += ["--cert", str(pair.certificate), "--key", str(pair.key)] if pair else []
        words += ["--header", "X-Hmac-Signature: untouched", "--data-binary", "@-", f"https://{NAME}:{self.tls}{path}"]
        done = subprocess.run([program("curl"), *words[1:]], input=body, capture_output=True)
        return int(done.stdout or b"0")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Place]:
    public, clients = Authority(tmp_path, "public"), Authority(tmp_path, "mdm-ca")
    came: list[Call] = []

    def answer(call: Call) -> Response:
        came.append(call)
        return Response(status=200, headers={}, body=b"")

    with Loopback(answer) as receiver:
        yield Place(
            tmp_path, int(receiver.url.rpartition(":")[2]), free_port(), free_port(), public, clients,
            public.pair(NAME, server=True), clients.pair("lobby"), came,
        )  # fmt: skip


def nginx(there: Place) -> list[str]:
    """Both examples in one nginx, of which the first stands before the receiver and the second beside a NanoHUB."""
    sites = "\n".join(there.put((DEPLOY / name).read_text()) for name in ("nginx.conf", "nginx-beside-nanohub.conf"))
    folders = [f"{kind}_temp_path {there.folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    user = "user root;" if os.geteuid() == 0 else ""
    whole = f"{user} daemon off; pid {there.folder}/pid; error_log stderr; events {{}}\n"
    whole += f"http {{ access_log off; {' '.join(folders)}\n{sites}\n}}\n"
    path = there.folder / "whole.conf"
    path.write_text(whole)
    return [program("nginx"), "-p", str(there.folder), "-e", "stderr", "-c", str(path)]


def caddy(there: Place) -> list[str]:
    path = there.folder / "Caddyfile"
    text = there.put((DEPLOY / "Caddyfile").read_text()).replace(f"{NAME} {{", f"{NAME}:{there.tls} {{", 1)
    path.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(path)]


@contextmanager
def running(words: list[str], *ports: int) -> Iterator[None]:
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _await(process, ports)
            yield
        finally:
            process.terminate()


def _await(process: "subprocess.Popen[bytes]", ports: tuple[int, ...]) -> None:
    pause = threading.Event()
    for _ in range(500):
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.fail(process.stderr.read().decode())
        try:
            for port in ports:
                requests.get(f"http://127.0.0.1:{port}/", timeout=1)
        except requests.RequestException as error:
            if "refused" not in str(error):
                return  # it answers, though not in plain HTTP
            pause.wait(0.02)
        else:
            return
    pytest.fail("the proxy does not listen")


@pytest.mark.real_server
def test_nginx_takes_its_examples(there: Place) -> None:
    assert "test is successful" in check(*nginx(there), "-t")


@pytest.mark.real_server
def test_caddy_takes_its_example(there: Place) -> None:
    words = caddy(there)
    check(words[0], "validate", *words[2:], cwd=there.folder)


@pytest.mark.real_server
@pytest.mark.parametrize("proxy", [nginx, caddy])
def test_a_proxy_lets_in_who_may_come(there: Place, proxy: Callable[[Place], list[str]]) -> None:
    stranger = Authority(there.folder, "strangers").pair("lobby2")
    other = there.clients.pair("lobby.evil")
    with running(proxy(there), there.tls):
        assert there.post("/webhook/school", body=b'{"topic": 1}') == 200
        assert there.post("/webhook/lobby", pair=there.lobby) == 200
        came = [(call.path, call.body, call.headers.get("X-Hmac-Signature")) for call in there.came]
        assert came == [("/webhook/school", b'{"topic": 1}', "untouched"), ("/webhook/lobby", b"{}", "untouched")]
        refused = [there.post("/webhook/lobby", pair=pair) for pair in (None, stranger, other)]
        assert not {status for status in refused if status == 200}
        assert there.post("/health") == 404
        assert len(there.came) == 2
        assert there.post("/webhook/school", body=b"x" * (2 << 20)) in (413, 502, 0)  # Caddy cuts the call off


@pytest.mark.real_server
def test_the_proxy_beside_a_nanohub_shows_the_certificate_for_it(there: Place) -> None:
    with running(nginx(there), there.beside):
        answer = requests.post(f"http://127.0.0.1:{there.beside}/webhook/lobby", data=b"{}", timeout=10)
        assert answer.status_code == 200
        assert requests.post(f"http://127.0.0.1:{there.beside}/webhook/school", timeout=10).status_code == 404
    assert [call.path for call in there.came] == ["/webhook/lobby"]


# --- PostgreSQL ---


def of_tab(heading: str, tab: str) -> list[str]:
    """The commands of a page's tab, the first after the heading."""
    after = PAGES["deploy.md"].split(f"\n{heading}", 1)[1].split(f'=== "{tab}"\n', 1)[1]
    inside = re.split(r"^(?=\S)", after, maxsplit=1, flags=re.MULTILINE)[0]
    return [line for block in fenced(inside, "bash") for line in block.splitlines()]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with postgres() as found:
        yield found


@pytest.mark.real_server
def test_a_team_s_store_is_made_dumped_and_restored_by_the_pages_own_commands(cluster: Cluster, tmp_path: Path) -> None:
    cluster.psql("postgres", "-f", str(DEPLOY / "postgresql.sql"))
    server = f"127.0.0.1:{cluster.port}"
    url = f"postgresql://osupdate@{server}/osupdate"
    upgrade(url)
    parts = makeup("school")
    specs = make_fleet(parts, 30, 3)
    rehearsal = Rehearsal.of(parts, specs, url)
    kit = rehearsal.kit
    kit.sync(str(write_list(specs, tmp_path / "fleet.csv")), SERVER)
    rehearsal.run(0.5)
    rollout = kit.start(kit.plan(kit.select('platform == "iPadOS"'), target="26.6.1", allow_major=True))
    rehearsal.run(0.5)
    status = rollout.status()
    kit.close()

    with psycopg.connect(f"postgresql://osupdate_reader@{server}/osupdate") as reader:
        assert reader.execute("SELECT count(*) FROM journey").fetchone() == (status.selected,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("UPDATE rollouts SET status = 'cancelled'")

    environment = os.environ | {
        "PATH": f"{cluster.binaries}:{os.environ['PATH']}", "PGHOST": "127.0.0.1", "PGPORT": str(cluster.port),
        "PGUSER": "postgres",
    }  # fmt: skip
    commands = [*of_tab("## Back-up", "PostgreSQL"), *of_tab("To restore", "PostgreSQL")]
    assert [shlex.split(one)[0] for one in commands] == ["pg_dump", "createdb", "pg_restore"]
    for one in commands:
        done = subprocess.run(shlex.split(one), cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (one, done.stderr)

    restored = f"{url}_restored"
    with closing(Ledger.open(restored)) as ledger:
        assert list(verify(ledger)) == []
        with ledger.read() as tx:
            assert sum(tx.count_states(rollout.id).values()) == status.selected

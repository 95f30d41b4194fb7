"""The pages say what is so: they are built as readers get them, and what they show is run, parsed or compared."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import nbformat
import pytest
from pydantic import BaseModel
from typer.main import get_command

from osupdate_kit.analysis.tables import TABLES
from osupdate_kit.cli import app
from osupdate_kit.lab.fleet import make_fleet, makeup
from osupdate_kit.protocol.causes import SIGNALS, FailureClass
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.rehearsal import SERVER, Rehearsal, write_list
from osupdate_kit.rollout.eligibility import Barrier
from osupdate_kit.rollout.policy import DAY, Cadences
from osupdate_kit.rollout.preflight import ROOMY_GB, SPACE_FACTOR, STALE_DAYS, Finding
from osupdate_kit.rollout.state import ATTENTION, ENDS, State
from osupdate_kit.servers.database import grants
from osupdate_kit.servers.events import MAX_BYTES
from osupdate_kit.service.census import PER_MINUTE
from osupdate_kit.service.keeping import RAW_DAYS
from osupdate_kit.service.loop import TAIL
from osupdate_kit.settings import CONFIG_VARIABLE, ReceiverSettings, ServerSettings, Settings
from osupdate_kit.views.reports.excel import ROWS
from tests.paths import ROOT

DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text("utf-8") for path in sorted(DOCS.glob("*.md"))}
TEXTS = PAGES | {name: (ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md")}
KINDS = {"end": ENDS, "attention": ATTENTION}
NOWHERE = "http://127.0.0.1:9"  # a proxy that nobody is: whatever would be fetched fails


def fenced(text: str, language: str) -> list[str]:
    """The code blocks of a language; those in tabs and lists, too."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    under = text.split(f"\n{heading}", 1)[1]
    lines = re.search(r"^\|.*?(?=\n\n|\Z)", under, re.MULTILINE | re.DOTALL)
    assert lines, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[0].splitlines()[2:]]


# --- the pages as readers get them ---


class Read(HTMLParser):
    """Ids, links, and what a browser would load by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        words = {name: value or "" for name, value in attrs}
        self.ids |= {words[name] for name in ("id", "name") if name in words}
        if tag == "a" and "href" in words:
            self.links.append(words["href"])
        elif tag == "link" and words.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(words.get("href", ""))
        self.loaded += [words[name] for name in ("src", "srcset", "poster", "data") if words.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built strictly and without a network; the tutorial's notebook runs against a lab for it."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    environment = os.environ | proxies | {"no_proxy": "127.0.0.1,localhost", "NO_MKDOCS_2_WARNING": "1"}
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def read(site: Path) -> Mapping[str, Read]:
    """Each page, by its address in the site."""
    return {
        f"/{path.relative_to(site).as_posix()}".removesuffix("index.html"): Read(path.read_text("utf-8"))
        for path in site.rglob("*.html")
    }


def test_every_page_is_there(site: Path, read: Mapping[str, Read]) -> None:
    assert {f"/{name.removesuffix('.md')}/" for name in PAGES} - {"/index/"} <= set(read)


def test_every_link_leads_somewhere(site: Path, read: Mapping[str, Read]) -> None:
    broken = []
    for address, page in read.items():
        for link in page.links:
            parts = urlsplit(urljoin(f"https://site{address}", link))
            if parts.netloc != "site" or address == "/404.html":
                continue
            path, anchor = unquote(parts.path), unquote(parts.fragment)
            found = path in read or (site / path.lstrip("/")).is_file()
            if not found or (anchor and anchor not in read[path].ids):
                broken.append(f"{address}: {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(site: Path, read: Mapping[str, Read]) -> None:
    loaded = {(address, link) for address, page in read.items() for link in page.loaded}
    assert loaded
    assert not {one for one in loaded if urlsplit(one[1]).netloc or one[1].startswith("//")}
    for style in site.rglob("*.css"):
        addresses = re.findall(r"url\(['\"]?([^)'\"]+)", style.read_text("utf-8"))
        assert not [one for one in addresses if urlsplit(one).scheme in ("http", "https")], style


def test_every_internal_file_that_a_page_loads_is_there(site: Path, read: Mapping[str, Read]) -> None:
    for address, page in read.items():
        for link in page.loaded:
            parts = urlsplit(urljoin(f"https://site{address}", link))
            if parts.scheme == "https":
                assert (site / unquote(parts.path).lstrip("/")).is_file(), (address, link)


def test_the_tutorial_is_the_notebook_as_it_ran(site: Path) -> None:
    told = (site / "tutorial" / "index.html").read_text("utf-8")
    notebook = nbformat.read(ROOT / "notebooks" / "00_quickstart.ipynb", as_version=4)
    headings = [heading for cell in notebook.cells for heading in re.findall(r"^## (.*)$", cell.source, re.MULTILINE)]
    assert len(headings) > 5
    assert not [heading for heading in headings if f">{escape(heading, quote=False)}<a" not in told]
    assert told.count('class="figure"') >= 2
    assert "devices run 26.6.1" in told


def test_what_is_read_from_the_code_is_there(site: Path) -> None:
    def page(name: str) -> str:
        return (site / name / "index.html").read_text("utf-8")

    assert not [name for name in TABLES if f'id="{name}"' not in page("data")]
    assert not [cause for cause in FailureClass if f"<td><code>{cause.value}</code></td>\n<td>" not in page("causes")]
    for source, word, failure in SIGNALS:
        cells = "".join(f"<td><code>{cell}</code></td>\n" for cell in (source, word, failure.value))
        assert cells in page("causes"), (source, word)
    assert not [finding for finding in Finding if f"<code>{finding.value}</code>" not in page("targets")]
    assert not [barrier for barrier in Barrier if f"<code>{barrier.value}</code>" not in page("states")]
    assert not [words for words in every_command() if f'id="{"-".join(words)}"' not in page("commands")]


# --- commands ---


def every_command(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    command = command or get_command(app)
    for name, one in getattr(command, "commands", {}).items():
        yield from every_command(one, (*words, name))
    if not getattr(command, "commands", {}):
        yield words


def commands(text: str) -> Iterator[str]:
    """Each call of the command in code blocks, and in running text where it is whole."""
    for block in [*fenced(text, "bash"), *fenced(text, "")]:
        for line in block.splitlines():
            yield from (one.strip() for one in re.findall(r"^ *(osupdate-kit .*)$", line))
    prose = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (one for one in re.findall(r"`(osupdate-kit [^`]+)`", prose) if "…" not in one)


CALLS = [(name, call) for name, text in TEXTS.items() for call in commands(text)]


def parse(words: list[str]) -> None:
    """Read the words as the command does, without doing anything. Raises a usage error for what it would refuse."""
    command, name, parent = get_command(app), "osupdate-kit", None
    while True:
        context: Any = command.make_context(name, list(words), parent=parent)
        if not hasattr(command, "resolve_command"):
            return
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        parent = context


@pytest.mark.parametrize(("page", "call"), CALLS, ids=[f"{page}: {call}" for page, call in CALLS])
def test_every_command_is_one(page: str, call: str) -> None:
    words = shlex.split(call, comments=True)[1:]
    parse([word for word in words if word != "&"])


def test_a_wrong_command_is_noticed() -> None:
    for words in (["plan", "make"], ["rollout", "status"], ["demo", "--hours", "3"], ["rollout", "pause", "first"]):
        with pytest.raises(Exception, match=r"(?i)no such|missing|valid"):
            parse(words)


def test_every_command_is_used_somewhere_but_on_the_page_of_commands() -> None:
    told = " ".join(call for page, call in CALLS)
    assert not [words for words in every_command() if f"osupdate-kit {' '.join(words)}" not in told]


def test_every_target_of_make_is_one() -> None:
    shown = "\n".join(block for text in TEXTS.values() for block in [*fenced(text, "bash"), *fenced(text, "")])
    named = set(re.findall(r"\bmake (\w+)", shown))
    assert len(named) > 3
    assert named <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


# --- settings ---


def keys(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if name == "servers":
            yield from keys(ServerSettings, "servers.NAME.")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{name}.")
        else:
            yield f"{before}{name}", field.get_default(call_default_factory=False)


def test_the_settings_are_those_that_there_are() -> None:
    told = {}
    for table in ("At the top", "Servers", "Receiver", "Alerts", "People", "Feeds", "Clock", "Engine"):
        heading = f"## {table}"
        told |= {key.strip("`"): default.strip("`") for key, default, _ in rows(PAGES["settings.md"], heading)}
    known = dict(keys(Settings))
    assert set(told) == set(known)
    shown = {"": "empty", "True": "true", "False": "false", "None": "none", "1.0": "1", "[]": "none"}
    for key, default in known.items():
        if key not in ("store_url", "servers.NAME.url", "clock.start"):
            assert told[key] == shown.get(str(default), str(default)), key


@pytest.mark.parametrize(
    ("page", "toml"), [(name, block) for name, text in TEXTS.items() for block in fenced(text, "toml")]
)
def test_settings_that_are_shown_can_be_loaded(page: str, toml: str, tmp_path: Path) -> None:
    (tmp_path / "shown.toml").write_text(toml)
    assert Settings.load(tmp_path / "shown.toml").servers


def test_variables_that_are_named_mean_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    named = set(re.findall(r"OSUPDATE_KIT_[A-Z_]+", "\n".join(TEXTS.values())))
    known = {CONFIG_VARIABLE, "OSUPDATE_KIT_REQUIRE_ALL", "OSUPDATE_KIT_"}
    known |= {f"OSUPDATE_KIT_{key.replace('.', '__')}".upper().replace("NAME", "SCHOOL") for key, _ in keys(Settings)}
    assert named <= known


# --- states ---


def test_the_states_are_the_closed_list() -> None:
    told = {cells[0].strip("`"): cells[1] for cells in rows(PAGES["states.md"], "## States")}
    assert set(told) == {state.value for state in State}
    for state in State:
        kind = next((kind for kind, states in KINDS.items() if state in states), "")
        assert told[state] == kind if kind else told[state] in ("active", "waiting"), state


def test_promises_name_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", "\n".join(TEXTS.values()))
    assert len(named) > 10
    for path, test in named:
        assert (ROOT / path).is_file(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text("utf-8"), (path, test)


def test_every_promise_is_in_the_table() -> None:
    told = [cells[0] for cells in rows(PAGES["trust.md"], "## Promises")]
    assert told == [f"I{number}" for number in range(1, 13)]


# --- Python ---


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a rollout under way, and settings that lead to it."""
    parts, url = makeup("school"), f"sqlite:///{tmp_path / 'store.db'}"
    specs = make_fleet(parts, 40, 2)
    rehearsal = Rehearsal.of(parts, specs, url)
    rehearsal.kit.sync(str(write_list(specs, tmp_path / "fleet.csv")), SERVER)
    rehearsal.run(1)
    chosen = rehearsal.kit.select('platform == "macOS"')
    rehearsal.kit.start(rehearsal.kit.plan(chosen, target="26.6.2", allow_major=True))
    rehearsal.run(0.5)
    rehearsal.kit.close()
    (tmp_path / "a.key").touch(mode=0o600)
    (tmp_path / "a.key").write_text("key")
    path = tmp_path / "osupdate-kit.toml"
    path.write_text(f'store_url = "{url}"\n[servers.{SERVER}]\nurl = "{NOWHERE}"\nkey_file = "a.key"\n')
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    monkeypatch.chdir(tmp_path)
    return path


def test_the_python_on_the_pages_runs(settings: Path) -> None:
    names: dict[str, Any] = {}
    for block in fenced(PAGES["notebooks.md"], "python"):
        exec(compile(block, "notebooks.md", "exec"), names)
    assert len(list(settings.parent.glob("reports/*.html"))) == 1


def test_python_stands_only_where_it_is_run() -> None:
    assert {name for name, text in TEXTS.items() if fenced(text, "python")} == {"notebooks.md"}


# --- words ---


def test_figures_that_are_named_are_those_of_the_code() -> None:
    patience = Cadences()
    for page, words in {
        "real-server.md": f"{PER_MINUTE:,} a minute",
        "trust.md": f"kept for {RAW_DAYS} days",
        "rollout.md": f"For {'a week' if TAIL == 7 * DAY else TAIL} more",
        "settings.md": f"`receiver.port` | {ReceiverSettings().port}",
        "reports.md": f"{ROWS:,}",
    }.items():
        assert words in PAGES[page], (page, words)
    assert f"for {patience.silent_after_hours:g} hours is *silent*" in PAGES["rollout.md"]
    assert f"for {patience.stalled_after_hours:g} hours is *stalled*" in PAGES["rollout.md"]
    assert "older than a week" in PAGES["targets.md"]
    assert STALE_DAYS == 7
    assert "three times its size" in PAGES["targets.md"]
    assert SPACE_FACTOR == 3
    assert f"With {ROOMY_GB[Platform.IOS]} GB free (Macs: {ROOMY_GB[Platform.MACOS]} GB)" in PAGES["targets.md"]
    assert MAX_BYTES == 1 << 20
    assert "at most 1 MiB" in PAGES["trust.md"]


def test_links_between_the_files_of_the_repository_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#\w+)?\)", TEXTS[name]):
            assert (ROOT / link).exists(), (name, link)


def test_messages_that_are_explained_are_said_by_the_code() -> None:
    """What the page of troubles quotes stands in the package, so that a search for a message finds it."""
    code = " ".join(path.read_text("utf-8") for path in (ROOT / "osupdate_kit").rglob("*.py"))
    spoken = re.sub(r"\{[^{}]*\}", "…", re.sub(r'"\s+f?"', "", code))
    quoted = [cells[0].strip("`") for cells in rows(PAGES["troubleshooting.md"], "## The store")]
    quoted += ["No service works on this store yet", "Another service works on this store: standing by."]
    assert not [words for words in quoted if words not in spoken]


def test_the_columns_to_grant_are_those_that_are_read() -> None:
    sql = "\n".join(fenced(PAGES["real-server.md"], "sql"))
    assert [line for line in sql.splitlines() if line.startswith("GRANT")] == grants()

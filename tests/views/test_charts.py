"""Charts: titles that cannot be false, sums that hold, text that stays text, colours from the tokens alone."""

import html
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osupdate_kit.analysis.scope import Subject
from osupdate_kit.rollout.state import State
from osupdate_kit.views import charts
from osupdate_kit.views.charts import Chart
from osupdate_kit.views.charts.canvas import round_ticks, spread
from osupdate_kit.views.charts.words import share
from osupdate_kit.views.template import THEMES, Theme, for_print, template
from osupdate_kit.views.tokens import tokens
from tests.views import frames

GOLDEN = Path(__file__).parents[1] / "golden" / "charts.json"
HOSTILE = (
    '<img src=x onerror="alert(1)"><a href="https://evil.example">=HYPERLINK(1)</a>\u202egnp.exe\x00 ' + "x" * 4_000
)

subjects = st.integers(1, 5_000)


def gallery(selected: int = 5_000) -> Iterator[Chart]:
    """Every chart of a rollout under way."""
    subject = frames.subject(selected, known_later=4_000_000)
    over_time = frames.progress(subject)
    now = frames.shown(over_time)
    yield charts.states_over_time(over_time, now, subject)
    yield charts.done_over_time(over_time, subject, goal=0.95)
    yield charts.funnel(frames.stages(now), subject)
    yield charts.adoption(frames.versions(over_time, subject), subject)
    yield charts.deferrals(frames.put_off((1, 4, 240), (2, 3, 160), (5, 0, 29), presumed=126), subject)
    yield charts.next_installs(frames.nights(), subject)
    yield charts.failures(frames.causes(("space", "", 49), ("unknown", HOSTILE, 36), ("", "", 15)), subject)
    yield charts.failures_by(by(("Mac14,2", 58, 1180), (HOSTILE, 25, 1433), ("", 2, 26)), subject, dimension="model")
    yield charts.time_to_update(frames.curves(iOS=3000, macOS=600, tvOS=26), subject, by="platform")
    yield charts.states_by_instrument(instruments(now), subject)
    yield charts.deadlines(dues(overdue=selected // 50, within=selected // 4, ended=selected // 3), subject)
    yield charts.reached_by_instrument(reached(subject, command=selected // 2, declaration=selected // 3), subject)
    yield charts.device_strips(*strips((HOSTILE, "held downloading done"), ("Lab Mac", "barred")), frames.subject(2))


def by(*rows: tuple[str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["group", "failed", "tried"])


def instruments(now: pd.DataFrame) -> pd.DataFrame:
    """A third of each state by command, the rest by declaration; barred ones by neither."""
    parts = []
    for state, devices in now.itertuples(index=False):
        if state == "barred":
            parts.append(("none", state, devices))
        else:
            parts += [("command", state, devices // 3), ("declaration", state, devices - devices // 3)]
    return pd.DataFrame(parts, columns=["instrument", "state", "devices"])


def dues(*, overdue: int = 0, within: int = 0, ended: int = 0) -> pd.DataFrame:
    at = pd.Timestamp(frames.subject().as_of, unit="us", tz="UTC")
    rows = [("overdue", overdue, at - pd.Timedelta(hours=30)), ("within a day", within, at + pd.Timedelta(hours=3)),
            ("at an end", ended, pd.NaT)]  # fmt: skip
    frame = pd.DataFrame([row for row in rows if row[1]], columns=["due", "devices", "next_at"])
    return frame.assign(next_at=pd.to_datetime(frame.next_at, utc=True).astype("datetime64[us, UTC]"))


def reached(subject: Subject, **sizes: int) -> pd.DataFrame:
    at = pd.date_range(pd.Timestamp(subject.started_at, unit="us", tz="UTC"), periods=20, freq="8h")
    parts = [
        pd.DataFrame({"at": at, "group": group, "devices": np.linspace(0, of // 2, 20).astype(int), "of": of})
        for group, of in sizes.items()
    ]
    return pd.concat(parts, ignore_index=True)


def strips(*walks: tuple[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    spells = frames.strips(*walks)
    last = spells.drop_duplicates("enrollment_id", keep="last")
    return spells, last[["server", "enrollment_id", "state"]]


@pytest.fixture(scope="module", params=[chart.name for chart in gallery(60)])
def chart(request: pytest.FixtureRequest) -> Chart:
    return next(one for one in gallery() if one.name == request.param)


# --- words ---


def at_one_instant(counts: dict[str, int]) -> tuple[pd.DataFrame, pd.DataFrame, Subject]:
    subject = frames.subject(sum(counts.values()))
    at = pd.to_datetime([subject.started_at, subject.as_of], unit="us", utc=True)
    rows = [(instant, state, number) for instant in at for state, number in counts.items()]
    now = pd.DataFrame({"state": list(counts), "devices": list(counts.values())})
    return pd.DataFrame(rows, columns=["at", "state", "devices"]), now, subject


@pytest.mark.parametrize(
    ("counts", "title"),
    [
        ({}, "No device was selected"),
        ({"done": 1}, "The one device is done"),
        ({"deferred": 1}, "The one device is deferred"),
        ({"done": 40}, "All 40 devices are done"),
        ({"barred": 7}, "All 7 devices are barred"),
        ({"done": 40, "barred": 2}, "All 40 devices that can update are done; 2 are barred"),
        ({"done": 1, "barred": 2}, "All 1 device that can update is done; 2 are barred"),
        ({"held": 40}, "None of 40 devices is done"),
        ({"held": 40, "failed": 2, "silent": 1}, "None of 43 devices is done; 2 failed and 1 is silent"),
        ({"done": 1, "held": 9}, "1 of 10 devices is done"),
        (
            {"done": 3_673, "failed": 139, "silent": 63, "held": 1_125},
            "3,673 of 5,000 devices are done; 139 failed and 63 are silent",
        ),
    ],
)
def test_the_title_over_the_states_is_true_in_every_case(counts: dict[str, int], title: str) -> None:
    assert charts.states_over_time(*at_one_instant(counts)).title == title


@pytest.mark.parametrize(
    ("draw", "title"),
    [
        (lambda s: charts.deferrals(frames.put_off(), s), "No device is deferred"),
        (lambda s: charts.deferrals(frames.put_off((5, 0, 1)), s), "1 device has no deferral left: it installs next"),
        (
            lambda s: charts.deferrals(frames.put_off((5, 0, 29), (1, 4, 9)), s),
            "29 devices have no deferral left: they install next",
        ),
        (
            lambda s: charts.deferrals(frames.put_off(presumed=1), s),
            "1 device presumably puts the update off; none tells a count",
        ),
        (lambda s: charts.next_installs(frames.nights(0, 0), s), "No device is deferred"),
        (lambda s: charts.next_installs(frames.nights(3, 3), s), "3 devices deferred, none with a time to come"),
        (lambda s: charts.failures(frames.causes(), s), "No device has failed"),
        (
            lambda s: charts.failures(frames.causes(("space", "", 3)), s),
            "3 devices failed, for one cause: the device has too little free space",
        ),
        (
            lambda s: charts.failures(frames.causes(("space", "", 8), ("power", "", 2)), s),
            "One cause makes 8 of 10 failures: the device has too little free space",
        ),
        (
            lambda s: charts.failures(
                frames.causes(("space", "", 49), ("power", "", 36), ("user", "", 30), ("busy", "", 24)), s
            ),
            "Two of 4 causes make 61\u202f% of 139 failures",
        ),
        (lambda s: charts.failures_by(by(("A", 0, 9)), s, dimension="site"), "No device has failed"),
        (
            lambda s: charts.failures_by(by(("A", 30, 100), ("B", 10, 100)), s, dimension="site"),
            "A fails 3.0 times as often as the others: 30 of 100 tried",
        ),
        (
            lambda s: charts.failures_by(by(("A", 3, 9), ("B", 1, 9)), s, dimension="site"),
            "Most failures by site: A, 3 of 9 tried",
        ),
        (lambda s: charts.failures_by(by(("A", 3, 9)), s, dimension="site"), "3 of 9 tried failed, all of one site: A"),
        (
            lambda s: charts.time_to_update(frames.curves(all=50, hours=0), s),
            "No device is done 0 hours after the start",
        ),
    ],
)
def test_titles_say_what_the_numbers_say(draw: Callable[[Subject], Chart], title: str) -> None:
    assert draw(frames.subject(5_000)).title == title


@given(part=st.integers(0, 10**6), rest=st.integers(0, 10**6))
def test_something_is_never_nothing_and_nearly_all_never_all(part: int, rest: int) -> None:
    text = share(part, part + rest)
    assert (text == "0\u202f%") == (part == 0)
    assert (text == "100\u202f%") == (rest == 0 and part > 0)


# --- sums ---


def test_the_note_adds_up_and_says_when(chart: Chart) -> None:
    assert re.search(r"as of \w{3} \d{2} \w{3} 2026, \d\d:\d\d UTC", chart.note)
    if match := re.search(r"([\d,]+) (?:selected|deferred) = (.*)", chart.note):
        whole = int(match[1].replace(",", ""))
        assert sum(int(number.replace(",", "")) for number in re.findall(r"(?:^| \+ )([\d,]+) ", match[2])) == whole
    assert chart.title in chart.alternative
    assert len(chart.table)


states = st.dictionaries(st.sampled_from([state.value for state in State]), st.integers(0, 3_000), min_size=1)


@settings(deadline=None, max_examples=60)
@given(counts=states)
def test_areas_column_labels_and_sum_agree(counts: dict[str, int]) -> None:
    over_time, now, subject = at_one_instant(counts)
    if not subject.selected:
        return
    made = charts.states_over_time(over_time, now, subject)
    figure = made.figure()
    for group in ("states", "now"):
        bands = [trace for trace in figure.data if trace.stackgroup == group]
        assert sum(trace.y[-1] for trace in bands) == subject.selected
        order = [trace.name for trace in bands]
        assert order == [tokens()["states"][s]["label"] for s in tokens()["stack_order"] if counts.get(s)]
    labelled = {n.text for n in figure.layout.annotations}
    for state, number in counts.items():
        named = f"{tokens()['states'][state]['label']} <b>{number:,}</b>"
        assert (
            not number or named in labelled or f"{number:,} {tokens()['states'][state]['label'].lower()}" in made.note
        )


# --- looks ---


@pytest.mark.parametrize("theme", THEMES)
def test_colours_are_those_of_the_tokens(chart: Chart, theme: Theme) -> None:
    look = tokens()["themes"][theme]
    known = set(re.findall(r"#[0-9a-f]{6}", json.dumps(look))) | {"#ffffff", "#15181e"}
    figure = chart.figure(theme).to_plotly_json()
    figure["layout"].pop("template")
    found = set(re.findall(r"#[0-9a-fA-F]{6}", json.dumps(figure, default=str)))
    assert found <= known, found - known


def test_every_variant_of_a_figure_holds_what_its_place_needs(chart: Chart) -> None:
    whole, bare, printed = chart.figure(), chart.figure(bare=True), chart.figure(print=True)
    assert html.escape(chart.title.split()[0]) in whole.layout.title.text
    assert whole.layout.showlegend is None
    for figure in (bare, printed):
        assert figure.layout.title.text is None
        assert not any(a.text and "as of" in a.text for a in figure.layout.annotations)
    assert printed.layout.template.layout.paper_bgcolor == tokens()["themes"]["light"]["surface"]["surface"]
    assert not any(getattr(trace, "hovertemplate", None) for trace in printed.data)


def test_text_from_devices_stays_text(chart: Chart) -> None:
    """Neither markup nor a link, neither endless nor turning the direction of the line, wherever plotly reads text."""
    figure = chart.figure()
    texts = list(strings(figure.to_plotly_json()["data"])) + list(strings(figure.layout.to_plotly_json()))
    for text in texts:
        assert not re.search(r"<(?!/?(b|br|span|extra)\b)[a-z/!]", text, re.I), text
        assert "\u202e" not in text
        assert "\x00" not in text
        assert "x" * 100 not in text


def test_the_picture_does_not_grow_with_the_fleet() -> None:
    sizes = []
    for selected in (5_000, 5_000_000):
        at = pd.date_range("2026-11-23", periods=200, freq="h", tz="UTC", unit="us")
        rows = [(instant, state.value, selected // 20) for instant in at for state in State]
        frame = pd.DataFrame(rows, columns=["at", "state", "devices"])
        sizes.append(len(charts.states_over_time(frame, None, frames.subject(selected)).figure().to_json()))
    assert sizes[1] <= 1.1 * sizes[0]


def test_the_templates_hold_the_type_and_the_ground() -> None:
    for theme in THEMES:
        layout = template(theme).layout
        assert layout.font.family == tokens()["type"]["family"]
        assert layout.plot_bgcolor == tokens()["themes"][theme]["surface"]["surface"]


def test_hatches_get_a_plain_ground_for_print() -> None:
    svg = (
        '<svg><pattern id="p1" width="7"><rect width="7" height="7" fill="#b07bd5"/><path d="M0"/></pattern>'
        """<path class="js-fill" d="M0,0" style="fill: url('#p1'); fill-opacity: 1;"/></svg>"""
    )
    printed = for_print(svg)
    assert printed.count("M0,0") == 2
    assert printed.index("fill: #b07bd5") < printed.index("url('#p1')")


@given(st.lists(st.floats(0, 100), max_size=12).map(sorted))
def test_labels_are_moved_apart(wanted: list[float]) -> None:
    placed = spread(wanted, 8, 0, 100)
    assert placed == sorted(placed)
    assert all(b - a >= 8 - 1e-9 or a == 0 for a, b in pairwise(placed))


@given(st.integers(0, 10**7))
def test_axes_have_few_round_ticks(total: int) -> None:
    ticks = round_ticks(total)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 7
    assert ticks[0] == 0
    assert ticks[-1] == total


def test_figures_are_drawn_as_they_were_looked_at() -> None:
    """The figures of the gallery, number by number. After a change that was looked at: write the file anew by
    `python -m tests.views.test_charts`."""
    assert json.loads(GOLDEN.read_text("utf-8")) == outlines()


def outlines() -> dict[str, Any]:
    """What a figure draws, without its looks: few lines, which a person can read in a diff."""
    return {
        chart.name: {"title": chart.title, "note": chart.note, "drawn": drawn(chart.figure())} for chart in gallery(60)
    }


def drawn(figure: go.Figure) -> list[str]:
    lines = []
    for trace in figure.data:
        values = trace.z if trace.type == "heatmap" else trace.x if trace.orientation == "h" else trace.y
        numbers = [round(float(number), 6) for number in np.ravel(np.asarray(values, float))]
        lines.append(f"{trace.type} {trace.name or ''}: {len(numbers)} from {numbers[0]:g} to {numbers[-1]:g}")
    return lines + [str(note.text) for note in figure.layout.annotations if note.text]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key != "template":
                yield from strings(part)
    elif isinstance(value, list | tuple | np.ndarray):
        for part in value:
            yield from strings(part)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_what_is_said_of_deadlines_adds_up_whatever_they_are(overdue: int, within: int, ended: int) -> None:
    made = charts.deadlines(dues(overdue=overdue, within=within, ended=ended), frames.subject())
    total = overdue + within + ended
    assert "of 5,000 selected" in made.note
    if not total:
        assert made.title == "No device goes by declaration"
        return
    assert sum(int(text.replace(",", "")) for text in re.findall(r"[=+] ([\d,]+) ", made.note)) == total
    if overdue:
        assert made.title.startswith(f"{overdue} of {total} by declaration")
    assert ("Next deadline" in made.note) == bool(within)
    assert bool(within) == ("within a day" in made.title)


def test_instruments_are_named_as_people_name_them() -> None:
    subject = frames.subject()
    failed = charts.failures_by(by(("command", 40, 900), ("declaration", 10, 900)), subject, dimension="route")
    assert failed.name == "failures-by-instrument"
    assert failed.title == "by command fails 4.0 times as often as the others: 40 of 900 tried"
    curve = charts.time_to_update(frames.curves(command=300, declaration=600), subject, by="route")
    assert curve.name == "time-to-update-by-instrument"
    assert "by declaration" in " ".join(drawn(curve.figure()))
    causes = frames.causes(("space", "", 49), ("user", "", 36)).assign(declared=[9, 0])
    pareto = charts.failures(causes, subject)
    assert "9 of them by declaration" in pareto.note
    assert list(pareto.table["By declaration"]) == [9, 0]


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(outlines(), indent=1, ensure_ascii=False) + "\n", "utf-8")

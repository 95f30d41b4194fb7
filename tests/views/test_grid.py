"""The grid as Python and a browser's messages drive it: what is shown, picked, barred, told and remembered."""

import json
import threading
from datetime import UTC, datetime

import pandas as pd
import pytest

from osupdate_kit.errors import InventoryError, SelectionError
from osupdate_kit.fleet.devices import DeviceKey
from osupdate_kit.fleet.inventory import Kind, as_row
from osupdate_kit.views.grid import (
    ChoiceFilter,
    DeviceGrid,
    Filters,
    FlagFilter,
    MomentFilter,
    Order,
    RowState,
    TextFilter,
    VersionFilter,
    forget,
)
from osupdate_kit.views.status import STATES
from tests.views.grids import HOSTILE, NOW, SITES, Browser, fleet

AS_OF = datetime(2026, 11, 24, 8, 0, 3, tzinfo=UTC)


def key(number: int) -> DeviceKey:
    return DeviceKey("school", f"00008030-{number:016X}")


def numbers(frame: pd.DataFrame) -> list[int]:
    """Which devices these rows are, in their order."""
    return [int(serial[4:]) for serial in frame["serial"]]


# --- what travels ---


def test_only_the_rows_of_the_window_travel() -> None:
    sizes = {}
    for size in (1_000, 100_000):
        browser = Browser(DeviceGrid(fleet(size)))
        browser.scroll(500)
        assert browser.column("name")[0] == "LAB-0000500" or browser.column("name")[0] in HOSTILE
        assert len(browser.page["marks"]) == 30
        sizes[size] = len(json.dumps(browser.sent))
    assert sizes[100_000] < 1.02 * sizes[1_000]


def test_a_window_is_bounded_whatever_a_browser_asks_for() -> None:
    browser = Browser(DeviceGrid(fleet(1_000)), size=10**9)
    assert len(browser.page["marks"]) == 200
    browser.scroll(-5)
    assert browser.page["start"] == 0
    browser.scroll(10**9)
    assert browser.page["marks"] == []


def test_names_travel_as_the_texts_they_are_and_cut_where_nobody_reads_on() -> None:
    names = Browser(DeviceGrid(fleet(10))).column("name")
    assert names[:3] == list(HOSTILE[:3])
    assert names[3] == HOSTILE[3][:400] + "…"


def test_a_request_that_a_newer_one_overtook_is_not_answered() -> None:
    grid = DeviceGrid(fleet(100))
    browser = Browser(grid)
    held = threading.Event()
    grid._worker.post(lambda: held.wait(10) and None)
    before = len(browser.heard("page"))
    for start in (10, 20, 30):
        content = {"do": "page", "view": "v", "start": start, "size": 5, "request": 1_000 + start}
        browser.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    held.set()
    assert grid.wait()
    assert [page["start"] for page in browser.heard("page")[before:]] == [30]


def test_each_view_has_its_own_window() -> None:
    grid = DeviceGrid(fleet(1_000))
    browser = Browser(grid, size=5)
    browser.do("page", view="w", start=700, size=5, request=1)
    grid.select_all()
    assert {page["view"]: page["start"] for page in browser.heard("page")[-2:]} == {"v": 0, "w": 700}
    browser.do("gone", view="w")
    grid.clear()
    assert browser.heard("page")[-1]["view"] == "v"


def test_unknown_requests_harm_nothing() -> None:
    browser = Browser(DeviceGrid(fleet(10)))
    for act in ({}, {"at": 10**6, "order": 1}, {"column": "nowhere", "parts": {"text": "x"}}):
        for name in ("toggle", "filter", "sort", "launch"):
            browser.do(name, **act)
    assert browser.status["selected"] == 0
    assert browser.status["shown"] == 10


# --- filters ---


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"site": "Lyon"}, lambda at: at // 3 % 4 == 0),
        ({"site": ["Lyon", "Oslo"]}, lambda at: at // 3 % 4 in (0, 3)),
        ({"os_version": ("26.9", "26.10")}, lambda at: at % 4 in (0, 1)),
        ({"os_version": ("26.10", None)}, lambda at: at % 4 == 0),
        ({"os_version": (None, "26")}, lambda at: at % 4 == 2),
        ({"supervised": True}, lambda at: at % 3 == 0),
        ({"supervised": (False, None)}, lambda at: at % 3 != 0),
        ({"free_gb": (1, 2.5)}, lambda at: 10 <= at % 500 <= 25),
        ({"name": "lab-00000"}, lambda at: at % 100 >= 4 and at < 100),
        ({"serial": TextFilter("c02x00000042", whole=True)}, lambda at: at == 42),
        ({"last_seen_at": (None, datetime.fromtimestamp(NOW / 1e6 - 100, UTC))}, lambda at: at >= 100),
        ({"search": "ONERROR"}, lambda at: at % 100 == 0),
        ({"search": "person 11", "site": "Rome"}, lambda at: str(at % 997).startswith("11") and at // 3 % 4 == 1),
    ],
)
def test_a_filter_keeps_what_it_says(asked: dict[str, object], kept: object) -> None:
    grid = DeviceGrid(fleet(1_000))
    grid.filter(**asked)  # type: ignore[arg-type]
    assert numbers(grid.shown) == [at for at in range(1_000) if kept(at)]  # type: ignore[operator]


def test_the_same_filters_come_from_the_browser_and_are_a_value() -> None:
    grid = DeviceGrid(fleet(100))
    browser = Browser(grid)
    browser.do("filter", column="site", parts={"values": ["Rome"]})
    browser.do("filter", column="os_version", parts={"least": "25", "most": "26.9"})
    browser.do("filter", column="supervised", parts={"values": [True, None]})
    browser.do("filter", column="last_seen_at", parts={"since": "2026-11-24", "until": ""})
    browser.do("search", text="c02x")
    browser.do("sort", column="free_gb", more=False)
    browser.do("sort", column="free_gb", more=True)
    browser.do("sort", column="name", more=True)
    wanted = Filters(
        search="c02x",
        columns={
            "site": ChoiceFilter(("Rome",)),
            "os_version": VersionFilter.of("25", "26.9"),
            "supervised": FlagFilter((True, None)),
            "last_seen_at": MomentFilter(datetime(2026, 11, 24, tzinfo=UTC)),
        },
        orders=(Order("free_gb", descending=True), Order("name")),
    )
    assert grid.filters == wanted
    other = DeviceGrid(fleet(100))
    other.filter(wanted)
    assert numbers(other.shown) == numbers(grid.shown) != []
    words = {name: shown["words"] for name, shown in browser.status["filters"].items()}
    assert words == {
        "site": "Rome",
        "os_version": "25 – 26.9",
        "supervised": "yes or unknown",
        "last_seen_at": "≥ 24 Nov",
    }


def test_what_cannot_be_read_is_refused_and_changes_nothing() -> None:
    grid = DeviceGrid(fleet(20))
    browser = Browser(grid)
    browser.do("filter", column="os_version", parts={"least": "newest"})
    browser.do("filter", column="free_gb", parts={"most": "much"})
    assert [message["column"] for message in browser.heard("refused")] == ["os_version", "free_gb"]
    with pytest.raises(SelectionError, match="nowhere"):
        grid.filter(nowhere="x")
    with pytest.raises(SelectionError, match="ChoiceFilter"):
        grid.filter(site=7)
    with pytest.raises(SelectionError, match="nowhere"):
        grid.sort("nowhere")
    assert grid.filters == Filters()
    assert browser.status["shown"] == 20


def test_choices_are_counted_over_what_the_other_filters_keep() -> None:
    frame = fleet(1_000)
    grid = DeviceGrid(frame, kinds={"owner": Kind.CHOICE})
    browser = Browser(grid)
    grid.filter(site="Lyon", platform="macOS")
    browser.do("choices", column="site", text="", view="v")
    told = {value: devices for value, _, devices in browser.heard("choices")[-1]["choices"]}
    assert told == frame[frame["platform"] == "macOS"]["site"].value_counts().to_dict()
    grid.filter(Filters())
    browser.do("choices", column="owner", text="person 1", view="v")
    answer = browser.heard("choices")[-1]
    assert len(answer["choices"]) + answer["more"] == len({at % 997 for at in range(1_000) if str(at % 997)[0] == "1"})


def test_an_empty_answer_says_which_filter_to_lift_and_what_that_shows() -> None:
    grid = DeviceGrid(fleet(1_000))
    browser = Browser(grid)
    grid.filter(os_version=("27.0", "27.9"), site="Lyon")
    assert browser.status["ways"] == [{"column": "os_version", "label": "OS", "devices": 252}]
    browser.do("lift", column="os_version")
    assert browser.status["shown"] == 252
    grid.filter(os_version=("27.0", None), search="nobody")
    assert browser.status["ways"] == [{"column": "*", "label": "", "devices": 1_000}]
    browser.do("lift", column="*")
    assert browser.status["shown"] == 1_000


# --- selection ---


def test_click_range_all_invert_and_clear() -> None:
    grid = DeviceGrid(fleet(100))
    browser = Browser(grid)
    grid.filter(site="Lyon")  # 0 1 2 12 13 14 24 …
    browser.toggle(1)
    browser.extend(1, 4)
    assert numbers(grid.selected) == [1, 2, 12, 13]
    browser.extend(1, 2)
    assert numbers(grid.selected) == [1, 2], "the range gives up what it had added"
    browser.toggle(1)
    assert numbers(grid.selected) == [2]
    grid.filter(site="Rome")  # 3 4 5 15 …
    browser.toggle(0)
    assert (browser.status["selected"], browser.status["hidden"], grid.hidden) == (2, 1, 1)
    browser.do("invert")
    assert numbers(grid.selected)[:3] == [2, 4, 5], "what is hidden stays"
    browser.do("all")
    assert len(grid.selected) == 1 + len(grid.shown)
    assert browser.status["allShown"]
    browser.do("none")
    assert grid.selected.empty


def test_a_selection_outlives_filters_and_sorts_and_shows_what_is_hidden() -> None:
    grid = DeviceGrid(fleet(1_000))
    browser = Browser(grid)
    grid.filter(site="Lyon")
    grid.select_all()
    chosen = {device.key for device in grid.selection.devices}
    grid.filter(site=None, platform="macOS")
    grid.sort("-free_gb", "name")
    assert {device.key for device in grid.selection.devices} == chosen
    hidden = grid.hidden
    assert 0 < hidden < len(chosen)
    browser.do("hidden")
    assert browser.status["spot"]
    assert len(grid.shown) == hidden
    assert set(grid.shown["site"]) == {"Lyon"}
    assert set(grid.shown["platform"]) == {"iPadOS"}
    browser.do("again")
    assert set(grid.shown["platform"]) == {"macOS"}


def test_a_click_that_meant_an_older_order_picks_nobody() -> None:
    grid = DeviceGrid(fleet(100))
    browser = Browser(grid)
    order = browser.status["order"]
    grid.sort("-name")
    browser.do("toggle", at=0, order=order)
    assert grid.selected.empty


def test_pasted_names_are_matched_and_the_rest_is_reported() -> None:
    grid = DeviceGrid(fleet(100), barred={key(7): "Not supervised"})
    browser = Browser(grid)
    browser.do("paste", view="v", text="c02x00000003, C02X00000007;\n00008030-0000000000000009\tNOBODY")
    assert numbers(grid.selected) == [3, 9]
    words = browser.heard("pasted")[-1]["words"]
    assert words == "2 selected from the list · 1 can’t be selected · 1 not found: NOBODY"
    assert grid.selection.unmatched == ("NOBODY",)


def test_devices_are_selected_by_key_frame_and_selection() -> None:
    grid, other = DeviceGrid(fleet(100)), DeviceGrid(fleet(50))
    assert grid.select([key(3), key(99), DeviceKey("other", "x")]).unmatched == ("x on other",)
    assert numbers(grid.selected) == [3, 99]
    other.select(grid.selected)
    assert numbers(other.selected) == [3]
    other.select(["C02X00000004"], add=True)
    grid.select(other.selection)
    assert numbers(grid.selected) == [3, 4]
    grid.show([key(8)], "1 failed: no space")
    assert numbers(grid.shown) == [8]


def test_the_selection_says_whom_it_left_out_and_why() -> None:
    frame = fleet(20)
    grid = DeviceGrid(frame, barred={key(0): "Not supervised", key(1): "Not supervised", key(2): "On hold"})
    Browser(grid).do("toggle", at=0, order=grid.status["order"])
    grid.select(["C02X00000000", "C02X00000005"])
    selection = grid.selection
    assert selection.left_out == {"Not supervised": 2, "On hold": 1, "not selected": 16}
    (device,) = selection.devices
    assert len(selection) + sum(selection.left_out.values()) == len(frame)
    row = as_row(device)
    for name in ("server", "enrollment_id", "serial", "name", "platform", "os_version", "site", "last_seen_at"):
        assert row[name] == frame.loc[5, name]
    assert device.supervised is None
    assert device.attributes == {"free_gb": "0.5", "owner": "person 5"}


def test_a_column_can_bar() -> None:
    frame = fleet(50).assign(why=["Gone" if at % 5 == 0 else "" for at in range(50)])
    grid = DeviceGrid(frame, barred="why")
    grid.select_all()
    assert len(grid.selection) == 40
    assert grid.selection.left_out == {"Gone": 10}
    assert "why" not in grid.selection.devices[0].attributes
    browser = Browser(grid)
    assert browser.column("state")[0] == ["barred", "Gone", 0]
    assert browser.page["marks"][:2] == [2, 1]


def test_who_relies_on_a_selection_learns_of_every_change() -> None:
    grid = DeviceGrid(fleet(10))
    seen = []
    grid.observe(lambda change: seen.append(change["new"]), names="revision")
    grid.select(["C02X00000001"])
    grid.select(["C02X00000002"])  # as many as before, but not the same
    grid.filter(site="Lyon")
    grid.clear()
    assert seen == [1, 2, 3]


# --- states ---


def test_news_reach_the_rows_on_screen_only_and_rows_keep_their_place() -> None:
    grid = DeviceGrid(fleet(1_000), states={key(at): "queued" for at in range(1_000)})
    browser = Browser(grid)
    grid.sort("state")
    before = len(browser.sent)
    news = {key(at): RowState("failed", "No space", armed=at == 3) for at in (3, 500)}
    assert grid.update_states(news, as_of=AS_OF) == 2
    assert grid.update_states(news) == 0
    assert grid.wait()
    (told,) = browser.news
    (message,) = [one for one in browser.sent if "news" in one.get("state", {})]
    assert "status" in message["state"]  # cells and counts in one message
    assert (told["at"], told["cells"]) == ([3], [["failed", "No space", 1]])
    assert len(browser.sent) - before <= 3
    assert browser.status["stale"]
    assert browser.status["asOf"] == "Tue 24 Nov 2026, 08:00 UTC"
    browser.do("again")
    assert numbers(grid.shown)[-2:] == [3, 500]
    assert not browser.status["stale"]


def test_news_from_many_threads_are_sent_in_few_messages_and_none_is_lost() -> None:
    grid = DeviceGrid(fleet(400), states={})
    browser = Browser(grid, size=200)
    before = len(browser.sent)

    def tell(part: int) -> None:
        for at in range(part, 400, 4):
            grid.update_states({key(at): "queued"})
            grid.update_states({key(at): STATES[at % len(STATES)]})

    threads = [threading.Thread(target=tell, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert grid.wait()
    assert len(browser.sent) - before < 80, "800 updates"
    browser.scroll(200)
    assert [cell[0] for cell in browser.column("state")] == [STATES[at % len(STATES)] for at in range(200, 400)]


def test_a_state_column_filters_counts_and_reads() -> None:
    grid = DeviceGrid(fleet(40), states={key(at): STATES[at % 3] for at in range(30)}, barred={key(0): "On hold"})
    browser = Browser(grid)
    browser.do("choices", column="state", text="", view="v")
    told = {value: devices for value, _, devices in browser.heard("choices")[-1]["choices"]}
    assert told == {STATES[0]: 9, STATES[1]: 10, STATES[2]: 10, "barred": 1, "": 10}
    grid.filter(state="barred")
    assert numbers(grid.shown) == [0]
    grid.filter(state=None, search="on hold")
    assert numbers(grid.shown) == [0]
    assert browser.column("state") == [["barred", "On hold", 0]]


def test_a_state_outside_the_closed_list_is_refused() -> None:
    with pytest.raises(InventoryError, match="pending"):
        DeviceGrid(fleet(3), states={key(0): "pending"})


def test_trouble_is_said_until_the_next_news() -> None:
    retried = []
    grid = DeviceGrid(fleet(3), states={}, on_retry=lambda: retried.append(1))
    browser = Browser(grid)
    grid.trouble("The store can’t be reached.")
    assert browser.status["trouble"] == "The store can’t be reached."
    browser.do("retry")
    assert retried == [1]
    grid.update_states({key(0): "done"})
    assert grid.wait()
    assert browser.status["trouble"] == ""


def test_the_act_gets_the_grid_only_when_something_is_selected() -> None:
    acted: list[int] = []
    grid = DeviceGrid(fleet(3), act="Plan for", on_act=lambda of: acted.append(len(of.selection)))
    browser = Browser(grid)
    browser.do("act")
    grid.select_all()
    browser.do("act")
    assert acted == [3]


# --- frames and re-runs ---


def test_a_rerun_takes_over_filters_and_selection_by_device() -> None:
    first = DeviceGrid(fleet(100), name="rerun")
    first.filter(site="Lyon")
    first.sort("-name")
    first.select([key(at) for at in (1, 2, 3)])
    shuffled = fleet(100).sample(frac=1, random_state=4).query("serial != 'C02X00000002'")
    second = DeviceGrid(shuffled, name="rerun", barred={key(3): "On hold"})
    assert second.filters == first.filters
    assert numbers(second.selected) == [1]
    assert second.status["note"] == ("2 of 3 selected before are no longer: 1 not listed any more, 1 can’t be selected")
    third = DeviceGrid(fleet(100).drop(columns="site"), name="rerun")
    assert third.filters == Filters(orders=(Order("name", descending=True),))
    forget("rerun")
    assert DeviceGrid(fleet(100), name="rerun").selected.empty
    forget("rerun")


def test_a_grid_without_a_name_starts_afresh() -> None:
    DeviceGrid(fleet(5)).select_all()
    assert DeviceGrid(fleet(5)).selected.empty


def test_a_frame_without_keys_or_with_a_device_twice_is_refused() -> None:
    with pytest.raises(InventoryError, match="enrollment_id"):
        DeviceGrid(fleet(3).drop(columns="enrollment_id"))
    twice = DeviceGrid(pd.concat([fleet(3), fleet(1)]))
    with pytest.raises(InventoryError, match="more than once"):
        twice.select([key(0)])


def test_what_people_do_to_their_frame_later_does_not_reach_the_grid() -> None:
    frame = fleet(3)
    grid = DeviceGrid(frame)
    frame.loc[0, "name"] = "changed"
    assert Browser(grid).column("name")[0] == HOSTILE[0]


def test_an_empty_frame_is_a_grid_without_rows() -> None:
    browser = Browser(DeviceGrid(fleet(0)))
    assert (browser.status["total"], browser.status["ways"], browser.page["marks"]) == (0, [], [])
    browser.do("all")
    browser.do("survey")


def test_several_servers_are_shown_and_told_apart() -> None:
    frame = pd.concat([fleet(3), fleet(3).assign(server="branch")], ignore_index=True)
    grid = DeviceGrid(frame)
    assert "server" in [head["name"] for head in grid.columns]
    grid.select([DeviceKey("branch", key(1).enrollment_id)])
    assert grid.selected["server"].tolist() == ["branch"]


@pytest.mark.parametrize("values", [["true", "no", ""], [True, False, None], [1, 0, None]])
def test_flags_are_read_however_a_list_writes_them(values: list[object]) -> None:
    grid = DeviceGrid(fleet(3).assign(supervised=values))
    grid.filter(supervised=None)
    for wanted, at in ((True, 0), (False, 1)):
        grid.filter(supervised=wanted)
        assert numbers(grid.shown) == [at]
    grid.filter(supervised=FlagFilter((None,)))
    assert numbers(grid.shown) == [2]


def test_moments_read_as_dates_or_as_ages_by_the_data() -> None:
    dates = pd.to_datetime(fleet(5)["last_seen_at"], unit="us", utc=True)
    frame = fleet(5).assign(last_seen_at=dates.where(dates.index != 4))
    assert Browser(DeviceGrid(frame)).column("last_seen_at")[0] == "24 Nov 08:00"
    ages = Browser(DeviceGrid(frame, as_of=AS_OF)).column("last_seen_at")
    assert ages[3] == ["3 s", "Tue 24 Nov 2026, 08:00 UTC"]
    assert ages[4][0] == "never"
    grid = DeviceGrid(frame)
    grid.select_all()
    assert [device.last_seen_at for device in grid.selection.devices] == [NOW - at * 1_000_000 for at in range(4)] + [0]


def test_columns_can_be_chosen_and_their_kinds_given() -> None:
    grid = DeviceGrid(fleet(10), columns=("serial", "site"))
    assert [head["label"] for head in grid.columns] == ["Serial", "Site"]
    assert SITES[0] in Browser(grid).column("site")
    with pytest.raises(SelectionError, match="nowhere"):
        DeviceGrid(fleet(3), columns=("nowhere",))

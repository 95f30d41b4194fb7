"""Plans of every kind, for Hypothesis."""

from datetime import date, time

from hypothesis import strategies as st

from osupdate_kit.protocol.terms import InstallAction, Platform, Priority
from osupdate_kit.protocol.versions import OSVersion
from osupdate_kit.rollout.plan import RolloutPlan
from osupdate_kit.rollout.targets import Target
from osupdate_kit.rollout.waves import SLICES, Limits, Opening, Wave, Who
from osupdate_kit.rollout.windows import Blackout, Window

PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff"), max_size=12)
NAMES = PLAIN.filter(str.strip)
MOMENTS = st.integers(0, 4_000_000_000_000_000)
SHARES = st.floats(0, 1, allow_subnormal=False)
COLUMNS = st.sampled_from(["model", "os_version", "site", "platform", "ring"])
WINDOWS = st.builds(
    Window, opens=st.times(), closes=st.times(), days=st.lists(st.integers(0, 6), max_size=7).map(tuple)
) | st.just(Window())
HOURS = st.builds(
    Window,
    opens=st.builds(time, st.integers(0, 23), st.sampled_from([0, 30])),
    closes=st.builds(time, st.integers(0, 23), st.sampled_from([0, 30])),
    days=st.lists(st.integers(0, 6), max_size=6).map(tuple),
)
WHERE = st.sampled_from(["", 'site == "North"', 'ring in ("a", "b")', 'wave == "pilot" and platform == "iPadOS"'])


def blackouts(first: date = date(1990, 1, 1), last: date = date(2100, 1, 1)) -> st.SearchStrategy[Blackout]:
    days = st.dates(first, last)
    spans = st.tuples(days, days).map(sorted)
    return st.builds(
        lambda span, where, reason: Blackout(first=span[0], last=span[1], where=where, reason=reason),
        spans,
        WHERE,
        PLAIN,
    )


WHO = st.one_of(
    st.builds(Who, where=st.sampled_from(['site == "North"', 'os_version < "18.2"'])),
    st.builds(Who, serials=st.lists(NAMES, min_size=1, max_size=3).map(tuple)),
    st.builds(Who, cover=st.lists(COLUMNS, min_size=1, max_size=3, unique=True).map(tuple)),
    st.builds(Who, percent=st.floats(0.001, 20, allow_subnormal=False)),
)
FIRST_OPENINGS = st.builds(Opening, at=MOMENTS, by_hand=st.booleans())
OPENINGS = st.builds(
    Opening, at=MOMENTS, done_share=SHARES, soak_hours=st.floats(0, 1000, allow_subnormal=False), by_hand=st.booleans()
)


@st.composite
def waves(draw: st.DrawFn) -> tuple[Wave, ...]:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    made = []
    for place, name in enumerate(names):
        who = draw(WHO) if place < len(names) - 1 else draw(WHO | st.just(Who()))
        opens = draw(OPENINGS if place else FIRST_OPENINGS)
        made.append(Wave(name=name, who=who, opens=opens, pace=draw(st.integers(0, 1000))))
    return tuple(made)


LIMITS = st.builds(
    Limits,
    failure_share=st.floats(0.1, 0.9),
    healthy_share=st.floats(0.001, 0.09),
    false_halt=st.floats(0.001, 0.4),
    failures=st.integers(0, 10_000),
    silent_share=SHARES,
    by=st.lists(st.sampled_from(sorted(SLICES)), unique=True).map(tuple),
) | st.just(Limits())

PLANS = st.builds(
    RolloutPlan,
    name=PLAIN,
    author=PLAIN,
    created_at=MOMENTS,
    target=st.builds(lambda minor: Target(version=OSVersion.parse(f"18.{minor}")), st.integers(0, 9)),
    deadline_at=MOMENTS,
    where=PLAIN,
    actions=st.just(
        dict.fromkeys(
            (Platform.IOS, Platform.IPADOS, Platform.TVOS), (InstallAction.DOWNLOAD_ONLY, InstallAction.INSTALL_ASAP)
        )
        | {Platform.MACOS: (InstallAction.INSTALL_LATER,)}
    ),
    max_user_deferrals=st.none() | st.integers(0, 9),
    priority=st.none() | st.sampled_from(Priority),
    tries=st.integers(1, 9),
    window=WINDOWS,
    download_window=st.none() | WINDOWS,
    blackouts=st.lists(blackouts(), max_size=3).map(tuple),
    waves=waves(),
    limits=LIMITS,
    slots_per_site=st.integers(0, 1000),
    time_zone=st.sampled_from(["", "Europe/Berlin"]),
    members=st.integers(0, 1_000_000),
    members_sha256=st.just("ab"),
)

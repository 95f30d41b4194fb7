"""Alerts: what stands, what is to be told, and the figures behind it, summed by the database."""

from typing import NamedTuple

from sqlalchemy import and_, bindparam, case, func, insert, literal_column, or_, select, update

from osupdate_kit.rollout.alerts import Alert, Said
from osupdate_kit.rollout.windows import FROZEN, Kin
from osupdate_kit.stores.rows import plain
from osupdate_kit.stores.schema import alerts, devices, events, journey
from osupdate_kit.stores.statements import EMPTY, ZERO, Session, Statement, at_most, last_id

_LAST = last_id(alerts.c.id)
_ADD = Statement(insert(alerts))
_OPEN = Statement(select(alerts).where(alerts.c.over_at == ZERO).order_by(alerts.c.id))
_NEWEST = Statement(at_most(select(alerts).order_by(alerts.c.id.desc())))
_UNTOLD = Statement(
    select(alerts)
    .where(
        or_(
            and_(alerts.c.over_at == ZERO, alerts.c.sent_at <= bindparam("told_by")),
            and_(alerts.c.over_at > bindparam("over_since"), alerts.c.sent_at < alerts.c.over_at),
        )
    )
    .order_by(alerts.c.id)
)
_IS = alerts.c.id == bindparam("of_id")
_REWORD = Statement(update(alerts).values(text=bindparam("new")).where(_IS))
_TOLD = Statement(update(alerts).values(sent_at=bindparam("at")).where(_IS, alerts.c.over_at == ZERO))
_TOLD_LATE = Statement(update(alerts).values(sent_at=alerts.c.over_at - literal_column("1")).where(_IS))
_TOLD_OVER = Statement(
    update(alerts)
    .values(sent_at=case((alerts.c.over_at > bindparam("at"), alerts.c.over_at), else_=bindparam("at_else")))
    .where(_IS)
)
_OVER = Statement(
    update(alerts).values(sent_at=bindparam("told"), over_at=bindparam("at")).where(_IS, alerts.c.over_at == ZERO)
)

_CELL = (journey.c.rollout, journey.c.time_zone, *(journey.c[name] for name in FROZEN))
_ARMED = Statement(  # of all rollouts in one reading from end to end: by an index it takes fifteen times as long
    select(*_CELL, func.count()).where(journey.c.armed != EMPTY).group_by(*_CELL)
)
_LAST_SEQ = last_id(events.c.seq)
_NEWS = Statement(
    select(events.c.server, events.c.kind, func.count(), func.max(events.c.recorded_at))
    .where(events.c.seq > bindparam("after_seq"))
    .group_by(events.c.server, events.c.kind)
)
_SEEN = Statement(
    at_most(
        select(devices.c.last_seen_at).where(
            devices.c.server == bindparam("server"), devices.c.last_seen_at > bindparam("since")
        )
    )
)


class ArmedCell(NamedTuple):
    """Armed devices of a rollout whose windows open and shut together."""

    rollout: int
    time_zone: str
    kin: Kin
    devices: int


class News(NamedTuple):
    """Events of one server and kind: how many, and when the newest was recorded."""

    server: str
    kind: str
    number: int
    at: int


class Alerts(Session):
    """Its part of a transaction."""

    # --- alerts ---

    def open_alerts(self) -> list[Said]:
        """Those that stand, the oldest first."""
        return [Said(*row) for row in self._rows(_OPEN)]

    def newest_alerts(self, limit: int) -> list[Said]:
        """Whether they stand or not, the newest first."""
        return [Said(*row) for row in self._rows(_NEWEST, limit)]

    def begin_alert(self, alert: Alert, *, at: int) -> bool:
        """Keep it as standing; False where one of its kind and subject does already, which then has its words."""
        mine = (alert.kind.value, plain(alert.subject))
        known = next((said for said in self.open_alerts() if (said.kind, said.subject) == mine), None)
        if known:
            self._run(_REWORD, plain(alert.text), known.id)
            return False
        self._run(_ADD, int(self._value(_LAST)) + 1, *mine, plain(alert.text), at, 0, 0)
        return True

    def reword_alert(self, alert: int, text: str) -> None:
        self._run(_REWORD, plain(text), alert)

    def end_alert(self, said: Said, *, at: int, told: bool = False) -> None:
        """It is over. told: nobody is to hear of it; else it is later than any telling, so that it will be told."""
        at = max(at, said.sent_at + 1)
        self._run(_OVER, at if told else said.sent_at, at, said.id)

    def untold_alerts(self, *, told_by: int, over_since: int) -> list[Said]:
        """Those that stand and were last told by then, or never; and those that are over, which nobody was told."""
        return [Said(*row) for row in self._rows(_UNTOLD, told_by, over_since)]

    def alert_told(self, alert: int, *, at: int, over: bool) -> None:
        """Everybody was told that it is so, or that it is over; what was over meanwhile is still to be told as such."""
        if over:
            self._run(_TOLD_OVER, at, at, alert)
        elif not self._run(_TOLD, at, alert):
            self._run(_TOLD_LATE, alert)

    # --- figures ---

    def armed(self) -> list[ArmedCell]:
        """Devices that may install because of us, by rollout and all that their windows depend on."""
        return [ArmedCell(number, zone, Kin(*kin), n) for number, zone, *kin, n in self._rows(_ARMED)]

    def last_event(self) -> int:
        return int(self._value(_LAST_SEQ))

    def news_after(self, seq: int) -> list[News]:
        """What was recorded after that event."""
        return [News(*row) for row in self._rows(_NEWS, seq)]

    def seen_after(self, server: str, at: int) -> int:
        """When some device of the server was seen after that, idle polls included; 0: none was."""
        return int(self._value(_SEEN, server, at, 1) or 0)

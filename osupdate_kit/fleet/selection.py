"""Criteria → Selection: the chosen, and why each other device fell out.

A criterion is a small expression over the columns, such as `platform == "iPadOS" and os_version < "18.7.2"`. Versions
compare as versions; nothing is ever executed.
"""

import ast
import operator
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any

from osupdate_kit.errors import ProtocolError, SelectionError
from osupdate_kit.fleet.devices import Device
from osupdate_kit.fleet.inventory import COLUMNS, value_of
from osupdate_kit.protocol.versions import OSVersion

Criterion = Callable[[Device], bool]

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, many: value in many,
    ast.NotIn: lambda value, many: value not in many,
}
_HELP = 'Write, for example: platform == "iPadOS" and site in ("North", "South") and os_version < "18.7.2".'


@dataclass(frozen=True, slots=True)
class Selection:
    """Whom we mean. `left_out` counts the others by reason; `unmatched` are wanted names that no device has."""

    devices: tuple[Device, ...] = field(repr=False)
    left_out: dict[str, int]
    unmatched: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.devices)

    def _repr_html_(self) -> str:
        left_out = "".join(f"<li>{count:,} left out: {escape(reason)}</li>" for reason, count in self.left_out.items())
        unmatched = f"<li>{len(self.unmatched):,} wanted names that no device has</li>" if self.unmatched else ""
        return f"<p><b>{len(self):,} devices selected</b></p><ul>{left_out}{unmatched}</ul>"


def criterion(text: str, *, more_columns: Collection[str] = (), only: Collection[str] = ()) -> Criterion:
    """Compile the expression. `more_columns`: of the operator's own lists; `only`: the ones that may be named, if not
    all. SelectionError says what is wrong."""
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SelectionError(f"{text[:200]!r} is no criterion.", remedy=_HELP) from None
    columns = set(only) or COLUMNS.keys() | set(more_columns)
    try:
        return _compiled(tree, columns)
    except RecursionError:
        raise SelectionError("The criterion is nested too deeply.", remedy=_HELP) from None


def select(devices: Iterable[Device], *, where: str = "", wanted: Collection[str] = ()) -> Selection:
    """Choose by criterion and by a list of serials, UDIDs or enrollment IDs; both together narrow the choice."""
    devices = list(devices)
    more = {column for device in devices for column in device.attributes}
    fits = criterion(where, more_columns=more) if where else None
    names = set(wanted)
    found: set[str] = set()
    chosen: list[Device] = []
    left_out = {"not on the list": 0, "criterion": 0}
    for device in devices:
        its = {device.serial, device.udid, device.key.enrollment_id} & names
        found |= its
        if names and not its:
            left_out["not on the list"] += 1
        elif fits and not fits(device):
            left_out["criterion"] += 1
        else:
            chosen.append(device)
    return Selection(
        tuple(chosen), {reason: count for reason, count in left_out.items() if count}, tuple(sorted(names - found))
    )


def _compiled(node: ast.expr, columns: Collection[str]) -> Criterion:
    if isinstance(node, ast.BoolOp):
        parts = [_compiled(value, columns) for value in node.values]
        every = isinstance(node.op, ast.And)
        return lambda device: all(p(device) for p in parts) if every else any(p(device) for p in parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _compiled(node.operand, columns)
        return lambda device: not inner(device)
    if isinstance(node, ast.Name):
        name = _column(node, columns)
        return lambda device: bool(value_of(device, name))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
        return _comparison(node, columns)
    raise SelectionError(f"{ast.unparse(node)[:200]!r} is no criterion.", remedy=_HELP)


def _column(node: ast.expr, columns: Collection[str]) -> str:
    if not isinstance(node, ast.Name):
        raise SelectionError(f"{ast.unparse(node)[:200]!r} is no column.", remedy="Put the column on the left side.")
    if node.id not in columns:
        raise SelectionError(f"There is no column {node.id!r}.", remedy=f"Columns: {', '.join(sorted(columns))}.")
    return node.id


def _comparison(node: ast.Compare, columns: Collection[str]) -> Criterion:
    name = _column(node.left, columns)
    compare = _COMPARE[type(node.ops[0])]
    try:
        wanted = ast.literal_eval(node.comparators[0])
    except (ValueError, TypeError, SyntaxError, RecursionError):
        raise SelectionError(
            f"{ast.unparse(node.comparators[0])[:200]!r} is no value.", remedy='Put texts in quotes, such as "North".'
        ) from None
    many = isinstance(node.ops[0], ast.In | ast.NotIn)
    if many != isinstance(wanted, list | tuple | set):
        raise SelectionError(
            f"{ast.unparse(node)[:200]!r} compares one value with many.", remedy='Write: site in ("North", "South").'
        )
    if name == "os_version":
        wanted = [_version(one) for one in wanted] if many else _version(wanted)
    elif not many and not isinstance(wanted, str | bool | int):
        raise SelectionError(f"{wanted!r} is no value of a column.", remedy=_HELP)

    def fits(device: Device) -> bool:
        value = value_of(device, name)
        if value is None:
            return False
        try:
            return bool(compare(value, wanted))
        except TypeError:
            return False

    return fits


def _version(value: object) -> OSVersion:
    try:
        return OSVersion.parse(str(value))
    except ProtocolError as error:
        raise SelectionError(str(error), remedy="Put versions in quotes.") from None

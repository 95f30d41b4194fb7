"""Lists of devices as operators really have them."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osupdate_kit.errors import InventoryError
from osupdate_kit.feeds.inventory import InventoryList, InventoryRow, read_list
from osupdate_kit.protocol.terms import Platform
from osupdate_kit.protocol.versions import OSVersion

MAC = "8212E022-4D53-4437-9053-F676225F181D"
PHONE = "00008110-001A2B3C4D5E6F70"
OLD = "2b6f0cc904d137be2e1730235f5664094b831186"


def listed(tmp_path: Path, text: str | bytes, encoding: str = "utf-8") -> InventoryList:
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_list(path)


def remarks(found: InventoryList) -> list[str]:
    return [str(remark) for remark in found.remarks]


def test_a_list_with_headings_in_any_order_and_columns_of_its_own(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        "Site,Serial Number,UDID,Device Name,Platform,Model,OS Version,Supervised,Ring,Time Zone,Cart\n"
        f'North,dmpx1,{PHONE},"Müller, iPad",ipados,"iPad13,1",18.6.2,Yes,pilot,Europe/Berlin,Cart 7\n',
    )
    assert found.remarks == ()
    assert found.rows == (
        InventoryRow(
            row=2, udid=PHONE, serial="DMPX1", name="Müller, iPad", platform=Platform.IPADOS, model="iPad13,1",
            os_version=OSVersion.parse("18.6.2"), supervised=True, site="North", ring="pilot",
            time_zone="Europe/Berlin", attributes={"Cart": "Cart 7"},
        ),
    )  # fmt: skip


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_separators_and_encodings(tmp_path: Path, separator: str, encoding: str) -> None:
    text = f"serial{separator}name\r\nC02X1{separator}Zoë\r\nC02X2{separator}Ann\r\n"
    found = listed(tmp_path, text, encoding)
    assert [(row.serial, row.name) for row in found.rows] == [("C02X1", "Zoë"), ("C02X2", "Ann")]
    assert remarks(found) == (
        ["The list is neither UTF-8 nor UTF-16 and was read as Latin-1: check the accents."]
        if encoding == "latin-1"
        else []
    )


def test_duplicate_serials_in_utf_16_are_reported_by_row_and_taken_once(tmp_path: Path) -> None:
    found = listed(tmp_path, "Serial;Name\nC02X1;a\nC02X2;b\nc02x1;c\nC02X3;ö\nC02X2;d\n", "utf-16")
    assert [(row.row, row.serial) for row in found.rows] == [(2, "C02X1"), (3, "C02X2"), (5, "C02X3")]
    assert remarks(found) == [
        "row 4: left out: the same device (C02X1) as in row 2",
        "row 6: left out: the same device (C02X2) as in row 3",
    ]


def test_one_column_needs_no_heading(tmp_path: Path) -> None:
    found = listed(tmp_path, f"{MAC}\n\n{PHONE}\n{OLD}\nC02X1ABC\nDevices\n{MAC}\n")
    assert [(row.udid, row.serial) for row in found.rows] == [(MAC, ""), (PHONE, ""), (OLD, ""), ("", "C02X1ABC")]
    assert remarks(found) == [
        "row 6: neither a UDID nor a serial: 'Devices'",
        "row 6: left out: it names no device that can be read",
        f"row 7: left out: the same device ({MAC}) as in row 1",
    ]


def test_the_same_serial_under_two_udids_is_two_enrolments(tmp_path: Path) -> None:
    found = listed(tmp_path, f"udid,serial\n{MAC},C02X1\n{PHONE},C02X1\n,C02X1\n")
    assert [row.udid for row in found.rows] == [MAC, PHONE]
    assert [remark.row for remark in found.remarks] == [3, 4]


def test_values_that_cannot_be_read_are_reported_and_the_device_stays(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        "serial,platform,os_version,supervised,time_zone\n"
        "C02X1,Android,18.6.2 (22G100),perhaps,Berlin\n"
        "C 02,macOS,15.6,1,UTC\n"
        "C02X3,mac,15,no,UTC,extra\n"
        "C02X4\n",
    )
    assert [row.serial for row in found.rows] == ["C02X1", "C02X3", "C02X4"]
    first, third = found.rows[0], found.rows[1]
    assert (first.platform, first.os_version, first.supervised, first.time_zone) == (None, None, None, "")
    assert (third.platform, str(third.os_version), third.supervised) == (Platform.MACOS, "15", False)
    assert remarks(found) == [
        "row 2: no platform that we know: 'Android'",
        "row 2: no OS version: '18.6.2 (22G100)'",
        "row 2: neither yes nor no: 'perhaps'",
        "row 2: no time zone (write, for example, Europe/Berlin): 'Berlin'",
        "row 3: no serial: 'C 02'",
        "row 3: left out: it names no device that can be read",
        "row 4: more cells than headings; the last ones were not read",
    ]


def test_names_are_data(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>"
    found = listed(tmp_path, f'serial,name,note\nC02X1,"{name}","=cmd|\'/C calc\'!A0"\nC02X2,"a\x00b\x1bc",x\n')
    assert [row.name for row in found.rows] == [name, "a b c"]


def test_a_lone_quotation_mark_is_pointed_at(tmp_path: Path) -> None:
    found = listed(tmp_path, 'serial,name\nC02X1,"13 inch\nC02X2,b\nC02X3,c\n')
    assert remarks(found) == ["row 2: a value runs over several lines: look for a lone quotation mark"]
    with pytest.raises(InventoryError, match="row 2"):
        listed(tmp_path, 'serial,name\nC02X1,"' + "C02X2,b\n" * 30_000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"PK\x03\x04rest", "workbook"),
        (b"name,site\na,b\n", "no heading names"),
        (f"{MAC},North\n".encode(), "no heading names"),
        (b"\xff\xfeC\x00\xff", "broken UTF-16"),
    ],
)
def test_what_is_no_list_is_refused_with_a_remedy(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(InventoryError, match=words) as caught:
        listed(tmp_path, content)
    assert caught.value.remedy


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"none\.csv cannot be read"):
        read_list(tmp_path / "none.csv")
    with pytest.raises(InventoryError, match="cannot be read"):
        read_list(tmp_path)


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: ("serial,x\n" + text).encode()))
def test_no_bytes_raise_anything_else_and_no_line_goes_missing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    with suppress(InventoryError):
        found = read_list(path)
        assert found.rows or found.remarks or content.startswith(b"serial")
        assert len({row.row for row in found.rows}) == len(found.rows)

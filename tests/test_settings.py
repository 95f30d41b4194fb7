"""Settings: what they read, and that every mistake is named with file, key and remedy, and no secret shown."""

import os
from pathlib import Path

import pytest

from osupdate_kit.errors import SettingsError
from osupdate_kit.rollout.policy import Cadences
from osupdate_kit.settings import ServerSettings, Settings

SECRET = "planted-key-91c2"
SCHOOL = '[servers.school]\nurl = "https://mdm.example.com/"\nkey_env = "SCHOOL_KEY"\n'


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("OSUPDATE_KIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, text: str, name: str = "osupdate-kit.toml") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def key_file(tmp_path: Path, text: str | bytes = SECRET + "\n", mode: int = 0o600) -> Path:
    path = tmp_path / "school.key"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def test_without_a_file_the_defaults_hold() -> None:
    settings = Settings.load()
    assert settings.source is None
    assert settings.servers == {}
    assert settings.store_url.startswith("sqlite:///")
    assert settings.store_url.endswith("osupdate-kit/store.db")
    assert (settings.receiver.host, settings.receiver.port) == ("127.0.0.1", 8077)
    assert (settings.clock_start_at, settings.clock_speed) == (None, 1.0)
    assert settings.cadences() == Cadences()


def test_everything_can_be_set(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'store_url = "postgresql+psycopg://kit@db/kit"\n'
        '[servers.school]\nkind = "nanomdm"\nurl = "http://10.0.0.5:9000/mdm/"\nuser = "other"\n'
        'key_file = "school.key"\n'
        'webhook_key_file = "school.key"\nbatch_ids = 50\ntimeout_seconds = 5\nforgets_answered = true\n'
        'forward_to = "http://127.0.0.1:7/hook"\ntrusted_proxy = true\n'
        '[receiver]\nhost = "::1"\nport = 0\n'
        "[clock]\nstart = 2026-11-02T07:00:00+01:00\nspeed = 60\n"
        "[engine]\nsilent_after_hours = 10.5\n",
    )
    key_file(tmp_path)
    settings = Settings.load(path)
    school = settings.servers["school"]
    assert (school.url, school.user, school.batch_ids) == ("http://10.0.0.5:9000/mdm", "other", 50)
    assert (school.api_key(), school.webhook_key()) == (SECRET, SECRET.encode())
    assert (school.forgets_answered, school.trusted_proxy, school.timeout_seconds) == (True, True, 5)
    assert (settings.receiver.host, settings.receiver.port) == ("::1", 0)
    assert (settings.clock_start_at, settings.clock_speed) == (1_793_599_200_000_000, 60)
    assert settings.cadences() == Cadences(silent_after_hours=10.5)
    assert settings.source == path


def test_declarations_go_to_nanohub_itself_or_to_a_kmfddm_beside_nanomdm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOOL_KEY", SECRET)
    monkeypatch.setenv("DDM_KEY", "other-key")

    def school(words: str) -> ServerSettings:
        return Settings.load(written(tmp_path, SCHOOL + words)).servers["school"]

    assert school("").declared_by == school('kind = "nanohub"\ndeclarations = "none"').declared_by == ""
    hub = school('kind = "nanohub"\nuser = "kit"')
    assert (hub.declared_by, hub.declarations_address(), hub.declarations_user()) == ("nanohub", hub.url, "kit")
    assert hub.declarations_key() == SECRET
    beside = school(
        'user = "kit"\ndeclarations = "kmfddm"\ndeclarations_url = "https://ddm.example.com/"\n'
        'declarations_key_env = "DDM_KEY"'
    )
    assert (beside.declared_by, beside.declarations_user()) == ("kmfddm", "")
    assert (beside.declarations_address(), beside.declarations_key()) == ("https://ddm.example.com", "other-key")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ('declarations = "nanohub"', "beside NanoMDM stands"),
        ('declarations = "kmfddm"', "say where KMFDDM is"),
        ('declarations = "kmfddm"\ndeclarations_url = "https://ddm.example.com"', "KMFDDM's API key"),
        ('declarations_url = "https://ddm.example.com"', 'are for declarations = "kmfddm"'),
        ('kind = "nanohub"\ndeclarations_key_env = "K"', 'are for declarations = "kmfddm"'),
        ('kind = "nanohub"\ndeclarations = "kmfddm"', "NanoHUB has its own declarations"),
        ('declarations = "kmfddm"\ndeclarations_url = "https://u:p@ddm.example.com"', "URL with user or password"),
    ],
)
def test_declarations_that_nobody_takes_are_no_settings(tmp_path: Path, words: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings.load(written(tmp_path, SCHOOL + words))


def test_a_nanohub_signs_nothing_and_goes_by_its_own_user(tmp_path: Path) -> None:
    hub = SCHOOL + 'kind = "nanohub"\n'
    school = Settings.load(written(tmp_path, hub)).servers["school"]
    assert (school.kind, school.user, school.webhook_key()) == ("nanohub", "", None)
    for place in ("webhook_key_env", "webhook_key_file", "webhook_keyring"):
        with pytest.raises(SettingsError, match="NanoHUB does not sign") as caught:
            Settings.load(written(tmp_path, hub + f'{place} = "x/y"\n'))
        assert "servers.school" in str(caught.value)
        assert "trusted_proxy" in str(caught.value)


def test_the_environment_wins_and_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, SCHOOL + "[receiver]\nport = 1\n")
    monkeypatch.setenv("OSUPDATE_KIT_SERVERS__SCHOOL__BATCH_IDS", "7")
    monkeypatch.setenv("OSUPDATE_KIT_SERVERS__OFFICE__URL", "http://office:9000")
    monkeypatch.setenv("OSUPDATE_KIT_SERVERS__OFFICE__KEY_ENV", "OSUPDATE_KIT_OFFICE_KEY")
    monkeypatch.setenv("OSUPDATE_KIT_OFFICE_KEY", SECRET)
    monkeypatch.setenv("OSUPDATE_KIT_RECEIVER__PORT", "2")
    monkeypatch.setenv("OSUPDATE_KIT_STORE_URL", "sqlite://")
    monkeypatch.setenv("OSUPDATE_KIT_CONFIG", str(path))
    settings = Settings.load()
    assert (settings.servers["school"].url, settings.servers["school"].batch_ids) == ("https://mdm.example.com", 7)
    assert settings.servers["office"].api_key() == SECRET
    assert (settings.receiver.port, settings.store_url) == (2, "sqlite://")


def test_files_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "[receiver]\nport = 3\n", "config/osupdate-kit/osupdate-kit.toml")
    assert Settings.load().receiver.port == 3
    written(tmp_path, "[receiver]\nport = 2\n")
    assert Settings.load().receiver.port == 2
    monkeypatch.setenv("OSUPDATE_KIT_CONFIG", str(written(tmp_path, "[receiver]\nport = 1\n", "other.toml")))
    assert Settings.load().receiver.port == 1
    assert Settings.load(written(tmp_path, "[receiver]\nport = 9\n", "named.toml")).receiver.port == 9


WRONG = {
    "unknown key": ("[servers.school]\nurl = 'http://x'\nkey_env = 'K'\ncolour = 1\n", "servers.school.colour"),
    "unknown table": ("[recever]\nport = 1\n", "recever"),
    "unknown cadence": ("[engine]\nsilent_after_days = 3\n", "engine.silent_after_days"),
    "key in the file": (f"[servers.school]\nurl = 'http://x'\napi_key = '{SECRET}'\n", "servers.school"),
    "no place of the key": ("[servers.school]\nurl = 'http://x'\n", "key_env"),
    "two places of the key": ("[servers.school]\nurl = 'http://x'\nkey_env = 'K'\nkey_file = 'k'\n", "key_env"),
    "no URL": ("[servers.school]\nkey_env = 'K'\n", "servers.school.url"),
    "no http": ("[servers.school]\nurl = 'mdm.example.com'\nkey_env = 'K'\n", "servers.school.url"),
    "bad port in the URL": ("[servers.school]\nurl = 'http://mdm:x'\nkey_env = 'K'\n", "servers.school.url"),
    "key in the URL": (f"[servers.school]\nurl = 'http://u:{SECRET}@x'\nkey_env = 'K'\n", "servers.school.url"),
    "query in the URL": (f"[servers.school]\nurl = 'http://x/?key={SECRET}'\nkey_env = 'K'\n", "servers.school.url"),
    "unknown kind": (f"[servers.school]\nkind = '{SECRET}'\nurl = 'http://x'\nkey_env = 'K'\n", "servers.school.kind"),
    "bad name of a server": ("[servers.'a/b']\nurl = 'http://x'\nkey_env = 'K'\n", "servers.a/b"),
    "no store": ("store_url = 'mysql://x'\n", "store_url"),
    "bad port": ("[receiver]\nport = 70000\n", "receiver.port"),
    "naive start": ("[clock]\nstart = 2026-11-02T07:00:00\n", "clock.start"),
    "speed 0": ("[clock]\nspeed = 0\n", "clock.speed"),
    "batch 0": ("[servers.school]\nurl = 'http://x'\nkey_env = 'K'\nbatch_ids = 0\n", "servers.school.batch_ids"),
    "no TOML": (f"key = {SECRET}", "osupdate-kit.toml"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named_by_file_and_key_with_a_remedy(case: str, tmp_path: Path) -> None:
    text, where = WRONG[case]
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        Settings.load(path)
    assert str(path) in str(caught.value)
    assert where in str(caught.value)
    assert caught.value.remedy
    assert SECRET not in str(caught.value)


def test_a_key_in_the_file_is_told_where_it_belongs(tmp_path: Path) -> None:
    path = written(tmp_path, SCHOOL + f"api_key = '{SECRET}'\n")
    with pytest.raises(SettingsError, match="key_env, key_file or keyring"):
        Settings.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OSUPDATE_KIT_RECEIVER__PORT", "x"),
        ("OSUPDATE_KIT_RECIEVER__PORT", "1"),
        ("OSUPDATE_KIT_ENGINE__SILENT_AFTER_HOURS", "-1"),
        ("OSUPDATE_KIT_SERVERS__SCHOOL__COLOUR", "red"),
        ("OSUPDATE_KIT_STORE_URL", f"mysql://u:{SECRET}@h/d"),
    ],
)
def test_a_mistake_in_the_environment_is_named_by_its_variable(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.load(written(tmp_path, SCHOOL))
    assert caught.value.remedy
    assert SECRET not in str(caught.value)


def test_json_in_the_environment_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSUPDATE_KIT_SERVERS", SECRET)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert "OSUPDATE_KIT_" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="--config"):
        Settings.load(tmp_path / "none.toml")
    monkeypatch.setenv("OSUPDATE_KIT_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="OSUPDATE_KIT_CONFIG"):
        Settings.load()


# --- keys ---


def school(tmp_path: Path, words: str) -> Settings:
    return Settings.load(written(tmp_path, f'[servers.school]\nurl = "http://x"\n{words}\n'))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    key_file(tmp_path, mode=mode)
    settings = school(tmp_path, 'key_file = "school.key"')
    with pytest.raises(SettingsError, match=r"servers\.school\.key_file: others may read") as caught:
        settings.servers["school"].api_key()
    assert caught.value.remedy == f"chmod 600 {tmp_path / 'school.key'}"


@pytest.mark.parametrize("content", ["", "\n", b"\xff\xfe\x00", "a\nb", "x" * 70_000])
def test_a_key_file_without_a_key_is_refused(content: str | bytes, tmp_path: Path) -> None:
    key_file(tmp_path, content)
    with pytest.raises(SettingsError, match="holds no key"):
        school(tmp_path, 'key_file = "school.key"').servers["school"].api_key()


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"servers\.school\.key_file: .*school\.key cannot be read"):
        school(tmp_path, 'key_file = "school.key"').servers["school"].api_key()
    with pytest.raises(SettingsError, match=r"servers\.school\.key_env: the variable SCHOOL_KEY is not set"):
        school(tmp_path, 'key_env = "SCHOOL_KEY"').servers["school"].api_key()
    with pytest.raises(SettingsError, match=r"servers\.school\.webhook_key_env"):
        school(tmp_path, 'key_env = "K"\nwebhook_key_env = "HOOK"').servers["school"].webhook_key()
    with pytest.raises(SettingsError, match="keyring"):
        school(tmp_path, 'keyring = "osupdate-kit/school"').servers["school"].api_key()


def test_a_server_without_a_webhook_key_does_not_sign(tmp_path: Path) -> None:
    assert school(tmp_path, 'key_env = "K"').servers["school"].webhook_key() is None


def test_no_repr_shows_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHOOL_KEY", SECRET)
    path = written(
        tmp_path, f'store_url = "postgresql://u:{SECRET}@h/d"\n' + SCHOOL + f'forward_to = "http://h/{SECRET}"\n'
    )
    settings = Settings.load(path)
    assert settings.servers["school"].api_key() == SECRET
    assert SECRET not in repr(settings) + str(settings) + repr(settings.servers["school"])


# --- alerts ---


def told(tmp_path: Path, words: str, urls: str = "", mode: int = 0o600) -> Settings:
    (tmp_path / "alerts.urls").write_text(urls)
    (tmp_path / "alerts.urls").chmod(mode)
    return Settings.load(written(tmp_path, f"[alerts]\n{words}\n"))


def test_addresses_are_read_from_a_private_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = f"# of the office\njson://h/{SECRET}\n\n  mailto://x\n"
    alerts = told(tmp_path, 'urls_file = "alerts.urls"', lines).alerts
    assert alerts.urls() == [f"json://h/{SECRET}", "mailto://x"]
    monkeypatch.setenv("WHO", f"json://h/{SECRET}\nmailto://x")
    from_variable = told(tmp_path, 'urls_env = "WHO"')
    assert from_variable.alerts.urls() == [f"json://h/{SECRET}", "mailto://x"]
    assert SECRET not in repr(from_variable) + repr(alerts)
    assert Settings.load(written(tmp_path, "")).alerts.urls() == []


def test_addresses_in_the_wrong_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"alerts\.urls_file: others may read") as caught:
        told(tmp_path, 'urls_file = "alerts.urls"', SECRET, mode=0o644).alerts.urls()
    assert caught.value.remedy == f"chmod 600 {tmp_path / 'alerts.urls'}"
    with pytest.raises(SettingsError, match="name urls_file or urls_env") as caught:
        told(tmp_path, f"urls = ['json://h/{SECRET}']")
    assert SECRET not in str(caught.value)
    with pytest.raises(SettingsError, match="only one of urls_file and urls_env"):
        told(tmp_path, 'urls_file = "a"\nurls_env = "B"')
    with pytest.raises(SettingsError, match=r"alerts\.urls_env: the variable WHO is not set"):
        told(tmp_path, 'urls_env = "WHO"').alerts.urls()


def test_what_is_watched_for_comes_from_the_settings(tmp_path: Path) -> None:
    server = SCHOOL + "push_certificate_expires = 2027-03-01\n"
    words = f'[alerts]\nrepeat_hours = 6\nwebhook_silent_hours = 2\ndead_man_url = "https://h/{SECRET}?up=1"\n'
    settings = Settings.load(written(tmp_path, server + words + 'dead_man_file = "alive"\n'))
    watch = settings.watch()
    assert (watch.repeat_hours, watch.webhook_silent_hours, watch.told) == (6, 2, False)
    assert watch.certificates == {"school": 1_803_859_200_000_000}
    assert settings.alerts.dead_man_path() == tmp_path / "alive"
    assert settings.alerts.dead_man_url == f"https://h/{SECRET}?up=1"
    assert SECRET not in repr(settings)
    with pytest.raises(SettingsError, match=r"alerts\.dead_man_url: no URL"):
        told(tmp_path, f'dead_man_url = "{SECRET}"')

"""Addresses, where the credentials are, and how patient the engine is: from `osupdate-kit.toml` and OSUPDATE_KIT_*.

Knows names, files and their permissions. A key itself is read when it is used, and is part of no value here, so that no
repr, log or error can show it.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as _EnvError

from osupdate_kit.errors import SettingsError
from osupdate_kit.rollout.alerts import Watch
from osupdate_kit.rollout.people import SecondPerson
from osupdate_kit.rollout.policy import Cadences

APP = "osupdate-kit"
FILE_NAME = "osupdate-kit.toml"
CONFIG_VARIABLE = "OSUPDATE_KIT_CONFIG"

_PREFIX = "OSUPDATE_KIT_"
_MAX_KEY_BYTES = 1 << 16
_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _address(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        raise ValueError("no URL; write, for example, https://mdm.example.com") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no URL; write, for example, https://mdm.example.com")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with user or password; name the place of the key by key_env, key_file or keyring")
    return url.strip()


def _server_url(url: str) -> str:
    url = _address(url)
    if urlsplit(url).query or urlsplit(url).fragment:
        raise ValueError("a URL with ? or #; end it before these")
    return url.rstrip("/")


def _store_url(url: str) -> str:
    if not url.startswith(("sqlite://", "postgresql://", "postgresql+")):
        raise ValueError("no store; write sqlite:////path/store.db or postgresql+psycopg://user@host/database")
    return url


def _feed_url(url: str) -> str:
    url = url and _server_url(url)
    if url.startswith("http://") and urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("an address without TLS; write https://")
    return url


_URL = Annotated[str, AfterValidator(_server_url)]
_FEED = Annotated[str, AfterValidator(_feed_url)]


class ServerSettings(BaseModel):
    """One MDM server. Exactly one of `key_env`, `key_file` and `keyring` says where its API key is."""

    model_config = _STRICT

    kind: Literal["nanomdm", "nanohub"] = "nanomdm"
    url: _URL
    user: str = ""  # empty: the one that the kind has by default
    key_env: str = ""
    key_file: str = ""
    keyring: str = ""  # service/user
    webhook_key_env: str = ""
    webhook_key_file: str = ""
    webhook_keyring: str = ""
    batch_ids: Annotated[int, Field(ge=1, le=20_000)] = 200
    ids_per_second: Annotated[float, Field(ge=0)] = 0  # 0: as fast as the server answers
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30
    forgets_answered: bool = False  # NanoMDM with delete=1
    forward_to: Annotated[str, AfterValidator(lambda url: url and _server_url(url)), Field(repr=False)] = ""
    trusted_proxy: bool = False  # a TLS proxy lets only this server reach its webhook address
    push_certificate_expires: date | None = None  # no server in use tells it
    database_env: str = ""  # a URL holds a password: it is never in the settings themselves
    database_file: str = ""
    database_seconds: Annotated[float, Field(ge=1)] = 60
    declarations: Literal["", "none", "nanohub", "kmfddm"] = ""  # empty: NanoHUB's own, for others none
    declarations_url: Annotated[str, AfterValidator(lambda url: url and _server_url(url))] = ""
    declarations_key_env: str = ""
    declarations_key_file: str = ""
    declarations_keyring: str = ""

    _place: "_Place" = PrivateAttr(default_factory=lambda: _Place("servers", None, Path.cwd()))

    @model_validator(mode="after")
    def _one_place_each(self) -> Self:
        if sum(map(bool, (self.key_env, self.key_file, self.keyring))) != 1:
            raise ValueError("say where the API key is, by one of key_env, key_file and keyring")
        if self.database_env and self.database_file:
            raise ValueError("only one of database_env and database_file")
        webhook_places = sum(map(bool, (self.webhook_key_env, self.webhook_key_file, self.webhook_keyring)))
        if webhook_places > 1:
            raise ValueError("only one of webhook_key_env, webhook_key_file and webhook_keyring")
        if webhook_places and self.kind == "nanohub":
            raise ValueError(
                "NanoHUB does not sign its webhook calls; take the webhook key out, and let the receiver listen on "
                "loopback, or put a TLS proxy before it that lets only this server in, and state trusted_proxy = true"
            )
        return self

    @model_validator(mode="after")
    def _declarations_whole(self) -> Self:
        places = sum(map(bool, (self.declarations_key_env, self.declarations_key_file, self.declarations_keyring)))
        if self.declarations == "nanohub" and self.kind != "nanohub":
            raise ValueError('declarations = "nanohub" is for kind = "nanohub"; beside NanoMDM stands "kmfddm"')
        if self.declarations == "kmfddm":
            if self.kind == "nanohub":
                raise ValueError('NanoHUB has its own declarations; write declarations = "nanohub", or leave it out')
            if not self.declarations_url:
                raise ValueError("say where KMFDDM is, by declarations_url")
            if places != 1:
                raise ValueError(
                    "say where KMFDDM's API key is, by one of declarations_key_env, declarations_key_file and "
                    "declarations_keyring"
                )
        elif self.declarations_url or places:
            raise ValueError('declarations_url and its key are for declarations = "kmfddm"')
        return self

    @property
    def declared_by(self) -> Literal["", "nanohub", "kmfddm"]:
        """What kind of server takes its declarations; empty: none does."""
        if self.declarations == "none":
            return ""
        return self.declarations or ("nanohub" if self.kind == "nanohub" else "")

    def declarations_address(self) -> str:
        """Where that server is."""
        return self.declarations_url or self.url

    def declarations_user(self) -> str:
        """By which name it knows us; empty: by the one that it has by default."""
        return "" if self.declarations == "kmfddm" else self.user

    def declarations_key(self) -> str:
        """Its API key, read now. Raises SettingsError naming the server and the place."""
        if self.declarations != "kmfddm":
            return self.api_key()
        return self._place.read(
            "declarations_key", self.declarations_key_env, self.declarations_key_file, self.declarations_keyring
        )

    def api_key(self) -> str:
        """The API key, read now. Raises SettingsError naming the server and the place."""
        return self._place.read("key", self.key_env, self.key_file, self.keyring)

    @property
    def has_database(self) -> bool:
        return bool(self.database_env or self.database_file)

    def database_url(self) -> str:
        """The URL of the server's own database, read now. Raises SettingsError naming the server and the place."""
        return self._place.read("database", self.database_env, self.database_file, "")

    def webhook_key(self) -> bytes | None:
        """The key that signs the server's webhook calls, read now; None if it does not sign."""
        if not (self.webhook_key_env or self.webhook_key_file or self.webhook_keyring):
            return None
        return self._place.read(
            "webhook_key", self.webhook_key_env, self.webhook_key_file, self.webhook_keyring
        ).encode()


class ReceiverSettings(BaseModel):
    """Where the webhook calls come in. Port 0: any free one."""

    model_config = _STRICT

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8077


class ClockSettings(BaseModel):
    """For rehearsals: another start than now, another speed than 1."""

    model_config = _STRICT

    start: AwareDatetime | None = None
    speed: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0


class AlertSettings(BaseModel):
    """Who is told without asking, of what, and the dead-man's switch. One of `urls_file` and `urls_env`, or neither."""

    model_config = _STRICT

    urls_file: str = ""
    urls_env: str = ""
    repeat_hours: Annotated[float, Field(gt=0)] = 24
    webhook_silent_hours: Annotated[float, Field(gt=0)] = 12
    certificate_days: Annotated[float, Field(ge=0)] = 30
    dead_man_file: str = ""
    dead_man_url: Annotated[str, AfterValidator(lambda url: url and _address(url)), Field(repr=False)] = ""
    dead_man_minutes: Annotated[float, Field(gt=0)] = 5

    _place: "_Place" = PrivateAttr(default_factory=lambda: _Place("alerts", None, Path.cwd()))

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.urls_file and self.urls_env:
            raise ValueError("only one of urls_file and urls_env")
        return self

    @property
    def told(self) -> bool:
        """Is there anybody to tell?"""
        return bool(self.urls_file or self.urls_env)

    @property
    def where(self) -> str:
        """Where the addresses are to be looked for, as errors say it."""
        return self._place.named("urls_env" if self.urls_env else "urls_file")

    def urls(self) -> list[str]:
        """Apprise's addresses, which hold passwords and tokens, read now. Raises SettingsError naming the place."""
        return self._place.lines(self.urls_env, self.urls_file) if self.told else []

    def dead_man_path(self) -> Path | None:
        return self._place.path(self.dead_man_file) if self.dead_man_file else None


class PeopleSettings(BaseModel):
    """When a second person is wanted. The service's word counts; what it says stands in the store for all others."""

    model_config = _STRICT

    second_approver_over: Annotated[int, Field(ge=0)] = 0  # devices; 0: nobody is asked
    shared_accounts: list[Annotated[str, Field(min_length=1)]] = []

    def rule(self) -> SecondPerson:
        return SecondPerson(self.second_approver_over, tuple(self.shared_accounts))


class FeedSettings(BaseModel):
    """Where Apple's releases are read from; empty: not from there. `folder`: of the last good copies."""

    model_config = _STRICT

    sofa_ios: _FEED = "https://sofafeed.macadmins.io/v2/ios_data_feed.json"
    sofa_macos: _FEED = "https://sofafeed.macadmins.io/v2/macos_data_feed.json"
    sofa_tvos: _FEED = "https://sofafeed.macadmins.io/v2/tvos_data_feed.json"
    apple: _FEED = "https://gdmf.apple.com/v2/pmv"
    apple_ca_file: str = ""  # the service's certificate is of Apple's own authority, which few systems know
    folder: str = ""

    def urls(self) -> dict[str, str]:
        """By the feed's name."""
        return {name: str(getattr(self, name)) for name in ("sofa_ios", "sofa_macos", "sofa_tvos", "apple")}


if TYPE_CHECKING:
    EngineSettings = BaseModel
else:
    EngineSettings = create_model(
        "EngineSettings",
        __config__=_STRICT,
        **{field.name: (Annotated[float, Field(gt=0)], field.default) for field in fields(Cadences)},
    )


class Settings(BaseSettings):
    """Everything that differs between two installations of the kit. `Settings.load()` reads them."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    store_url: Annotated[str, AfterValidator(_store_url), Field(repr=False)] = Field(
        default_factory=lambda: f"sqlite:///{platformdirs.user_data_path(APP) / 'store.db'}"
    )
    person: str = ""  # who acts, where a process acts for people; else the account says it
    servers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")], ServerSettings] = {}
    receiver: ReceiverSettings = ReceiverSettings()
    clock: ClockSettings = ClockSettings()
    engine: EngineSettings = EngineSettings()
    feeds: FeedSettings = FeedSettings()
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    people: PeopleSettings = PeopleSettings()

    _source: Path | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, config: Path | str | None = None) -> Self:
        """Read the file and the environment, which wins. Raises SettingsError naming file or variable, and key.

        The file: `config`, else OSUPDATE_KIT_CONFIG, else ./osupdate-kit.toml, else the user's configuration folder,
        else none.
        """
        source = _find(config)
        told = _toml(source) if source else {}
        _check_variables(set(cls.model_fields))
        try:
            settings = cls(**told)
        except ValidationError as error:
            raise _explained(error, source, told) from None
        except (_EnvError, TypeError) as error:
            raise SettingsError(
                f"A variable {_PREFIX}* cannot be read: {str(error)[:120]}.",
                remedy=f"Write tables as {_PREFIX}SERVERS__NAME__URL, or as JSON.",
            ) from None
        settings._source = source
        folder = source.parent if source else Path.cwd()
        for name, server in settings.servers.items():
            server._place = _Place(f"servers.{name}", source, folder)
        settings.alerts._place = _Place("alerts", source, folder)
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @property
    def source(self) -> Path | None:
        """The file they were read from."""
        return self._source

    @property
    def feeds_folder(self) -> Path:
        """Where the last good copies of feeds lie: `feeds.folder`, seen from the settings file, or the user's data."""
        named = Path(self.feeds.folder).expanduser()
        own = platformdirs.user_data_path(APP) / "feeds"
        return (self._source.parent if self._source else Path.cwd()) / named if self.feeds.folder else own

    @property
    def clock_start_at(self) -> int | None:
        """Microseconds UTC; None = now."""
        return None if self.clock.start is None else _micros(self.clock.start)

    @property
    def clock_speed(self) -> float:
        return self.clock.speed

    def cadences(self) -> Cadences:
        return Cadences(**self.engine.model_dump())

    def watch(self) -> Watch:
        expiries = {name: server.push_certificate_expires for name, server in self.servers.items()}
        return Watch(
            repeat_hours=self.alerts.repeat_hours,
            webhook_silent_hours=self.alerts.webhook_silent_hours,
            certificate_days=self.alerts.certificate_days,
            certificates={name: _midnight(day) for name, day in expiries.items() if day},
            told=self.alerts.told,
        )


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def _midnight(day: date) -> int:
    return _micros(datetime.combine(day, datetime.min.time(), UTC))


# --- the file ---


def _find(config: Path | str | None) -> Path | None:
    named = config or os.environ.get(CONFIG_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            by = "--config" if config else CONFIG_VARIABLE
            raise SettingsError(f"There is no settings file {path}.", remedy=f"Correct the path that {by} names.")
        return path.absolute()
    places = (Path(FILE_NAME), platformdirs.user_config_path(APP) / FILE_NAME)
    return next((path.absolute() for path in places if path.is_file()), None)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path} is no TOML: {error}.", remedy="Correct that line; texts stand in quotes."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not in UTF-8.", remedy="Save it as UTF-8.") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.", remedy="Check its permissions.") from None


def _check_variables(known: set[str]) -> None:
    """A misspelt table in the environment would be passed over in silence."""
    for name in os.environ:
        table, nested, _ = name.upper().removeprefix(_PREFIX).partition("__")
        if name.upper().startswith(_PREFIX) and nested and table.lower() not in known:
            raise SettingsError(
                f"The variable {name} means no setting.", remedy=f"Known are: {', '.join(sorted(known))}."
            )


def _explained(error: ValidationError, source: Path | None, told: Mapping[str, Any]) -> SettingsError:
    """The first thing that is wrong, by file and key or by variable; never its value, which may be a secret."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    variable = f"{_PREFIX}{'__'.join(path).upper()}"
    in_environment = next((name for name in os.environ if name.upper() == variable), None)
    where = in_environment or f"{source or 'The environment'}, {'.'.join(path)}"
    if first["type"] == "extra_forbidden":
        remedy = "Remove it, or correct its name."
        if "key" in path[-1].lower() or "password" in path[-1].lower() or "secret" in path[-1].lower():
            remedy = "Keys do not stand in the settings: say where they are by key_env, key_file or keyring."
        if path[0] == "alerts" and path[-1] in ("url", "urls"):
            remedy = "Addresses hold tokens and do not stand in the settings: name urls_file or urls_env."
        return SettingsError(f"{where}: there is no such setting.", remedy=remedy)
    words = first["msg"].removeprefix("Value error, ")
    more = len(error.errors()) - 1
    also = f" ({more} more after this one.)" if more else ""
    return SettingsError(f"{where}: {words}.{also}", remedy="Correct it there.")


# --- keys ---


class _Place:
    """Reads the keys that a table of the settings leads to."""

    __slots__ = ("_folder", "_source", "_table")

    def __init__(self, table: str, source: Path | None, folder: Path) -> None:
        self._table, self._source, self._folder = table, source, folder

    def path(self, file: str) -> Path:
        return self._folder / Path(file).expanduser()

    def named(self, setting: str) -> str:
        return f"{self._source or 'The environment'}, {self._table}.{setting}"

    def lines(self, env: str, file: str) -> list[str]:
        """The lines of a variable or a file that only its owner may read; # begins a remark."""
        if env:
            text = self._from_environment("urls_env", env, "the addresses, one to a line")
        else:
            text = self._body("urls_file", self.path(file), "the addresses")
        found = [line.strip() for line in text.splitlines()]
        return [line for line in found if line and not line.startswith("#")]

    def read(self, what: str, env: str, file: str, keyring: str) -> str:
        if env:
            meant = "the URL of the database" if what == "database" else "the key"
            return self._from_environment(f"{what}_env", env, f"{meant} of {self._table.rpartition('.')[2]}")
        if file:
            return self._from_file(f"{what}_file", self.path(file))
        return self._from_keyring("keyring" if what == "key" else f"{what}ring", keyring)

    def _error(self, setting: str, words: str, remedy: str) -> SettingsError:
        return SettingsError(f"{self.named(setting)}: {words}", remedy=remedy)

    def _from_environment(self, setting: str, name: str, what: str) -> str:
        key = os.environ.get(name, "").strip()
        if not key:
            raise self._error(setting, f"the variable {name} is not set.", f"Set {name} to {what}.")
        return key

    def _from_file(self, setting: str, path: Path) -> str:
        key = self._body(setting, path, "the key")
        if not key or not key.isprintable():
            raise self._error(setting, f"{path} holds no key.", "Put the key alone into it, on one line.")
        return key

    def _body(self, setting: str, path: Path, what: str) -> str:
        """The text of a file that only its owner may read, without blanks around it; empty for what is no text."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if stat.S_ISREG(mode) and mode & 0o077 and os.name == "posix":
                    raise self._error(setting, f"others may read {path}.", f"chmod 600 {path}")
                body = file.read(_MAX_KEY_BYTES + 1)
        except OSError as error:
            remedy = f"Make the file with {what} in it, and chmod 600."
            raise self._error(setting, f"{path} cannot be read: {error.strerror}.", remedy) from None
        try:
            return body.decode().strip() if len(body) <= _MAX_KEY_BYTES else ""
        except UnicodeDecodeError:
            return ""

    def _from_keyring(self, setting: str, place: str) -> str:
        service, _, user = place.rpartition("/")
        if not service or not user:
            raise self._error(
                setting, "it is not of the form service/user.", "Write, for example, osupdate-kit/school."
            )
        try:
            keyring = import_module("keyring")  # an extra: only who uses it needs it
        except ImportError:
            raise self._error(
                setting, "the keyring package is not installed.", "Install osupdate-kit[keyring], or use key_file."
            ) from None
        try:
            key = keyring.get_password(service, user)
        except keyring.errors.KeyringError as error:
            raise self._error(
                setting, f"the keyring does not open: {type(error).__name__}.", "Unlock it, or use key_file."
            ) from None
        if not key:
            raise self._error(setting, f"the keyring has no {place}.", f"keyring set {service} {user}")
        return str(key)

"""From settings to servers that take commands. A key is read when its server is first used, not before."""

from collections.abc import Iterator, Mapping

from osupdate_kit.rollout.ports import CommandServer, DeclarationServer
from osupdate_kit.servers.ddm import DIALECTS, Declarations
from osupdate_kit.servers.kinds import KINDS
from osupdate_kit.settings import ServerSettings


class Servers(Mapping[str, CommandServer]):
    """The servers of the settings by name; each is made, and its key read, when it is asked for."""

    def __init__(self, settings: Mapping[str, ServerSettings]) -> None:
        self._settings = settings
        self._made: dict[str, CommandServer] = {}

    def __getitem__(self, name: str) -> CommandServer:
        if name not in self._made:
            self._made[name] = _server(name, self._settings[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)


class DeclarationServers(Mapping[str, DeclarationServer]):
    """The servers of the settings that can declare, by name; made, and their keys read, when asked for."""

    def __init__(self, settings: Mapping[str, ServerSettings]) -> None:
        self._settings = {name: one for name, one in settings.items() if one.declared_by}
        self._made: dict[str, DeclarationServer] = {}

    def __getitem__(self, name: str) -> DeclarationServer:
        if name not in self._made:
            settings = self._settings[name]
            self._made[name] = Declarations(
                name,
                DIALECTS[settings.declared_by],
                settings.declarations_address(),
                settings.declarations_key(),
                user=settings.declarations_user(),
                batch_ids=settings.batch_ids,
                timeout_seconds=settings.timeout_seconds,
            )
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)


def _server(name: str, settings: ServerSettings) -> CommandServer:
    return KINDS[settings.kind](
        name,
        settings.url,
        settings.api_key(),
        user=settings.user,
        batch_ids=settings.batch_ids,
        ids_per_second=settings.ids_per_second,
        timeout_seconds=settings.timeout_seconds,
        forgets_answered=settings.forgets_answered,
    )

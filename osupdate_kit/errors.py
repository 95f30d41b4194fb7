"""One family of errors, each with its remedy. Whoever shows an error formats it."""


class OSUpdateKitError(Exception):
    """Anything the kit can explain: what went wrong (naming device, server or key), and what to do about it."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} {self.remedy}" if self.remedy else message

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: the sentences, without the way through our code."""
        return [f"{type(self).__name__}: {self}"]


class ProtocolError(OSUpdateKitError):
    """Bytes or values that Apple's protocol does not know, or that are too large to read."""


class ServerUnreachableError(OSUpdateKitError):
    """The MDM server did not answer; what it did with the call cannot be known."""


class ServerRefusedError(OSUpdateKitError):
    """The MDM server answered, and the answer was no."""


class WebhookError(OSUpdateKitError):
    """A webhook call that is not taken in: not signed with our key, too large, or no event of this server."""


class SettingsError(OSUpdateKitError):
    """The settings lack something or contradict themselves."""


class InventoryError(OSUpdateKitError):
    """A list of devices that cannot be read."""


class FeedError(OSUpdateKitError):
    """A catalogue of releases that cannot be fetched or read."""


class SelectionError(OSUpdateKitError):
    """A criterion that cannot be understood."""


class PlanError(OSUpdateKitError):
    """A plan that cannot be read, or that the store does not know."""


class RolloutError(OSUpdateKitError):
    """An act that this rollout does not allow now."""


class StoreError(OSUpdateKitError):
    """The store cannot be used as it is."""


class AnalysisError(OSUpdateKitError):
    """Figures that cannot be computed as asked, or that do not add up."""


class ReportError(OSUpdateKitError):
    """A report that cannot be made or written."""

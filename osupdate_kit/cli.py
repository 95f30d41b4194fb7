"""The same flow without a notebook."""


def main() -> None:
    """The command."""

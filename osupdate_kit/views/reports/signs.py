"""The signs of the seven groups, drawn as paths: fonts lack them, and some turn them into emoji."""

_SHAPES = {
    "reached": '<circle cx="8" cy="8" r="7" fill="{ink}" stroke="none"/>'
    '<path d="m4.6 8.4 2.3 2.3 4.5-5" stroke="{ground}"/>',
    "active": '<circle cx="8" cy="8" r="6" opacity=".3"/><path d="M8 2a6 6 0 0 1 0 12"/>',
    "put_off": '<path d="M5.5 3.5v9m5-9v9" stroke-width="3"/>',
    "waiting": '<circle cx="8" cy="8" r="6"/>',
    "attention": '<path d="M8 1.5 15.2 14.5H.8z" fill="{ink}" stroke="none"/>'
    '<path d="M8 6v3.8m0 2v.4" stroke="{ground}"/>',
    "lost": '<rect x="1.5" y="1.5" width="13" height="13" rx="2" fill="{ink}" stroke="none"/>'
    '<path d="m5.3 5.3 5.4 5.4m0-5.4-5.4 5.4" stroke="{ground}"/>',
    "barred": '<circle cx="8" cy="8" r="6"/><path d="m4 12 8-8"/>',
}


def sign(group: str, *, ink: str, ground: str) -> str:
    """SVG, 16 units wide. Colours as in SVG attributes."""
    shape = _SHAPES[group].format(ink=ink, ground=ground)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" '
        f'fill="none" stroke="{ink}" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">{shape}</svg>'
    )

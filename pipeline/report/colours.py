"""Colours of all figures: Okabe and Ito's, which people with any colour vision can tell apart."""

from dataclasses import dataclass

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
REFUSED = COLOURS[5]
INK = "#333333"
LIGHT = "#D9D9D9"


@dataclass(frozen=True)
class Theme:
    """What a figure is drawn on and with. ground: None leaves what lies behind it to be seen."""

    name: str
    ink: str
    light: str
    ground: str | None = "white"


ON_PAPER = Theme("light", INK, LIGHT)
ON_LIGHT = Theme("light", INK, LIGHT, None)
ON_DARK = Theme("dark", "#D5DAE0", "#4A545E", None)

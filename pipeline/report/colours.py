"""Colours of all figures: Okabe and Ito's, which people with any colour vision can tell apart."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
REFUSED = COLOURS[5]
INK = "#333333"
LIGHT = "#D9D9D9"

"""Texts cut at offsets (`pieces.py`), and their tokens counted (`tokens.py`)."""

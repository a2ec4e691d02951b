"""Texts cut at offsets (`pieces.py`), their tokens counted (`tokens.py`), languages told (`languages.py`)."""

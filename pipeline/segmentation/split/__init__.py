r"""How a reasoning becomes sentences: two scans, then rules that join what belongs together.

`sentences.split` answers with the ends of the sentences. They concatenate to the reasoning, character by
character; white space between two belongs to the first. The work has four steps.

1. `spans.py` scans the text once for what must stay whole: code between fences or in backticks, math
   between `$`, `$$`, `\(` `\)`, `\[` `\]` or `\begin` `\end`, docstrings. Models forget to close these
   marks, so each kind says how far it may reach; what is not closed by then was no span. "costs $5 and $6"
   opens twice and closes never.
2. `candidates.py` scans the text once for where a sentence may end: at a line end, at a Latin stop (or "…")
   before white space and something that can begin a sentence, at any other script's stop (Unicode's
   Sentence_Terminal). Where a line's sentences begin with small letters, those can begin one. A stop does not
   count in a span, in an abbreviation or a number (`abbreviations.py`), in the brackets of a call
   (`brackets.py`), in a table row or a line of code (`lines.py`).
3. `merging.py` looks at each candidate's two sides (`pieces.py`) and drops those that would part what
   belongs together. Its rules are functions with names, in two tables: `INSEPARABLE` (what a colon
   announces, lines of code, rows of a table) always holds; `RELATED` (items of a list, steps of a
   derivation, "Therefore …") holds up to about 150 words, so that the partition keeps its freedom. Lengths
   are measured by script (`widths` in `pieces.py`), as a Chinese sign says more than a Latin letter.
4. `bounds.py` cuts what still has more tokens than `split.max_sentence_tokens`, also in a span: a program at
   its blank lines, a table at its rows, a line of data at its commas or, at last, anywhere.

Where to change something:

- an abbreviation, or a word that begins sentences: the sets in `abbreviations.py`
- what counts as code, a table row, an equation: `lines.py`
- a kind of span: the pattern in `spans.py` and its reach
- what may follow a stop and is still its sentence's, as "[1]": `_CLOSING` in `candidates.py`
- a word that continues ("Hence") or begins something ("Wait"): `_OPENING` in `pieces.py`
- what is joined: a function in `merging.py` and its line in a table

Then raise `SPLIT.version` in `stage.py`, so that runs split again.

Every step reads a character a bounded number of times, so time is linear, whatever the text holds: a test
doubles pathological texts. Patterns are those of `re`, but for `regex` where Unicode's properties are needed
(`candidates.py`, `bounds.py`) or alternatives share the names of their groups (`spans.py`).
"""

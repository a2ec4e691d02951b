"""How well a text could be interrupted at each boundary between two sentences: 0 to 3, as in the paper.

The stage (`stage.py`) asks rules first, then, by `score.detector`, a model about the boundaries that rules
are not sure of ("hybrid"), about all ("llm"), or about none ("cues").

- `rules.py` has the rules, one a line: a name, the score, whether the rule is sure, and a pattern in the
  syntax of `re`. A table says what its rules look at: the last character before the boundary, the last
  clause, the first words of the next sentence. "Let me check:" announces, so no cut follows it (0);
  "Alternatively, …" at the start of a paragraph opens something new (2.5).
- `matching.py` makes one pattern of a table; the first rule that matches decides.
- `cues.py` says in which order the tables decide, and what a paragraph's end or a reached result adds.
- `questions.py` puts boundaries to a model (`score.form: window`): up to `score.window` neighbours are
  marked in the reasoning up to them, and the model answers with a digit for each. The prompts are
  `prompts/score.md` and `prompts/score_window.md`.
- `prefill.py` asks nothing (`score.form: prefill`): a model reads the trace, and the less sure it is of the
  words behind a boundary, the better a cut there. For models too small to follow the question.

To change a rule, edit its line, run `python -m benchmarks.detectors`, which compares all rules with
boundaries judged by reading (`tests/gold`), and raise `SCORE.version` in `stage.py`.
"""

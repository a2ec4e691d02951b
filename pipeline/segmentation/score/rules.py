"""The rules about boundaries, one a line; `cues` says in which order they decide."""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Rule:
    name: str
    score: float
    sure: bool
    pattern: str
    """In the syntax of `re`; matched at the start of what the table says that its rules look at."""
    behind: tuple[str, ...] = ()
    """Patterns that can each match in one way only; `pattern` is matched behind them."""


SURE, ASK = True, False


def _any(words: str) -> str:
    """One of the words, in small or capital letters.

    Most texts begin with another letter, so it is looked at first: the rules take a third less time.
    """
    letters = "".join(sorted({word[0] for word in words.split("|")}))
    return f"(?i:(?=[{letters}])(?:{words}))"


_OH = _any("wait|hmm+|okay|ok|alright|oh|ah|but|so(?! far)|and|well|now|no|actually|yes")
_INTERJECTIONS = rf"(?:{_OH}\b[,.…!\s—-]*+)*+"
_I = _any("let me|let's|let us|i'll|i will|i should|i need to|i have to|we (?:should|need to)")
_LET_ME = rf"{_I}(?: (?:just|also|now|quickly|actually|first|try to|try and))*+ "
_AFTER_OH = (_INTERJECTIONS,)
_AFTER_LET_ME = (_INTERJECTIONS, _LET_ME)
_RECAP = _any(r"to recap|to summarize|recap|summarize|so far\b")
_VERIFY = _any("double|verify|check|confirm|re-?check")
_DIFFERENT = r".{0,30}\b(?i:another|different(?:ly)?|alternative(?:ly)?|better|simpler|else|instead)\b"
_CASE = r"\W*(?:Case|Scenario|Option|Approach|Method) ?(?:\d+|[A-Z])\b"
_NO_OPENING = r"(?!,? (?:far|let|to|now|(?:the|my) (?:final )?answer)\b)"
_HENCE = _any("so,? |thus,? |therefore,? |hence,? ") + "?"
_QUICK = _any("quick |sanity |double[ -]|cross[ -]")
_WORK = _any("code|implementation|algorithm|table|proof|solution")
_DOUBT = _any("but wait|wait|hold on|hmm+|actually|however|oh|no|okay|alright|ok")
_ASKS = "What|How|Why|Is|Are|Does|Do|Can|Could|Should|Would"
_CONTENT = r"(?:works|matches|correct|right|valid|impossible|good|fine|consistent|expected)"
# What a pattern asks for at the end is looked at first, without going back over the text for it.
_NUMBER_LAST = r"(?=(?>(?:.* )?)[^ ]*\d)"
_IS = "(?:answer|total|result|sum) is"
_TO_LAST_WORD = r"(?>.*\b(?=\w))"
_STEP = r"[^A-Za-z]*+(?:(?:At|For|When|If|Iteration|Step|Day|Round) )?(?:[a-z]\w? ?[=:] ?)?-?\d"

# The last character before the boundary.
LAST_CHARACTER_VETOES = (
    Rule("colon", 0, SURE, r":"),
    Rule("operator", 0, SURE, r"[-=+−×·/<>≤≥≈→⇒,;(&\\]"),
)
# The last clause before the boundary: what is announced must follow.
CLAUSE_VETOES = (
    Rule("announcement", 0, SURE, r"[^?]*$", _AFTER_LET_ME),
    Rule("assumption", 0, SURE, rf"{_any('suppose|assume|say|let (?!me|us)|consider|given')}\b", _AFTER_OH),
    Rule("doubt_raised", 0, SURE, rf"(?i:but )?{_any('wait|hold on|oh')}\b(?:.{{0,20}}\?|\W*)$"),
)

# The begin of the sentence after: what continues the sentence before.
BEGINNING_VETOES = (
    Rule("relation", 0, SURE, r"[=≈≤≥⇒→∴]|\\(?:approx|leq?|geq?|implies|Rightarrow)\b"),
    Rule("small_letter", 0.5, ASK, r"[a-z]"),
    Rule("continuation", 0, SURE, r"(?:And|Or|Nor|Which|Where|Because|Then|Thus|Hence)\b"),
    Rule("consequence", 0.5, SURE, rf"(?:So|Therefore|Yes|Yeah|Right|Correct)\b{_NO_OPENING}"),
    Rule("pronoun", 0, SURE, r"(?:This|That|These|Those|It|They|He|She|Its|Their|Both)\b"),
)

# The begins of both: two steps of one execution trace, "i=3: …" and "i=4: …", or two guesses.
STEP_VETOES = (
    Rule("execution_step", 0, SURE, _STEP),
    Rule("another_case", 1, ASK, _CASE),
    Rule("another_guess", 1, ASK, rf"{_any('alternatively|maybe|perhaps|or|could it be')}\b", _AFTER_OH),
)

# The begin of the sentence after: an aim that it states, the clearest first.
AIMS = (
    Rule("restatement", 2.5, SURE, _RECAP, _AFTER_LET_ME),
    Rule("restart", 2.5, SURE, r"(?i:start (?:over|again)|try again|go back|re\w*think)", _AFTER_LET_ME),
    Rule("verification", 2, SURE, _VERIFY, _AFTER_LET_ME),
    Rule(
        "new_approach",
        2.5,
        SURE,
        rf"(?:try|think|look|approach|use|consider|find) {_DIFFERENT}",
        _AFTER_LET_ME,
    ),
    Rule("final_answer", 3, SURE, _any("final answer|in conclusion|in summary"), _AFTER_OH),
    Rule("restatement", 2.5, SURE, _RECAP, _AFTER_OH),
    Rule("verification", 2, SURE, rf"To {_VERIFY}", _AFTER_OH),
    Rule("new_approach", 2.5, SURE, rf"{_any('alternatively|another (?!one|thing)')}\b", _AFTER_OH),
    Rule("new_approach", 2.5, SURE, rf"(?:Maybe|Perhaps) {_DIFFERENT}", _AFTER_OH),
    Rule("plan", 2, ASK, rf"{_I}\b", _AFTER_OH),
)

# The begin of the sentence after: what else opens something new, the clearest first.
OPENINGS = (
    Rule("heading", 3, SURE, r"#{1,6} |\*\*[^*\n]{1,80}\*\*\s*\n"),
    Rule("check", 2, ASK, rf"{_QUICK}?{_any('check|verify|verification')}\b"),
    Rule("answer", 2, ASK, rf"{_HENCE}(?i:the |my )?(?i:answer)\b.{{0,20}}(?i: is\b|:)"),
    Rule("work_begins", 2, ASK, rf"(?i:the |final )*{_WORK}:"),
    Rule("new_question", 2, ASK, rf"(?:{_ASKS})\b(?! (?:that|this|it)\b)[^.!?\n]{{8,}}\?"),
    Rule("case_split", 2, SURE, _CASE),
    Rule("step_heading", 2, ASK, rf"\W*{_any('step|part|phase|stage')} ?\d"),
    Rule("next_stage", 2, SURE, rf"{_any('okay,? |alright,? |now,? ')}?(?i:moving on|finally,)"),
    Rule("stage", 2, ASK, rf"{_any('so now|now|next|first|second|third|lastly')}\b"),
    Rule("definition", 1.5, ASK, rf"{_any('let (?!me|us)|define|denote')}\b"),
    Rule("doubt", 1.5, ASK, rf"{_DOUBT}\b"),
    Rule("parallel", 1.5, ASK, rf"{_any('similarly|likewise|again|same|also')}\b"),
    Rule("objection", 1, ASK, r"But\b"),
    Rule("list_item", 0.5, ASK, r"(?:[-*•+]|\(?\w{1,3}[.):])\s"),
)

# The last character before the boundary, where it does not end a sentence that states something.
LAST_CHARACTERS = (
    Rule("question", 0.5, ASK, r"\?"),
    Rule("no_full_stop", 0.5, ASK, r"[^.!…。✓\"'’”)\]*`}]"),
)
# The last clause before the boundary, where it reached a result.
CONCLUSIONS = (Rule("result_reached", 1.5, ASK, rf"{_any('so|therefore|thus|hence')}\b"),)
# The same of its last 30 characters.
ENDINGS = (
    Rule("result_reached", 1.5, ASK, rf"{_NUMBER_LAST}.*\b(?:{_IS}|=) ?[^ ]*\d[^ ]*$"),
    Rule("result_reached", 1.5, ASK, rf"{_TO_LAST_WORD}{_CONTENT}\W*$|.*✓\W*$"),
)

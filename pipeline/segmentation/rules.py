"""The rules about boundaries, one a line; `cues` says in which order they decide."""

from typing import NamedTuple


class Rule(NamedTuple):
    name: str
    score: float
    sure: bool
    pattern: str
    """In the syntax of `re`; matched at the start of what the table says that its rules look at."""


SURE, ASK = True, False

_OH = r"(?i:wait|hmm+|okay|ok|alright|oh|ah|but|so(?! far)|and|well|now|no|actually|yes)"
# Put before a pattern: it is matched behind all interjections, or behind those and "let me", "I should".
_AFTER_OH = rf"(?:{_OH}\b[,.…!\s—-]*+)*+"
_I = r"(?i:let me|let's|let us|i'll|i will|i should|i need to|i have to|we (?:should|need to))"
_AFTER_LET_ME = rf"{_AFTER_OH}{_I}(?: (?:just|also|now|quickly|actually|first|try to|try and))*+ "
_RECAP = r"(?i:to recap|to summarize|recap|summarize|so far\b)"
_VERIFY = r"(?i:double|verify|check|confirm|re-?check)"
_DIFFERENT = r".{0,30}\b(?i:another|different(?:ly)?|alternative(?:ly)?|better|simpler|else|instead)\b"
_CASE = r"\W*(?:Case|Scenario|Option|Approach|Method) ?(?:\d+|[A-Z])\b"
_NO_OPENING = r"(?!,? (?:far|let|to|now|(?:the|my) (?:final )?answer)\b)"
_HENCE = r"(?i:so,? |thus,? |therefore,? |hence,? )?"
_ASKS = "What|How|Why|Is|Are|Does|Do|Can|Could|Should|Would"
_CONTENT = r"(?:works|matches|correct|right|valid|impossible|good|fine|consistent|expected)"
_STEP = r"[^A-Za-z]*+(?:(?:At|For|When|If|Iteration|Step|Day|Round) )?(?:[a-z]\w? ?[=:] ?)?-?\d"

# The last character before the boundary.
LAST_CHARACTER_VETOES = (
    Rule("colon", 0, SURE, r":"),
    Rule("operator", 0, SURE, r"[-=+−×·/<>≤≥≈→⇒,;(&\\]"),
)
# The last clause before the boundary: what is announced must follow.
CLAUSE_VETOES = (
    Rule("announcement", 0, SURE, rf"{_AFTER_LET_ME}[^?]*$"),
    Rule("assumption", 0, SURE, rf"{_AFTER_OH}(?i:suppose|assume|say|let (?!me|us)|consider|given)\b"),
    Rule("doubt_raised", 0, SURE, r"(?i:but )?(?i:wait|hold on|oh)\b(?:.{0,20}\?|\W*)$"),
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
    Rule("another_guess", 1, ASK, rf"{_AFTER_OH}(?i:alternatively|maybe|perhaps|or|could it be)\b"),
)

# The begin of the sentence after: an aim that it states, the clearest first.
AIMS = (
    Rule("restatement", 2.5, SURE, rf"{_AFTER_LET_ME}{_RECAP}"),
    Rule("restart", 2.5, SURE, rf"{_AFTER_LET_ME}(?i:start (?:over|again)|try again|go back|re\w*think)"),
    Rule("verification", 2, SURE, rf"{_AFTER_LET_ME}{_VERIFY}"),
    Rule(
        "new_approach",
        2.5,
        SURE,
        rf"{_AFTER_LET_ME}(?:try|think|look|approach|use|consider|find) {_DIFFERENT}",
    ),
    Rule("final_answer", 3, SURE, rf"{_AFTER_OH}(?i:final answer|in conclusion|in summary)"),
    Rule("restatement", 2.5, SURE, rf"{_AFTER_OH}{_RECAP}"),
    Rule("verification", 2, SURE, rf"{_AFTER_OH}To {_VERIFY}"),
    Rule("new_approach", 2.5, SURE, rf"{_AFTER_OH}(?i:alternatively|another (?!one|thing))\b"),
    Rule("new_approach", 2.5, SURE, rf"{_AFTER_OH}(?:Maybe|Perhaps) {_DIFFERENT}"),
    Rule("plan", 2, ASK, rf"{_AFTER_OH}{_I}\b"),
)

# The begin of the sentence after: what else opens something new, the clearest first.
OPENINGS = (
    Rule("heading", 3, SURE, r"#{1,6} |\*\*[^*\n]{1,80}\*\*\s*\n"),
    Rule("check", 2, ASK, r"(?i:quick |sanity |double[ -]|cross[ -])?(?i:check|verify|verification)\b"),
    Rule("answer", 2, ASK, rf"{_HENCE}(?i:the |my )?(?i:answer)\b.{{0,20}}(?i: is\b|:)"),
    Rule("work_begins", 2, ASK, r"(?i:the |final )*(?i:code|implementation|algorithm|table|proof|solution):"),
    Rule("new_question", 2, ASK, rf"(?:{_ASKS})\b(?! (?:that|this|it)\b)[^.!?\n]{{8,}}\?"),
    Rule("case_split", 2, SURE, _CASE),
    Rule("step_heading", 2, ASK, r"\W*(?i:step|part|phase|stage) ?\d"),
    Rule("next_stage", 2, SURE, r"(?i:okay,? |alright,? |now,? )?(?i:moving on|finally,)"),
    Rule("stage", 2, ASK, r"(?i:so now|now|next|first|second|third|lastly)\b"),
    Rule("definition", 1.5, ASK, r"(?i:let (?!me|us)|define|denote)\b"),
    Rule("doubt", 1.5, ASK, r"(?i:but wait|wait|hold on|hmm+|actually|however|oh|no|okay|alright|ok)\b"),
    Rule("parallel", 1.5, ASK, r"(?i:similarly|likewise|again|same|also)\b"),
    Rule("objection", 1, ASK, r"But\b"),
    Rule("list_item", 0.5, ASK, r"(?:[-*•+]|\(?\w{1,3}[.):])\s"),
)

# The last character before the boundary, where it does not end a sentence that states something.
LAST_CHARACTERS = (
    Rule("question", 0.5, ASK, r"\?"),
    Rule("no_full_stop", 0.5, ASK, r"[^.!…。✓\"'’”)\]*`}]"),
)
# The last clause before the boundary, where it reached a result.
CONCLUSIONS = (Rule("result_reached", 1.5, ASK, r"(?i:so|therefore|thus|hence)\b"),)
# The same of its last 30 characters.
ENDINGS = (
    Rule("result_reached", 1.5, ASK, r".*\b(?:(?:answer|total|result|sum) is|=) ?[^ ]*\d[^ ]*$"),
    Rule("result_reached", 1.5, ASK, rf".*\b{_CONTENT}\W*$|.*✓\W*$"),
)

"""Full stops that end no sentence: abbreviations, initials, numbers of list items."""

import re


def belongs_to_word(text: str, line_start: int, dot: int, next_start: int) -> bool:
    """Whether the full stop at `dot` is part of a word or number; `next_start`: what follows it."""
    if dot >= _LONGEST_WORD and text[dot - _LONGEST_WORD : dot].isalpha():
        return False
    before, _, word = text[max(line_start, dot - 12) : dot].rpartition(" ")
    word = word.lstrip("([{\"'“‘*_$")
    if _ABBREVIATION.fullmatch(word):
        return True
    if _BEFORE_NUMBERS.fullmatch(word) and _NUMBER.match(text, next_start):
        return True
    if len(word) > _LONGEST_NUMBERING:
        return False
    numbers = _NUMBERING.fullmatch(word) is not None
    if numbers and dot - len(word) <= line_start + 2:  # "1. Foo" at the start of a line
        return True
    if _OPENER.match(text, next_start):
        return False
    # "J. Smith" and "A. 600, B. 490", but "the point A. Then", "so do I. Mary".
    if _INITIAL.fullmatch(word) or (word == "I" and before.endswith(",")):
        return _NAME.match(text, next_start) is not None
    return numbers and before.endswith(":")  # "do this: 1. Foo"


_ABBREVIATION = re.compile(
    r"""(?i: al | cf | col | dr | gen | hon | jr | lt | mrs? | ms | mt | prof | resp | rev | sgt | sr | st
    | viz | vs | (?:[a-z]{1,2}\.)+[a-z]{1,2} )""",
    re.VERBOSE,
)
_BEFORE_NUMBERS = re.compile(
    r"""(?i: approx | art | ca | ch | cor | def | eqn?s? | ex | figs? | lem | max | min | nos? | pp?
    | prop | ref | secs? | thm | vol | jan | feb | mar | apr | jun | jul | aug | sept? | oct | nov
    | dec )""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[(\[$]?\d|\\(?:eq)?ref\b|(?!I\b)[IVX]+\b")
_INITIAL = re.compile(r"[A-HJ-Z]")
_NAME = re.compile(r"[A-Z](?:[a-z]|\.)|\$?\d")
_OPENER = re.compile(
    r"""(?: After | All | Also | Alternatively | Although | And | Another | Any | Are | As | Assume
    | At | Because | Both | But | By | Can | Check | Consider | Could | Do | Does | Each | Either
    | Finally | First | For | From | Given | Hence | Here | Hmm | How | However | If | In | Indeed
    | Is | It | Its | Just | Let | Like | Maybe | More | Moreover | My | Next | No | Not | Note
    | Now | Of | Oh | Okay | On | Once | One | Only | Or | Otherwise | Our | Perhaps | Plus | Same
    | Second | Similarly | Since | So | Some | Still | Such | Suppose | That | The | Their | Then
    | There | Therefore | These | They | This | Those | Thus | To | Under | Using | Wait | We | Well
    | What | When | Where | Which | While | Why | With | Would | Yes | Yet | You )\b""",
    re.VERBOSE,
)
_NUMBERING = re.compile(r"\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4}")
_LONGEST_NUMBERING = 4
# No abbreviation above has so many letters, and most words at the end of a sentence have.
_LONGEST_WORD = 7

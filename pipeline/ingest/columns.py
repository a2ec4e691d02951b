"""Which layout rows have, by the names of their columns and by what the config says of them."""

from collections.abc import Mapping, Sequence

from pipeline.config import SourceConfig
from pipeline.ingest.conversation import REASONING_NAMES
from pipeline.ingest.layouts import LABELS, Layout
from pipeline.ingest.think_tags import ThinkTags
from pipeline.run.outcomes import Rejected, RejectReason

# First come first served, except that a form whose columns the config maps goes before the others.
_FORMS = (
    ("conversations", ("conversations",)),
    # Before messages: OpenR1-Math has one answer of several there.
    ("problem_response", ("problem", "generations")),
    ("messages", ("messages",)),
    ("problem_response", ("problem", "response")),
    ("problem_response", ("problem", "reasoning", "answer")),
)
# What a part is called where it is not called by its own name, in this order. A form whose columns all have
# the parts' own names goes before one that has not.
_OTHER_NAMES = {
    "conversations": ("conversation",),
    "messages": ("dialog", "dialogue", "chat"),
    "problem": ("question", "prompt", "instruction", "input", "query", "user", "messages", "conversations"),
    "response": (
        "output",
        "completion",
        "generation",
        "generated_solution",
        "llm_response",
        "model_response",
    ),
    # Of s1K and s1K-1.1, OpenThoughts-114k, medical-o1, gpt-oss.
    "reasoning": (
        *REASONING_NAMES,
        "thinking_trajectories",
        "deepseek_thinking_trajectory",
        "deepseek_reasoning",
        "complex_cot",
        "chain_of_thought",
        "analysis",
    ),
    "answer": (
        "attempt",
        "deepseek_attempt",
        "deepseek_solution",
        "final",
        "solution",
        "response",
        "output",
        "completion",
    ),
}
# Never taken for what its name says where the config does not map it: sources mean many things by it.
_VERIFIED = "verified"
# Lists beside `generations`; an answer needs one of them, as the dataset's own makers count it.
_VERDICTS_OF_GENERATIONS = ("correctness_math_verify", "correctness_llama")


def layout_of(
    names: Sequence[str], config: SourceConfig, *, some_labels_missing: bool = False
) -> Layout | Rejected:
    """The likeliest layout of rows with these columns, as `layouts_of` has it."""
    found = layouts_of(names, config, some_labels_missing=some_labels_missing)
    return found if isinstance(found, Rejected) else found[0]


def layouts_of(
    names: Sequence[str], config: SourceConfig, *, some_labels_missing: bool = False
) -> list[Layout] | Rejected:
    """The layouts that rows with these columns may have, the likeliest first; UNKNOWN_LAYOUT without one.

    Which one a row has is decided by what it holds: `messages` may be null beside a good response.
    Names count in capitals, too. some_labels_missing: the names are those of one row, which may lack labels
    that the config maps.
    """
    mapped: dict[str, str] = dict(config.columns.items())
    needed = [column for part, column in mapped.items() if not (some_labels_missing and part in LABELS)]
    missing = sorted(column for column in needed if column not in names)
    if missing:
        return Rejected(
            RejectReason.UNKNOWN_LAYOUT,
            f"source.columns names {', '.join(missing)}, but the columns are {', '.join(names)}",
        )
    found = [
        (parts, columns)
        for name, parts in _FORMS
        if config.layout in ("auto", name) and (columns := _columns(parts, names, mapped)) is not None
    ]
    if not found:
        return Rejected(
            RejectReason.UNKNOWN_LAYOUT,
            f"the columns are {', '.join(names)}; known are conversations, messages, problem + response, "
            "problem + generations, and problem + reasoning + answer: set source.columns, e.g. "
            f"{{problem: task, response: text}}{_hint(names)}",
        )

    def rank(form: tuple[tuple[str, ...], dict[str, str]]) -> tuple[int, bool, int]:
        parts, columns = form
        by_other_names = any(columns[part] not in (part, mapped.get(part)) for part in parts)
        # Reasoning in a column of its own is not taken for an answer without any.
        return -sum(part in mapped for part in parts), by_other_names, -len(parts) if by_other_names else 0

    found.sort(key=rank)
    likely = [form for form in found if rank(form)[0] == rank(found[0])[0]]
    return [_layout(parts, columns, names, mapped, config) for parts, columns in likely]


def _hint(names: Sequence[str]) -> str:
    if {"custom_id", "response"} <= set(names):
        return "; the answers of a batch have no prompts: join them with those that were sent, by custom_id"
    return ""


def _columns(parts: Sequence[str], names: Sequence[str], mapped: Mapping[str, str]) -> dict[str, str] | None:
    """The columns that have these parts; None where one of them has none."""
    columns: dict[str, str] = {}
    written = {name.lower(): name for name in reversed(names)} | {name: name for name in names}
    for part in parts:
        candidates = [mapped[part]] if part in mapped else [part, *_OTHER_NAMES.get(part, ())]
        known = (written[name] for name in candidates if name in written)
        free = (name for name in known if name not in columns.values())
        if (column := next(free, None)) is None:
            return None
        columns[part] = column
    return columns


def _layout(
    parts: tuple[str, ...],
    columns: dict[str, str],
    names: Sequence[str],
    mapped: Mapping[str, str],
    config: SourceConfig,
) -> Layout:
    told = [
        f"the {part} from `{columns[part]}`"
        for part in parts
        if columns[part] not in (part, mapped.get(part))
    ]
    verdicts: tuple[str, ...] = (mapped[_VERIFIED],) if _VERIFIED in mapped else ()
    if parts == ("problem", "generations"):
        parts = ("problem", "response")
        columns["response"] = columns.pop("generations")
        verdicts = verdicts or tuple(name for name in _VERDICTS_OF_GENERATIONS if name in names)
        told.append("several answers a row from `generations`")
        if verdicts:
            told.append(f"only those that {' or '.join(f'`{name}`' for name in verdicts)} confirms")
    if parts == ("problem", "response"):
        apart = [name for name in REASONING_NAMES if name in names and name not in columns.values()]
        columns |= {"reasoning": apart[0]} if apart else {}
    if columns.get("problem") == "instruction" and "input" in names:
        columns["input"] = "input"
        told.append("with what `input` adds to it")
    labels = [label for label in LABELS if mapped.get(label, label) in names]
    return Layout(
        parts,
        columns | {label: mapped.get(label, label) for label in labels},
        verdicts,
        ThinkTags(*config.think) if config.think else None,
        f"reading {', '.join(told)}; map others with source.columns" if told else "",
    )

"""What an evaluation leaves: all generations, the numbers, the tables, the figures."""

import math
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import SamplingConfig as AllSampling
from pipeline.evaluate.claims import checked
from pipeline.evaluate.config import EvaluateConfig, SamplingConfig
from pipeline.evaluate.dataset_kv import kv_table
from pipeline.evaluate.figures import draw_accuracy, draw_dose_response, draw_majority, draw_sawtooth
from pipeline.evaluate.generations import SCHEMA
from pipeline.evaluate.judgements import has_failed
from pipeline.evaluate.probe import CHANCE, ProbeResult
from pipeline.evaluate.probing import probes_table
from pipeline.evaluate.register_machine import Carried, carried, left_out, share_of_carried
from pipeline.evaluate.sufficiency import CONDITIONS, by_trace, standing_answers, sufficiency_table
from pipeline.evaluate.summary import Summary, comparisons, summaries
from pipeline.evaluate.tables import carried_table, dose_table, results_table
from pipeline.evaluate.tasks import REGISTER_MACHINE
from pipeline.files.atomic import replacing, write_json, write_table
from pipeline.llm.deviations import Deviation

# Of a model's responses; the known words for an end are in llm/chat_completions.py.
_NEARLY_ALL = 0.9
_ABOUT = (
    "Right: pass@1 with its 95 % interval; the lines below a table compare on the same problems, where what "
    "is hard for both cancels. Well formed: the response ended, and its parts are those of the format. Peak "
    "and area of the KV cache are counted in tokens, prompt included, at each token that was computed. "
    "vanilla keeps every token; memento drops finished blocks; restart drops them and computes their "
    "mementos again without them."
)


@dataclass(frozen=True)
class ModelResults:
    """One model's responses (generations.SCHEMA) to all tasks, and its probe, if there was one.

    sampling: how they were written, None in it where only a server knows; missing: responses that are not
    there, by task and mode and why; left_out: traces of a data set that it could not be asked about, by
    reason; notes: how the references of tasks were read, and which rows were not asked.
    """

    label: str
    table: pa.Table
    sampling: SamplingConfig | None
    missing: Mapping[str, Mapping[str, int]]
    probed: Sequence[ProbeResult]
    left_out: Mapping[str, int]
    notes: Sequence[str] = ()


def write_report(
    config: EvaluateConfig, models: Sequence[ModelResults], kv: pa.Table | None, folder: Path
) -> dict[str, Any]:
    """Writes generations.parquet, results.json, results.md and figures/ of all responses; the numbers.

    kv: what traces of a data set take (dataset_kv.SCHEMA), if one was measured; it becomes kv.parquet. What
    each model reaches with their mementos becomes sufficiency/LABEL.parquet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # What an evaluation of other models or tasks has shown here is not this one's.
    for earlier in ("figures", "sufficiency"):
        shutil.rmtree(folder / earlier, ignore_errors=True)
    (folder / "kv.parquet").unlink(missing_ok=True)
    table = pa.concat_tables([SCHEMA.empty_table(), *(each.table for each in models)])
    write_table(table, folder / "generations.parquet")
    found = summaries(table)
    compared = comparisons(table)
    text = f"{results_table(found, compared)}\n{_ABOUT}\n" if found else ""
    failed = _failed_judges(found)
    notes = list(dict.fromkeys(note for each in models for note in each.notes))
    lines = [f"- {note}" for note in notes]
    lines += [*_sampling_lines(models), *_missing_lines(models), *_failed_lines(failed)]
    unknown = {each.label: ends for each in models if (ends := _unknown_ends(each.table))}
    lines += [f"- {label}: {unknown_ends_text(ends)}" for label, ends in unknown.items()]
    taken = {each.label: its for each in models if (its := _taken(each.table))}
    lines += [
        f"- {label}: {count:,} responses {Deviation(name).text}"
        for label, its in taken.items()
        for name, count in its.items()
    ]
    text += "\n" + "\n".join(lines) + "\n" if lines else ""
    if kv is not None:
        write_table(kv, folder / "kv.parquet")
        text += f"\nKV cache of the reasoning, one trace in the mean:\n\n{kv_table(kv)}\n"
    standing = standing_answers(config.dataset, config.limit) if config.dataset and models else {}
    last_memento = config.dataset is not None and config.dataset.last_memento
    for each in models if config.dataset else ():
        asked = each.table.filter(pc.is_in(each.table["task"], pa.array(CONDITIONS)))
        enough = by_trace(asked, standing, last_memento=last_memento)
        path = folder / "sufficiency" / f"{_file_name(each.label)}.parquet"
        path.parent.mkdir(exist_ok=True)
        write_table(enough, path)
        text += f"\nThe traces' answers, reached by {each.label}:\n\n{sufficiency_table(enough)}\n"
        text += "".join(f"\nNot asked about: {count:,} ({why})\n" for why, count in each.left_out.items())
    rows = _computed_rows(table)
    behind = {key: [[*carried(row["response"])] for row in its] for key, its in rows.items()}
    behind = {key: its for key, its in behind.items() if any(its)}
    if behind:
        text += f"\nRegisters at a block's first line:\n\n{carried_table(behind)}\n"
    # A model whose mementos all leave out equally many shows no response to the dose.
    doses = {f"{model}, {mode}": _doses(its) for (model, mode), its in rows.items()}
    doses = {name: its for name, its in doses.items() if len(its) > 1}
    if doses:
        text += f"\nRight, by how many mementos leave out a register:\n\n{dose_table(doses)}\n"
    probes = {each.label: each.probed for each in models if each.probed}
    if probes:
        text += f"\nDigits of a code read from mementos, chance {CHANCE:.0%}:\n\n{probes_table(probes)}\n"
    claims = checked(config.claims, table)
    if claims:
        text += "\nClaims:\n\n" + "".join(f"- {claim}\n" for claim in claims)
    figures = _figures(found, table, doses, folder / "figures")
    with replacing(folder / "results.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    report = {
        "name": config.name,
        "settings": config.model_dump(mode="json"),
        "sampling": {each.label: each.sampling.model_dump() for each in models if each.sampling},
        "missing": {each.label: dict(each.missing) for each in models if each.missing},
        "judge_failed": failed,
        "unknown_ends": unknown,
        "taken": taken,
        "results": [each.as_json() for each in found],
        "notes": notes,
        "differences": [each.as_json() for each in compared],
        "carried_over": [_carried_json(*key, its) for key, its in behind.items()],
        "dose_response": {
            name: [{"left_out": dose, "right": right, "of": of} for dose, (right, of) in sorted(its.items())]
            for name, its in doses.items()
        },
        "claims": [
            {
                **each.claim.model_dump(mode="json"),
                "right": each.right,
                "of": each.responses,
                "holds": each.holds,
            }
            for each in claims
        ],
        "probes": {label: [asdict(each) for each in its] for label, its in probes.items()},
        "not_asked_about": {each.label: dict(each.left_out) for each in models if each.left_out},
        "figures": figures,
        "folder": str(folder),
    }
    write_json(report, folder / "results.json")
    return report


def _sampling_lines(models: Sequence[ModelResults]) -> list[str]:
    """How each model's tokens were chosen, as they were really."""
    return [f"- {each.label}: {_sampling_text(each.sampling)}" for each in models if each.sampling]


def _sampling_text(sampling: SamplingConfig) -> str:
    own = "the server's own"
    if sampling.temperature == 0:
        parts = ["the likeliest token each time"]
    else:
        told = sampling.model_dump(include={"temperature", *AllSampling.model_fields})
        parts = [f"{name} {own if value is None else f'{value:g}'}" for name, value in told.items()]
    limit = "" if sampling.block_limit is None else f", blocks ended after {sampling.block_limit:,} tokens"
    return f"{', '.join(parts)}; at most {sampling.new_tokens:,} tokens{limit}; seed {sampling.seed}"


def _missing_lines(models: Sequence[ModelResults]) -> list[str]:
    return [
        f"- {each.label}, {part}: {count:,} responses are missing ({why})"
        for each in models
        for part, its in each.missing.items()
        for why, count in its.items()
    ]


def _failed_judges(found: Sequence[Summary]) -> list[dict[str, Any]]:
    """Answers that could not be judged, which count as not right, and why, by model, task and mode."""
    return [
        {"model": each.model, "task": each.task, "mode": each.mode, "faults": faults}
        for each in found
        if (faults := {fault: count for fault, count in each.faults.items() if has_failed(fault)})
    ]


def _failed_lines(failed: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"- {each['model']}, {each['task']}, {each['mode']}: {count:,} `{fault}`"
        for each in failed
        for fault, count in each["faults"].items()
    ]


def _unknown_ends(table: pa.Table) -> dict[str, int]:
    """How a model's responses ended, and how many so, where nearly all did in ways that are not known."""
    rows = table.select(["response", "unknown_end"]).to_pylist()
    ends = Counter(row["unknown_end"] for row in rows if row["unknown_end"])
    came = sum(bool(row["response"] or row["unknown_end"]) for row in rows)
    return dict(ends) if ends and ends.total() >= _NEARLY_ALL * came else {}


def _taken(table: pa.Table) -> dict[str, int]:
    """Responses by what of them or of their requests was not as asked for."""
    return dict(Counter(name for its in table["deviations"].to_pylist() for name in its).most_common())


def unknown_ends_text(ends: Mapping[str, int]) -> str:
    """A line about what `report["unknown_ends"]` has of a model."""
    said = ", ".join(f"{count:,} `{end}`" for end, count in ends.items())
    return (
        f"nearly all responses ended with a finish_reason that is not known ({said}): they are taken as "
        "complete, which some may not be; see what the server means by it"
    )


def _file_name(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.") or "model"


def _computed_rows(table: pa.Table) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Responses to register machines, by model and mode."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table.select(["model", "mode", "task", "response", "fault"]).to_pylist():
        if row["task"].startswith(REGISTER_MACHINE):
            rows.setdefault((row["model"], row["mode"]), []).append(row)
    return rows


def _figures(
    found: Sequence[Summary],
    table: pa.Table,
    doses: Mapping[str, Mapping[int, tuple[int, int]]],
    folder: Path,
) -> list[str]:
    written = []
    for number, task in enumerate(dict.fromkeys(each.task for each in found)):
        its = [each for each in found if each.task == task]
        if not all(math.isnan(each.peak_tokens) for each in its):
            draw_accuracy(its, folder / f"accuracy-{number}.svg")
            written.append(f"accuracy-{number}.svg")
        if any(len(each.majority_at) > 1 for each in its):
            draw_majority(its, folder / f"majority-{number}.svg")
            written.append(f"majority-{number}.svg")
        curves, prompt = _curves(table, task)
        if curves:
            draw_sawtooth(curves, prompt, folder / f"sawtooth-{number}.svg")
            written.append(f"sawtooth-{number}.svg")
    if doses:
        draw_dose_response(doses, folder / "dose-response.svg")
        written.append("dose-response.svg")
    return written


def _curves(table: pa.Table, task: str) -> tuple[dict[str, list[int]], int]:
    """By mode what the last model's cache held while it answered the first problem, and the prompt's size."""
    its = table.filter(pc.and_(pc.equal(table["task"], task), pc.equal(table["sample"], 0)))
    if not len(its):
        return {}, 0
    model, problem = its["model"][-1].as_py(), its["problem"][0].as_py()
    its = its.filter(pc.and_(pc.equal(its["model"], model), pc.equal(its["problem"], problem)))
    rows = [row for row in its.select(["mode", "held", "prompt_tokens"]).to_pylist() if row["held"]]
    return {f"{model}, {row['mode']}": row["held"] for row in rows}, rows[0]["prompt_tokens"] if rows else 0


def _doses(rows: Sequence[dict[str, Any]]) -> dict[int, tuple[int, int]]:
    doses: dict[int, tuple[int, int]] = {}
    for row in rows:
        if (dose := left_out(row["response"])) is not None:
            right, responses = doses.get(dose, (0, 0))
            doses[dose] = (right + (not row["fault"]), responses + 1)
    return doses


def _carried_json(model: str, mode: str, found: Sequence[Sequence[Carried]]) -> dict[str, Any]:
    shares = {
        name: share_of_carried(found, stated=stated)
        for name, stated in (("named", True), ("not_named", False))
    }
    return {"model": model, "mode": mode} | {name: its and asdict(its) for name, its in shares.items()}

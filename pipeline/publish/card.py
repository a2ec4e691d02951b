"""The dataset card: README.md with the YAML that the Hub reads. Its numbers are the data's."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
import pyarrow.parquet as pq
import yaml
from huggingface_hub import DatasetCardData

import schemas.openmementos
from pipeline.config import BuildConfig
from pipeline.llm.deviations import Deviation
from pipeline.publish.rows import CONFIGURATIONS, Made
from pipeline.publish.splits import split_shares
from pipeline.records.quality import wanted_quality
from pipeline.report.kv_cache import MODELS
from pipeline.report.picture import Picture
from pipeline.report.shown_settings import shown_settings
from pipeline.report.stats import FunnelRow, Statistics
from pipeline.run.outcomes import RejectReason

if TYPE_CHECKING:
    from datasets import DatasetInfo, SplitInfo


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from; `files` are the published Parquet files by configuration and split.

    taken: replies that were not as asked for, by what it was; languages: shares of rows by ISO 639-1 code,
    the largest first.
    """

    config: BuildConfig
    made: Made
    statistics: Statistics
    funnel: Sequence[FunnelRow]
    taken: Mapping[Deviation, int]
    pictures: Sequence[Picture]
    languages: Mapping[str, float]
    files: Mapping[str, Mapping[str, Sequence[Path]]]


class CacheRow(NamedTuple):
    """Means over the traces of a model's KV cache: its peaks in MB, its areas in GB x 1,000 tokens."""

    model: str
    peak_kept: float
    peak: float
    peak_ratio: float
    area_kept: float
    area: float
    area_ratio: float


def write_card(facts: CardFacts, folder: Path) -> Path:
    """Writes folder/README.md, which names the files by their paths below the folder."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.publish"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML; texts of the data are not on the card
    )
    environment.filters |= {"count": _count, "decimal": _decimal, "percent": _percent, "cell": _cell}
    environment.filters |= {"digits": _digits, "code": _code}
    environment.tests["hub_name"] = lambda text: bool(_HUB_NAME.fullmatch(text))
    text = environment.get_template("card.md.j2").render(
        front_matter=_front_matter(facts),
        title=facts.config.publish.pretty_name,
        made=facts.made,
        sources=_sources(facts.config),
        tokens=schemas.openmementos,
        statistics=facts.statistics,
        caches=_caches(facts.statistics),
        oversized=_oversized(facts.statistics, facts.config.partition.max_tokens),
        max_block_tokens=facts.config.partition.max_tokens,
        sufficiency=_sufficiency(facts.files),
        only_sufficient=facts.config.publish.only_sufficient,
        splits=split_shares(facts.config.publish),
        summaries=[*facts.statistics.by_domain, facts.statistics.overall],
        max_rounds=facts.config.mementos.max_rounds,
        rejected=_rejected(facts.funnel),
        failed=sum(row.failed for row in facts.funnel),
        taken=facts.taken,
        rows_in=facts.funnel[0].rows_in if facts.funnel else 0,
        pictures=[(f"figures/{picture.path.name}", picture.caption) for picture in facts.pictures],
        settings=_settings(facts.config),
        languages=facts.languages,
        license=facts.config.publish.license,
        quality=wanted_quality(facts.config),
        verified="verified" in facts.config.source.columns,
        demonstration=_is_bundled(facts.made.model),
    )
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def _oversized(statistics: Statistics, most: int | None) -> int:
    """How many published blocks are longer than `partition.max_tokens`."""
    return 0 if most is None else int((statistics.mementos["block_tokens"] > most).sum())


class SufficiencyRow(NamedTuple):
    """Of a domain's traces those that a model was asked about, and those whose answer it reached."""

    domain: str
    asked: int
    reached: int


def _sufficiency(files: Mapping[str, Mapping[str, Sequence[Path]]]) -> list[SufficiencyRow]:
    """By domain, as the column `sufficient` of the written files says; empty where nobody was asked."""
    asked: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for split, paths in files["audit"].items():
        # The rows of the configurations are in the same order.
        domains = (_column(path, "domain") for path in files["default"][split])
        verdicts = (_column(path, "sufficient") for path in paths)
        for domain, verdict in zip(chain.from_iterable(domains), chain.from_iterable(verdicts), strict=True):
            if verdict is not None:
                asked[domain or ""] += 1
                reached[domain or ""] += verdict
    return [SufficiencyRow(domain, asked[domain], reached[domain]) for domain in sorted(asked)]


def _column(path: Path, name: str) -> list[Any]:
    values: list[Any] = pq.read_table(path, columns=[name])[name].to_pylist()
    return values


def _front_matter(facts: CardFacts) -> str:
    # It takes a second to import, which commands that write no card need not wait.
    from datasets.info import DatasetInfosDict

    publish = facts.config.publish
    datasets = _hub_datasets(facts.config)
    card = DatasetCardData(
        pretty_name=" ".join(publish.pretty_name.split()),  # a line "---" would end the YAML
        license=publish.license,
        language=list(publish.language) if publish.language is not None else list(facts.languages),
        task_categories=["text-generation"],
        size_categories=[_size_category(facts.statistics.overall.traces)],
        source_datasets=datasets or None,
        tags=["memento", "reasoning", "chain-of-thought", "context-compression", "kv-cache", "synthetic"],
        configs=[
            {
                "config_name": configuration.name,
                **({"default": True} if configuration.name == "default" else {}),
                "data_files": [
                    {"split": split, "path": f"{configuration.folder}/{split}-*"}
                    for split, files in facts.files[configuration.name].items()
                    if files
                ],
            }
            for configuration in CONFIGURATIONS
        ],
    )
    infos = {name: _dataset_info(name, files) for name, files in facts.files.items()}
    DatasetInfosDict(infos).to_dataset_card_data(card)
    text: str = card.to_yaml()
    return text.strip()


def _dataset_info(name: str, files: Mapping[str, Sequence[Path]]) -> "DatasetInfo":
    from datasets import DatasetInfo, Features, SplitDict

    splits = {split: _split_info(split, paths) for split, paths in files.items() if paths}
    every = [path for paths in files.values() for path in paths]
    return DatasetInfo(
        config_name=name,
        features=Features.from_arrow_schema(pq.read_schema(every[0])),
        splits=SplitDict(splits),
        download_size=sum(path.stat().st_size for path in every),
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )


def _split_info(split: str, files: Sequence[Path]) -> "SplitInfo":
    from datasets import SplitInfo

    footers = [pq.read_metadata(path) for path in files]
    uncompressed = sum(
        footer.row_group(group).total_byte_size
        for footer in footers
        for group in range(footer.num_row_groups)
    )
    rows = sum(footer.num_rows for footer in footers)
    return SplitInfo(split, num_bytes=uncompressed, num_examples=rows)


_SIZES = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9)
_SIZE_NAMES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")


def _size_category(rows: int) -> str:
    """The Hub's name for a dataset of this many rows."""
    if rows < _SIZES[0]:
        return f"n<{_SIZE_NAMES[0]}"
    for size, smaller, name in zip(_SIZES[1:], _SIZE_NAMES, _SIZE_NAMES[1:], strict=False):
        if rows < size:
            return f"{smaller}<n<{name}"
    return f"n>{_SIZE_NAMES[-1]}"


_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_PATH = re.compile(r"hf://datasets/([^/@]+/[^/@]+)")


def _hub_datasets(config: BuildConfig) -> list[str]:
    named = [config.source.name] if config.source.name else []
    found = (_HUB_PATH.match(path) for path in config.source.paths)
    return list(dict.fromkeys([*named, *(match.group(1) for match in found if match)]))


def _sources(config: BuildConfig) -> list[str]:
    # Only the names of local files: where they lie is the builder's own matter.
    local = [Path(path).name for path in config.source.paths if "://" not in path]
    return [*_hub_datasets(config), *([] if config.source.name else dict.fromkeys(local))]


def _rejected(funnel: Iterable[FunnelRow]) -> list[tuple[str, str, int]]:
    return [
        (row.stage, RejectReason(reason).text, count)
        for row in funnel
        for reason, count in sorted(row.rejected.items(), key=lambda item: (-item[1], item[0]))
    ]


def _caches(statistics: Statistics) -> list[CacheRow]:
    """A row per named model; none where there is no trace."""
    means = statistics.traces.select("block_tokens", "peak_tokens", "area_kept", "area_with_mementos").mean()
    peak_kept, peak, area_kept, area = means.row(0)
    if not peak:
        return []
    return [
        CacheRow(
            model.name,
            peak_kept=peak_kept * model.bytes_per_token / 1e6,
            peak=peak * model.bytes_per_token / 1e6,
            peak_ratio=peak_kept / peak,
            area_kept=area_kept * model.bytes_per_token / 1e12,
            area=area * model.bytes_per_token / 1e12,
            area_ratio=area_kept / area,
        )
        for model in MODELS
    ]


def _settings(config: BuildConfig) -> str:
    return yaml.safe_dump(shown_settings(config), sort_keys=False, allow_unicode=True).strip()


def _is_bundled(model: str) -> bool:
    return model == "bundled" or "smollm2-135m" in model.lower()


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _digits(value: float) -> str:
    """Three digits that count, however small the value."""
    return f"{float(f'{value:.3g}'):,}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _code(text: str) -> str:
    """Text as it stands, whatever signs of Markdown are in it."""
    fence = "``" if "`" in text else "`"
    inside = " ".join(text.split())
    return f"{fence} {inside} {fence}" if fence == "``" else f"{fence}{inside}{fence}"


def _cell(text: str) -> str:
    """Text of the data as it can stand in a Markdown table."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")

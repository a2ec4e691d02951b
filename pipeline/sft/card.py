"""The model's card: README.md beside its weights, with what it was trained on and how good it is."""

from pathlib import Path

import jinja2
import yaml
from huggingface_hub import ModelCardData

from pipeline.files.atomic import replacing, write_json
from pipeline.sft.config import SftConfig
from pipeline.sft.prepare import Prepared
from pipeline.sft.report import Report, draw_losses, table


def write_card(config: SftConfig, ready: Prepared, report: Report, run: Path) -> None:
    """Writes the card and its figure into the model's folder, and RUN/report.json."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.sft"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML
    )
    train = ready.learning.train
    text = environment.get_template("card.md.j2").render(
        front_matter=_front_matter(config, report),
        report=report,
        base=_base(config),
        rows=len(train.table),
        tokens=sum(train.lengths),
        notes="".join(f"; {count:,} rows {reason}" for reason, count in train.counts.items()),
        table=table(report),
        keep=max(0, config.attention.keep_last_blocks),
        delimiters=config.attention.mask_delimiters,
        settings=yaml.safe_dump(_settings(config), sort_keys=False, allow_unicode=True).strip(),
    )
    draw_losses(report, report.model / "figures" / "losses.png")
    with replacing(report.model / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(report.as_json(), run / "report.json")


def _front_matter(config: SftConfig, report: Report) -> str:
    on_the_hub = config.data.dataset is not None and not Path(config.data.dataset).exists()
    base = config.model.path if config.model.path and not Path(config.model.path).exists() else None
    card = ModelCardData(
        model_name=report.name,
        base_model=None if base == "bundled" else base,
        datasets=config.data.dataset if on_the_hub else None,
        license=config.license,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["memento", "reasoning", "kv-cache"],
    )
    text: str = card.to_yaml()
    return text.strip()


def _base(config: SftConfig) -> str:
    if config.model.path is None:
        return "random weights"
    path = Path(config.model.path)
    return path.name if path.exists() else config.model.path


def _settings(config: SftConfig) -> dict[str, object]:
    """What shaped the model; no path of who trained it."""
    settings: dict[str, object] = config.model_dump(
        mode="json", include={"attention", "full", "memento", "seed"}
    )
    return settings | {"max_tokens": config.data.max_tokens}

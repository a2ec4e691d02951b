"""What the KV cache of a model would take for each published trace: kept whole, and with its mementos."""

from collections.abc import Iterable

import pyarrow as pa

from pipeline.evaluate.published import Trace
from pipeline.report.kv_cache import MODELS, area_kept, area_with_mementos, peak_tokens
from pipeline.text.tokens import TokenCounter

SCHEMA = pa.schema(
    [
        # Of the row's response in UTF-8, as in the configuration `audit`.
        ("response_sha256", pa.string()),
        ("domain", pa.string()),
        ("blocks", pa.int32()),
        # Of the reasoning; problem and answer, which both ways keep, are left out.
        ("tokens", pa.int64()),
        ("memento_tokens", pa.int64()),
        ("peak_tokens", pa.int64()),
        # Tokens held, added up over the tokens written.
        ("area_kept", pa.float64()),
        ("area_with_mementos", pa.float64()),
    ]
)


def kv_of_traces(traces: Iterable[Trace], count: TokenCounter) -> pa.Table:
    """A row for each trace (SCHEMA); count: gives the tokens of each of some texts."""
    rows = []
    for trace in traces:
        blocks, mementos = count(trace.parsed.blocks), count(trace.parsed.mementos)
        rows.append(
            {
                "response_sha256": trace.digest,
                "domain": trace.domain,
                "blocks": len(blocks),
                "tokens": sum(blocks),
                "memento_tokens": sum(mementos),
                "peak_tokens": peak_tokens(blocks, mementos),
                "area_kept": area_kept(sum(blocks)),
                "area_with_mementos": area_with_mementos(blocks, mementos),
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def kv_table(table: pa.Table) -> str:
    """By domain and in all: peaks of a trace in the mean, in tokens and in MiB of known models, and areas."""
    names = [model.name for model in MODELS]
    lines = [
        f"| domain | traces | peak, tokens | with mementos | {', MiB | '.join(names)}, MiB | area |",
        f"| --- | ---: | ---: | ---: |{' ---: |' * len(names)} ---: |",
    ]
    rows = table.to_pylist()
    domains = sorted({row["domain"] for row in rows})
    for domain in [*domains, None] if len(domains) > 1 else domains:
        its = [row for row in rows if domain is None or row["domain"] == domain]
        kept = sum(row["tokens"] for row in its) / len(its)
        peak = sum(row["peak_tokens"] for row in its) / len(its)
        area = sum(row["area_with_mementos"] for row in its) / max(1, sum(row["area_kept"] for row in its))
        sizes = " | ".join(
            f"{kept * model.bytes_per_token / 2**20:,.0f} → {peak * model.bytes_per_token / 2**20:,.0f}"
            for model in MODELS
        )
        name = "all" if domain is None else domain or "–"
        lines.append(f"| {name} | {len(its):,} | {kept:,.0f} | {peak:,.0f} | {sizes} | {area:.0%} |")
    return "\n".join(lines)

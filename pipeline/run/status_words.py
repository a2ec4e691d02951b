"""The numbers of a run at work in words, the same wherever they are shown."""

from pipeline.run.status import StageStatus


def stage_numbers(stage: StageStatus) -> dict[str, str]:
    """The columns of a table of stages, by what they are; empty where there is nothing to tell.

    left: until all traces have left the stage; tokens/s: of prompts + of replies; cached: of the prompts.
    """
    asks = _asks(stage) and not stage.is_complete
    return {
        "traces": f"{stage.done:,}/{stage.expected:,}",
        "rate": _rate(stage),
        "left": "" if stage.eta_seconds is None else duration_words(stage.eta_seconds),
        "running": f"{stage.running:,}" if asks else "",
        "tokens/s": _tokens(stage) if asks else "",
        "cached": "" if stage.cached_share is None else f"{stage.cached_share:.0%}",
        "rejected": f"{stage.rejected:,}",
        "failed": f"{stage.failed:,}",
    }


def stage_sentence(stage: StageStatus) -> str:
    """All of a stage in a line: "write mementos: 3 of 20 traces, 0.7/min, 24:10 left; 24 requests …"."""
    told = stage_numbers(stage)
    pace = [
        f"{stage.done:,} of {stage.expected:,} traces",
        told["rate"],
        told["left"] and f"{told['left']} left",
    ]
    asked = []
    if _asks(stage):
        asked = [
            f"{told['running']} request{'' if stage.running == 1 else 's'} running",
            f"{told['tokens/s']} tokens/s",
        ]
        if stage.is_complete:
            tokens = f"{stage.prompt_tokens:,} + {stage.completion_tokens:,} tokens"
            asked = [f"{stage.requests:,} request{'' if stage.requests == 1 else 's'}", tokens]
        asked.append(told["cached"] and f"{told['cached']} cached")
    left_out = [f"{told['rejected']} rejected", f"{told['failed']} failed"]
    parts = (", ".join(filter(None, part)) for part in (pace, asked, left_out))
    return f"{stage.verb}: {'; '.join(filter(None, parts))}"


def duration_words(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: "4:05", "1:00:00"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _asks(stage: StageStatus) -> bool:
    return stage.requests > 0 or stage.running > 0


def _rate(stage: StageStatus) -> str:
    """Traces per second, or per minute where they are fewer."""
    if not stage.rate or stage.is_complete:
        return ""
    return f"{stage.rate:.1f}/s" if stage.rate >= 1 else f"{stage.rate * 60:.1f}/min"


def _tokens(stage: StageStatus) -> str:
    return f"{stage.prompt_tokens_per_second:,.0f} + {stage.completion_tokens_per_second:,.0f}"

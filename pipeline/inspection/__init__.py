"""A run folder to look into: its traces, and what became of each."""

from pipeline.inspection.failed_judge import FailedJudge, failed_judge, failed_table
from pipeline.inspection.page import as_json, show, table
from pipeline.inspection.trace_history import NotThere, find_run, find_trace, only_block
from pipeline.inspection.traces import TraceLine, TraceState, trace_lines

__all__ = [
    "FailedJudge",
    "NotThere",
    "TraceLine",
    "TraceState",
    "as_json",
    "failed_judge",
    "failed_table",
    "find_run",
    "find_trace",
    "only_block",
    "show",
    "table",
    "trace_lines",
]

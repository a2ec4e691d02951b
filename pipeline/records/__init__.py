"""From mementos to the published row: written, taken apart again, and checked."""

from pipeline.records.assemble import ParsedResponse, ParseError, assemble, parse
from pipeline.records.checks import Finding, Severity, check_memento
from pipeline.records.record_checks import check_record
from pipeline.records.records import RECORDS

__all__ = [
    "RECORDS",
    "Finding",
    "ParseError",
    "ParsedResponse",
    "Severity",
    "assemble",
    "check_memento",
    "check_record",
    "parse",
]

"""What a build will take, told before any model is asked."""

from pipeline.plan.estimate import Plan, Progress, make_plan
from pipeline.plan.hardware import HARDWARE, fit, size_of
from pipeline.plan.tables import Placed, Prices, Speeds, as_json, tables

__all__ = [
    "HARDWARE",
    "Placed",
    "Plan",
    "Prices",
    "Progress",
    "Speeds",
    "as_json",
    "fit",
    "make_plan",
    "size_of",
    "tables",
]

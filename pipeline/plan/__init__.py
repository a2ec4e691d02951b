"""What a build will take, told before any model is asked."""

from pipeline.plan.making import Plan, Progress, make_plan
from pipeline.plan.tables import Prices, Speeds, as_json, tables

__all__ = ["Plan", "Prices", "Progress", "Speeds", "as_json", "make_plan", "tables"]

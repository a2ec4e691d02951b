"""What a person looks at: statistics, the funnel, figures."""

from pipeline.report.stats import FunnelRow, Statistics, Summary, dataset_statistics, funnel

__all__ = [
    "FunnelRow",
    "Statistics",
    "Summary",
    "dataset_statistics",
    "funnel",
]

"""Milliseconds of one core that `partition` takes by number of sentences, on data shaped like real traces."""

import statistics
import time

import numpy as np

from pipeline.segmentation.partition.partition import partition

SENTENCES = (50, 187, 400, 800, 2000, 5000)
MEAN_TOKENS = 55.0
SPREAD = 0.8  # of the logarithm of a sentence's tokens
SHARES = (0.55, 0.25, 0.13, 0.07)  # of the scores 0, 1, 2, 3


def run() -> dict[str, float]:
    """Median and worst milliseconds over random traces, keyed by kind of score and sentences."""
    partition([1.0], [300, 300])  # loads the compiled code
    figures: dict[str, float] = {}
    for kind in ("whole", "real"):
        for sentences in SENTENCES:
            seeds = range(9 if sentences <= 800 else 3)
            times = [_milliseconds(kind, sentences, seed) for seed in seeds]
            figures[f"{kind} scores, {sentences} sentences, median ms"] = statistics.median(times)
            figures[f"{kind} scores, {sentences} sentences, worst ms"] = max(times)
    return figures


def _milliseconds(kind: str, sentences: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    location = np.log(MEAN_TOKENS) - SPREAD**2 / 2
    tokens = np.maximum(1, random.lognormal(location, SPREAD, sentences)).astype(int).tolist()
    scores = random.choice(4, sentences - 1, p=SHARES).astype(float)
    if kind == "real":
        scores = np.clip(scores + random.normal(0, 0.4, sentences - 1), 0, 3)
    given = scores.tolist()
    began = time.process_time()
    partition(given, tokens)
    return (time.process_time() - began) * 1000


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{value:10.2f}  {name}")

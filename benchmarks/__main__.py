"""Runs benchmarks, prints their figures, and writes them to benchmarks/results.json.

python -m benchmarks                      # all of them, an hour; `make bench`
python -m benchmarks text partition       # some; the others' figures stay
"""

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import (
    asking,
    build_speed,
    detectors,
    economy,
    engine,
    partition,
    report_pages,
    scale,
    survival,
    text,
)
from pipeline.files.atomic import write_json

RESULTS = Path(__file__).with_name("results.json")
ROOMS: dict[str, Callable[[], dict[str, float]]] = {
    "text": text.run,
    "partition": partition.run,
    "detectors": detectors.run,
    "economy": economy.run,
    "build_speed": build_speed.run,
    "survival": survival.run,
    "scale": scale.run,
    "report_pages": report_pages.run,
    "asking": asking.run,
    "engine": engine.run,
}


def main(
    rooms: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(ROOMS)}; all by default.")] = None,
) -> None:
    """Runs benchmarks and writes their figures."""
    if unknown := set(rooms or ()) - ROOMS.keys():
        raise typer.BadParameter(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(ROOMS)}")
    told = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    figures = told.get("figures", {})
    for name in rooms or ROOMS:
        print(name, flush=True)
        figures[name] = ROOMS[name]()
        for what, value in figures[name].items():
            print(f"{value:12.2f}  {what}", flush=True)
        machine = {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        }
        # After each: the last ones take long.
        write_json({"machine": machine, "figures": figures}, RESULTS)
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    typer.run(main)

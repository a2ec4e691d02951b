"""Runs every benchmark, prints its figures, and writes them to benchmarks/results.json."""

import os
import platform
from pathlib import Path

from benchmarks import detectors, economy, partition, text
from pipeline.files import write_json

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    figures: dict[str, dict[str, float]] = {}
    rooms = {"text": text, "partition": partition, "detectors": detectors, "economy": economy}
    for name, room in rooms.items():
        print(name)
        figures[name] = room.run()
        for what, value in figures[name].items():
            print(f"{value:12.2f}  {what}")
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    write_json({"machine": machine, "figures": figures}, RESULTS)
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()

"""Every test, unit tests and notebooks, runs as the references were made: one thread, seed 0."""

import json
import os
from pathlib import Path

os.environ["COURSE_REFERENCE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.notebook_compare"]


def seconds_by_lesson() -> dict[str, float]:
    """Computing time by lesson number, from data/timings.json."""
    path = Path(__file__).parent / "data" / "timings.json"
    if not path.exists():
        return {}
    return json.loads(path.read_text(encoding="utf-8")).get("cpu", {}).get("notebooks", {})


def pytest_collection_modifyitems(items: list) -> None:
    """Notebooks first and the longest of them first, so that both workers end at about once."""
    seconds = seconds_by_lesson()

    def order(item) -> tuple:
        if item.path.suffix != ".ipynb":
            return 1, 0, ""
        return 0, -seconds.get(item.path.name[:2], 0), str(item.path)

    items.sort(key=order)  # stable: cells stay in their order

"""Active learning: the kept runs."""

from course_utils.datasets.files import data_path
from course_utils.studies import active
from course_utils.studies.runs import read_runs


def test_the_file_has_all_runs_at_equal_budgets():
    runs = read_runs(data_path("studies/active.json"))
    assert active.best_rate(runs) in active.RATES
    for pool, (_, strategies) in active.POOLS.items():
        for strategy in strategies:
            rows = active.chosen(runs, pool, strategy)
            assert [r["seed"] for r in rows] == list(active.SEEDS), (pool, strategy)
            for r in rows:
                assert r["answers"] == [80, 160, 240, 320]
                assert all(d <= n for d, n in zip(r["different"], r["answers"]))
                assert all(sum(f.values()) == n for f, n in zip(r["families"], r["answers"]))
    for r in active.chosen(runs, "pictures", "random, k-centre's mix"):
        assert len(r["by_family"]) == len(r["answers"])
    first: dict[tuple, list[float]] = {}  # all begin with the same 80 answers
    for r in runs:
        first.setdefault((r["pool"], r["seed"], r["rate"]), []).append(r["accuracy"][0])
    # rows may come from two processors, which add differently
    assert all(max(shares) - min(shares) < 0.01 for shares in first.values())

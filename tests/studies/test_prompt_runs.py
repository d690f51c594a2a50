"""Emoji by templates, prompts and examples: the kept runs."""

from course_utils.datasets.files import data_path
from course_utils.studies import prompt_runs
from course_utils.studies.runs import read_runs


def test_the_file_has_all_rows():
    rows = read_runs(data_path("studies/prompt_runs.json"))
    each = len(prompt_runs.WORDINGS) * (len(prompt_runs.TEMPLATES) + 1)
    for seed in prompt_runs.SEEDS:
        kinds = [r["kind"] for r in rows if r["seed"] == seed]
        assert kinds.count("template") == each
        assert kinds.count("soft prompt") == len(prompt_runs.SOFT_SHOTS)
        draws = len(prompt_runs.SHOTS) * prompt_runs.DRAWS
        for kind in ("mean of features", "mean in the space", "linear head", "sentence and mean"):
            assert kinds.count(kind) == draws
        assert kinds.count("weighted") == draws * len(prompt_runs.WORTH)
        assert kinds.count("all examples") == 1
    assert all(0 <= r[part] <= 1 for r in rows for part in ("validation", "test"))


def test_no_picture_that_is_trained_on_is_tested():
    parts = [prompt_runs.load_emoji(part) for part in prompt_runs.PARTS]
    ids = [set(part.ids) for part in parts]
    assert not ids[0] & ids[2] and not ids[1] & ids[2] and not ids[0] & ids[1]

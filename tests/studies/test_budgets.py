"""The trainings of lesson 09 at two budgets: each is there once, and a row tells its setting."""

from course_utils.datasets.files import data_path
from course_utils.studies import budgets
from course_utils.studies.runs import missing, read_runs


def test_every_run_is_there_once():
    found = read_runs(data_path("studies/budgets.json"))
    assert not list(missing(budgets.STUDY, budgets.SEEDS, found))
    assert len(found) == len(list(budgets.settings(budgets.SEEDS, ())))


def test_a_row_tells_its_setting_and_three_accuracies():
    setting = next(budgets.settings((0,), ()))
    row = budgets.run(**setting | dict(answers=64, passes=1))
    assert row.items() >= (setting | dict(answers=64, passes=1)).items()
    assert all(0 <= row[part] <= 1 for part in ("train", "validation", "others"))

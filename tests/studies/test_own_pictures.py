"""What a few own pictures are worth: the kept runs, and one of them again."""

import pytest

from course_utils.datasets.files import data_path
from course_utils.studies import own_pictures
from course_utils.studies.runs import read_runs


def stored():
    return read_runs(data_path("studies/own_pictures.json"))


def test_the_table_is_complete():
    found = own_pictures.by_method(stored())
    assert list(found) == ["blind", *own_pictures.STARTS]
    for sizes in found.values():
        assert list(sizes) == list(own_pictures.SIZES)
        assert all(len(shares) == len(own_pictures.SEEDS) for shares in sizes.values())


@pytest.mark.parametrize("method", ["blind", "head only"])
def test_a_run_gives_the_stored_accuracy(method):
    again = own_pictures.run(method, 20, 0)
    key = (method, 20, 0)
    told = next(r for r in stored() if (r["method"], r["examples"], r["seed"]) == key)
    assert again["accuracy"] == pytest.approx(
        told["accuracy"], abs=0 if method == "blind" else 0.05
    )
    assert [len(part) for part in own_pictures.parts(20, 0)] == [16, 4, 320]

"""A little of easy-VQA, read once."""

import pytest

from course_utils.datasets import load_easy_vqa


@pytest.fixture(scope="session")
def small():
    """18 pictures with all their questions."""
    data = load_easy_vqa("train")
    return data.select(data.image_index < 18)

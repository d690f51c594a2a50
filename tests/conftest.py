"""For all tests of the package."""

import pytest

from course_utils import checks


@pytest.fixture(autouse=True)
def nothing_handed_out():
    """A check remembers what it gave back, for as long as a notebook runs. Tests are apart."""
    checks._handed_out.clear()

"""Of a test with many parameters `make test` tries some, and `make test-all` the others too."""

import pytest


def slow(*cases):
    """The cases, each a value or a tuple of values, marked `slow`."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]

"""Files that no package brings, in directories that environment variables name: without, their tests are skipped."""

import os
import pathlib

import pytest


def _directory(variable):
    return pathlib.Path(os.environ.get(variable, "")).absolute()


def _needs(variable, holds):
    return pytest.mark.skipif(not os.environ.get(variable), reason=f"{variable} is not set: the directory of {holds}")


ANNOTATIONS = _directory("ACTIONCLIP_ANNOTATIONS")
TEST_DATA = _directory("ACTIONCLIP_TEST_DATA")
needs_annotations = _needs("ACTIONCLIP_ANNOTATIONS", "the data sets' official annotation files")
needs_test_data = _needs("ACTIONCLIP_TEST_DATA", "odd-videos, reported and ucf101-5class")

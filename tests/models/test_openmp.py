import ctypes

import pytest

from harmony_pipeline.models import openmp


def test_a_system_with_openmp_is_left_alone():
    assert openmp.ensure_openmp() == "system" or "libgomp" in openmp.ensure_openmp()


def test_the_bundled_copy_answers_to_the_name_that_lightgbm_asks_for(tmp_path, monkeypatch):
    bundled = openmp._find_bundled_library()
    if bundled is None:
        pytest.skip("this platform's scikit-learn brings no OpenMP runtime")
    monkeypatch.setattr(openmp.Path, "home", lambda: tmp_path)
    copy = openmp._copy_with_soname(bundled)
    content = copy.read_bytes()
    assert len(content) == len(bundled.read_bytes())
    assert bundled.name.encode() + b"\0" not in content
    assert ctypes.CDLL(str(copy)).omp_get_max_threads() >= 1
    assert openmp._copy_with_soname(bundled) == copy

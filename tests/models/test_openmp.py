import ctypes
import subprocess
import sys

import lightgbm
import numpy as np
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


GROWN = """
import sys
import numpy as np
from harmony_pipeline.models.openmp import lightgbm as ours

rows = np.random.default_rng(3).normal(size=(400, 3))
options = {"objective": "binary", "num_leaves": 4, "verbosity": -1, "num_threads": 1, "seed": 1}
data = ours().Dataset(rows, label=(rows[:, 0] > 0.0) * 1.0)
text = ours().train(options, data, num_boost_round=3).model_to_string()
assert ours() is ours()
assert not {"sklearn", "pandas", "lightgbm"} & set(sys.modules)
import lightgbm
assert lightgbm.LGBMClassifier(n_estimators=1, verbosity=-1).fit(rows, rows[:, 0] > 0.0).classes_.size == 2
print(text)
"""


def test_trees_are_grown_without_scikit_learn_and_pandas_and_are_lightgbms_own():
    """A process of its own: another test has imported both. `import lightgbm` stays whole."""
    done = subprocess.run(
        [sys.executable, "-c", GROWN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = np.random.default_rng(3).normal(size=(400, 3))
    options = {"objective": "binary", "num_leaves": 4, "verbosity": -1, "num_threads": 1, "seed": 1}
    data = lightgbm.Dataset(rows, label=(rows[:, 0] > 0.0) * 1.0)
    theirs = lightgbm.train(options, data, num_boost_round=3).model_to_string()
    assert done.stdout.strip() == theirs.strip()


def test_a_load_that_fails_is_tried_again(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("harmony_lightgbm")]:
        monkeypatch.delitem(sys.modules, name)
    with monkeypatch.context() as absent:
        absent.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ModuleNotFoundError, match="lightgbm"):
            openmp.lightgbm()
    assert openmp.lightgbm().Booster.__name__ == "Booster"

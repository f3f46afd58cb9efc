"""A fit is held to one thread of linear algebra, and nothing after it is."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

from harmony_pipeline.models.logistic import Logistic
from harmony_pipeline.testing.forecaster_contract import planted_samples


def threads_of_blas() -> list[int]:
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


def test_a_logistic_fit_uses_one_thread_and_gives_the_others_back(monkeypatch):
    during, solve = [], LogisticRegression.fit

    def fit(self, *arguments, **options):
        during.append(threads_of_blas())
        return solve(self, *arguments, **options)

    monkeypatch.setattr(LogisticRegression, "fit", fit)
    np.linalg.solve(np.eye(2), np.ones(2))  # the libraries are loaded
    before = threads_of_blas()
    Logistic({}, 1).fit(planted_samples(500, 0.3))
    assert during
    assert set(during[0]) == {1}
    assert threads_of_blas() == before

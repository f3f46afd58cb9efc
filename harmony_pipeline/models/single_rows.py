"""Margins of a few rows at a time, by LightGBM's interface for single rows.

`Booster.predict` prepares parameters, copies the rows and makes a predictor at every call: 90 us,
of which a hundred small trees take 2. The interface for single rows prepares once. The trees and
the order of their sum are the same, so the bits are too (`ForecasterContract` holds one row against
many).
"""

import ctypes
import threading
import weakref
from typing import Any

import numpy as np

from harmony_pipeline.arrays import FloatArray

MOST_ROWS = 32
"""Beyond these, all rows at once are faster."""
_RAW_SCORE, _FLOAT64, _ALL_TREES = 1, 1, -1
_PARAMETERS = b"num_threads=1 verbosity=-1"


class SingleRowMargins:
    """The margins of one booster. Safe to share between threads.

    The functions are LightGBM's C API (`c_api.h`), loaded by its own Python package.
    """

    def __init__(self, booster: Any, columns: int) -> None:
        from lightgbm.basic import _LIB, _safe_call

        self._booster = booster  # the configuration points to it
        self._columns = columns
        self._check, self._predict = _safe_call, _LIB.LGBM_BoosterPredictForMatSingleRowFast
        self._lock = threading.Lock()
        self._handle = ctypes.c_void_p()
        _safe_call(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle,
                ctypes.c_int(_RAW_SCORE),
                ctypes.c_int(0),
                ctypes.c_int(_ALL_TREES),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(columns),
                ctypes.c_char_p(_PARAMETERS),
                ctypes.byref(self._handle),
            )
        )
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, self._handle)

    def of(self, X: FloatArray) -> FloatArray:
        """Log-odds [rows] of X [rows, columns]. Raises ValueError for another shape."""
        if X.ndim != 2 or X.shape[1] != self._columns:
            raise ValueError(f"rows of {self._columns} inputs are needed, found {list(X.shape)}")
        rows = np.ascontiguousarray(X, dtype=np.float64)
        found, length = np.empty(len(rows)), ctypes.c_int64()
        data, out = rows.ctypes.data, found.ctypes.data
        with self._lock:
            for row in range(len(rows)):
                self._check(
                    self._predict(
                        self._handle,
                        ctypes.c_void_p(data + row * rows.strides[0]),
                        ctypes.byref(length),
                        ctypes.c_void_p(out + row * 8),
                    )
                )
        return found

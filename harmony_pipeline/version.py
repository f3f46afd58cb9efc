"""The version of the library; `harmony_pipeline.__version__` is the same."""

__version__ = "0.1.0"

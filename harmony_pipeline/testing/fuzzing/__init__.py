"""The parts of `python -m harmony_pipeline.testing.fuzz_ingest`."""

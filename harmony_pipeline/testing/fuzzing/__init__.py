"""What `python -m harmony_pipeline.testing.fuzz_ingest` is made of."""

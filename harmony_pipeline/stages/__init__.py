"""What each asset does, as plain functions of a `PipelineContext` and periods: the library's side
of the graph, one file a stage.

A stage reads the lake, calls the rooms, writes the lake and returns a `StageResult` to show. It
knows nothing of Dagster, so a test, a notebook and the command line call the same function as the
asset does.
"""

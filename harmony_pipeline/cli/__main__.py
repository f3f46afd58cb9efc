"""`python -m harmony_pipeline.cli`."""

from harmony_pipeline.cli.boundary import main

if __name__ == "__main__":
    main()

"""The verbs of the `harmony` command, a file a subject; `cli/app.py` lists them.

A verb reads its options, calls what does the work, and says what was made and where to look next.
What it imports at its head is cheap, since `--help` imports every file here.
"""

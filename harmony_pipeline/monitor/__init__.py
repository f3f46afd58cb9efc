"""The live monitor: a web page about a session that runs, or about one that has ended.

It looks on and never takes part: the ledger is read through a connection that cannot write, the
lake, the state folder and the log as files. The two things that it can do, pull the kill switch and
take it back, need a token.
"""

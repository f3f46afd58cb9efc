"""A clock that only sleeping moves, shared by a source, its patience and its server."""

from datetime import timedelta

from harmony_pipeline.market.settings import PatienceSettings
from harmony_pipeline.market.sources.retry import RetryPolicy


class Hours:
    def __init__(self, moment):
        self.start = self.moment = moment
        self.slept = []

    def now(self):
        return self.moment

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.moment += timedelta(seconds=seconds)

    def elapsed(self):
        return (self.moment - self.start).total_seconds()

    def patience(self, **settings):
        return RetryPolicy(PatienceSettings(**settings), 7, self.sleep, self.elapsed)

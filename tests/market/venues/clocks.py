"""A clock that only sleeping moves, shared by a source, its retries and its server."""

from datetime import timedelta

from harmony_pipeline.market.source_settings import RetrySettings
from harmony_pipeline.market.sources.retry import RetryPolicy


class Hours:
    def __init__(self, moment):
        self.moment = moment
        self.slept = []

    def now(self):
        return self.moment

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.moment += timedelta(seconds=seconds)

    def retry(self, **settings):
        return RetryPolicy(RetrySettings(**settings), self.sleep)

"""One fold of a walk-forward on ten thousand rows, and a live prediction of one row."""

import time

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import train_period
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")

PREDICTIONS = 1_000


def main() -> None:
    samples = planted_samples(11_000, 0.3, inputs=20, per_day=90)
    period = period_from_key("2023-02", "month", "America/New_York")
    # imports LightGBM
    train_period(samples, period, 8, CLOCK, "15Min", ModelSettings(minimum_train_rows=20), "f")
    started = time.perf_counter()
    model = train_period(samples, period, 8, CLOCK, "15Min", ModelSettings(), "f").model
    print(f"a fold of ten thousand rows   {time.perf_counter() - started:.3f} s (target 0.5)")
    started = time.perf_counter()
    for row in range(PREDICTIONS):
        model.predict(samples.X[[row % samples.X.shape[0]]])
    print(
        f"a prediction of one row       {(time.perf_counter() - started) / PREDICTIONS * 1e6:.0f}"
        " us (target 200)"
    )


if __name__ == "__main__":
    main()

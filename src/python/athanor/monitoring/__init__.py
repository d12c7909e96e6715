"""Layer `monitoring`: whether what comes in still looks like what a release was trained on."""

from athanor.monitoring.drift import ColumnDrift, measure_drift

__all__ = ["ColumnDrift", "measure_drift"]

"""Layer `features`: arrays in, arrays out, the same function in training and in serving."""

from athanor.features.features import FeatureArrays, Features, Model
from athanor.features.transforms import cyclic, to_local_time

__all__ = ["FeatureArrays", "Features", "Model", "cyclic", "to_local_time"]

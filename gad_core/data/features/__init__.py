"""Frame features: one LMDB file a dataset, windows sliced from the memory map."""

from gad_core.data.features.memory import ArrayFeatures, ConcatenatedFeatures
from gad_core.data.features.store import FeatureStore

__all__ = ["ArrayFeatures", "ConcatenatedFeatures", "FeatureStore"]

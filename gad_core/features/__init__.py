"""Frame features: one LMDB file a dataset, windows sliced from the memory map."""

from gad_core.features.memory import ArrayFeatures, ConcatenatedFeatures
from gad_core.features.store import FeatureStore

__all__ = ["ArrayFeatures", "ConcatenatedFeatures", "FeatureStore"]

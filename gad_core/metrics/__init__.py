"""Scores as the field computes them, on numpy alone. Formulae, sources and variants: docs/metrics.md."""

from gad_core.metrics.clips import ClipScore, clip_metrics
from gad_core.metrics.confusion import Confusion, error_diversity
from gad_core.metrics.overlap import label_overlap, overlap_confusion_correlation, overlap_index
from gad_core.metrics.rates import Variant
from gad_core.metrics.stream import StreamScore, Track, stream_metrics

__all__ = [
    "ClipScore",
    "Confusion",
    "StreamScore",
    "Track",
    "Variant",
    "clip_metrics",
    "error_diversity",
    "label_overlap",
    "overlap_confusion_correlation",
    "overlap_index",
    "stream_metrics",
]

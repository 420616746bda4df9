"""From annotations and features to samples: seconds to frames, windows, relations, corpora, the feature store."""

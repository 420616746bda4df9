"""The frame-label files of Breakfast, 50Salads and GTEA as a dataset for gad."""

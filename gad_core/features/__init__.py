"""Frame features on disk: one LMDB file a dataset, windows sliced from the memory map."""

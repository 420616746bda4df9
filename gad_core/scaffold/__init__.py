"""The package that `gad new` makes."""

"""What plugins and the core agree on: values, the components of each kind, the torch modules they build, the hooks."""

"""Which plugins are installed, what each offers, and how what goes wrong in one stays its own."""

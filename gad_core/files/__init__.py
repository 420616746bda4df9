"""Files of others and of our own: read with every fault located, written whole or not at all, named safely."""

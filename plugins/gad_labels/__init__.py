"""Label tokenizers: text, random-consistent, desynchronised, unique-token."""

"""From samples to losses and answers: sequences, the model, decoding, streams. `composition` makes it all."""

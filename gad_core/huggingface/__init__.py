"""Language models of transformers, with LoRA adapters, as gad sees them."""

"""How the nano base in `data/nano-base/` is made: `python -m helpers pretrain`.

`corpus` writes what the base may read, `build` trains tokenizer and weights and writes the card.
"""

"""Makes the model that ships with the server: corpus, tokenizer, model, training, export.

`python -m training.train` runs every stage and writes a checkpoint in the Hugging Face layout.
"""

"""How the model that ships with the server is made: corpus, tokenizer, model, training, export.

`python -m training.train` does all of it and writes a checkpoint in the Hugging Face layout.
"""

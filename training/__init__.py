"""How the model that ships with the server is made: a corpus we write ourselves, a tokenizer, a model, an exporter.

`python -m training.train` does all of it and writes a checkpoint in the Hugging Face layout.
"""

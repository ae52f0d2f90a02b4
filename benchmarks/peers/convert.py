"""Runs llama.cpp's `convert_hf_to_gguf.py`: python -m benchmarks.peers.convert SOURCE CHECKPOINT [its options].

The script recognises a tokenizer by its encoding of one long text, and refuses unknown ones. The measurements use only
ids, so the script is told that this tokenizer splits text as gpt-oss's does.
"""

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.path.insert(0, sys.argv.pop(1))
    import_module("conversion.base").TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-4o"
    import_module("convert_hf_to_gguf").main()

"""Runs llama.cpp's `convert_hf_to_gguf.py`: python -m benchmarks.peers.convert SOURCE CHECKPOINT [its options].

That script knows a tokenizer by what it makes of one long text, and refuses those it has not seen. Nothing is said of a
tokenizer where only ids are measured, so it is told that this one splits text as gpt-oss's does.
"""

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.path.insert(0, sys.argv.pop(1))
    import_module("conversion.base").TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-4o"
    import_module("convert_hf_to_gguf").main()

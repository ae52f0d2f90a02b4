"""A checkpoint of a published shape with random weights, for peers that read files: python -m benchmarks.gpu_checkpoint
DIRECTORY [--smoke]. 20b takes 14 GB, and as much memory while it is made."""

import argparse
import json
from pathlib import Path
from shutil import copyfile

from safetensors.torch import save_file

from benchmarks.gpu_workloads import config_json, workload
from engine.checkpoint.dummy import fill_random
from engine.checkpoint.hub import EMBEDDED
from engine.checkpoint.names import expected_tensors
from engine.config import ModelConfig
from engine.model.weights import empty_weights


def write_random_checkpoint(directory: Path, model: ModelConfig) -> Path:
    """Writes Hugging Face's layout with MXFP4 experts and the embedded model's tokenizer; returns `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = empty_weights(model, "mxfp4", "bfloat16", "cpu")
    fill_random(weights, 0)
    tensors = {}
    for name, source in expected_tensors(model, "huggingface", "mxfp4").items():
        whole = weights[source.destination]
        part = whole if source.rows is None else whole[slice(*source.rows)]
        tensors[name] = part if "F32" not in source.dtypes or "BF16" in source.dtypes else part.float()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / "model.safetensors")
    packed = {"quantization_config": {"quant_method": "mxfp4"}}
    (directory / "config.json").write_text(json.dumps(config_json(model) | packed))
    copyfile(EMBEDDED / "tokenizer.json", directory / "tokenizer.json")
    return directory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    write_random_checkpoint(args.directory, workload("20b", smoke=args.smoke).model)


if __name__ == "__main__":
    main()

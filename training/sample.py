"""Writes a few texts with an exported model, to show what it has learnt: `python -m training.sample DIR`."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from tokenizers import Tokenizer

from training.chat_format import ChatFormat
from training.export import STOP_TOKENS, load_exported
from training.model import GptOss

PROMPTS = ("Once upon a time", "One day, a little fox", "The capital of")
QUESTIONS = (
    "Hello!",
    "Who are you?",
    "What is the capital of France?",
    "What is 3 plus 4?",
    "Tell me a story about a cat.",
)


@torch.no_grad()
def complete(model: GptOss, tokenizer: Tokenizer, prompt: str, max_tokens: int = 160, temperature: float = 0.0) -> str:
    """The model's text after `prompt`, marks included. There is no cache: each step reads the whole text."""
    stops = {tokenizer.token_to_id(token) for token in STOP_TOKENS}
    ids: list[int] = tokenizer.encode(prompt).ids
    generator = torch.Generator().manual_seed(0)
    start = len(ids)
    while len(ids) - start < max_tokens and (len(ids) == start or ids[-1] not in stops):
        logits = model(torch.tensor([ids]))[0][0, -1]
        if temperature:
            probabilities = (logits / temperature).softmax(-1)
            ids.append(int(torch.multinomial(probabilities, 1, generator=generator)))
        else:
            ids.append(int(logits.argmax()))
    return str(tokenizer.decode(ids[start:], skip_special_tokens=False))


def show_samples(directory: Path, temperature: float = 0.7) -> None:
    model, tokenizer = load_exported(directory), Tokenizer.from_file(str(directory / "tokenizer.json"))
    chat_format = ChatFormat()
    for prompt in PROMPTS:
        typer.echo(f"{prompt}│{complete(model, tokenizer, prompt, temperature=temperature)}\n")
    for question in QUESTIONS:
        messages = [{"role": "user", "content": question}]
        prompt = chat_format.render(messages, date="2026-01-31", add_generation_prompt=True)
        typer.echo(f"{question}│{complete(model, tokenizer, prompt, temperature=temperature)}\n")


def main(
    directory: Annotated[Path, typer.Argument(help="A checkpoint that training.train exported.")],
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 0.7,
) -> None:
    torch.compiler.set_stance("force_eager")  # Compiling takes longer than some texts.
    show_samples(directory, temperature)


if __name__ == "__main__":
    typer.run(main)

"""MODEL_CARD.md and its picture: what the checkpoint is, how it was made, what it can do and what it cannot.

python -m training.model_card engine/embedded --run runs/embedded --scores scores.json --once runs/once \
    --once-scores once.json
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, Self

import typer

from training.export import read_shape
from training.score import TARGETS, TEMPERATURES, Outcome, summarise

PICTURE = "loss.png"
PICTURE_ONCE = "loss-once.png"
TASKS = {
    "talk": "says who it is, greets, admits what it does not know",
    "arithmetic": "sums and differences of up to 3 digits, products of up to 2",
    "facts": "capital, continent and currency of 100 countries, and back from the capital",
    "text": "reverse, uppercase, count letters or words, sort, repeat",
    "tools": "the right call with the right arguments, or none, and an answer from the result",
    "json": "the object that a schema asks for",
    "memory": "recalls a name, number or word told up to 2,000 tokens before",
    "completion": "continues simple English",
}
CARD = """\
# The model that ships with Carousel

A very small gpt-oss model, so that the server answers out of the box: it reasons in `analysis`, calls tools on
`commentary` and answers on `final`. It is made for demonstrations and tests. Do not believe what it says.

{verdict}

| | |
|---|---|
| architecture | `GptOssForCausalLM`: {num_layers} layers, hidden size {hidden_size} |
| experts | {num_experts} of inner size {intermediate_size}, of which {experts_per_token} per token |
| attention | {num_heads} query and {num_kv_heads} kv heads of {head_dim}; even layers see {window} tokens |
| context | {max_position} tokens (YaRN, factor {rope_factor:g} over {original_max_position}); trained on up to 2,200 |
| vocabulary | {vocab_size} tokens: bytes, whole words, harmony's special tokens; no merges, unknown words are spelt |
| weights | experts in MXFP4 (rounded during training), everything else in bfloat16 |
| first training | revision 63d6641: 4 layers, from nothing; 7,200 steps, 21,510,892 tokens in 54 minutes |
| second training | revision b0a80ec: grown by two layers; 1,800 steps, 8,204,676 tokens in 32 minutes |
| third training | revision 87d7b11: 1,450 steps, 6,582,092 tokens in 30 minutes |
| fourth training | revisions 7a35d89 to 72f2f2c: 2,800 steps in four parts, 12,735,465 tokens in 48 minutes |
| fifth training | revision 06bd6ad: 1,900 steps, 8,617,705 tokens in 26 minutes |
| sixth training | revision 9315635: 560 steps, 2,522,071 tokens in 7 minutes |
| seventh training | revision 0bd2450, two processes: 4,000 steps, 36,402,228 tokens in 63 minutes |
| eighth training | d7104b4 and e144078: two layers more; 4,800 steps, 43,685,070 tokens in 102 minutes |
| ninth training | 93f4a6b: wider, twice the heads; 2,800 steps, 25,457,120 tokens in 101 minutes |
| tenth training | da1ba2d: 3,200 steps, 29,127,158 tokens in 115 minutes |
| eleventh training | 4befe18, from the tenth: 1,200 steps, 10,907,918 tokens in 51 minutes |
| twelfth training | 1313575, from the tenth as well: 1,200 steps, 10,929,364 tokens in 40 minutes |
| thirteenth training | 76e3d5a, from the mean of these: {steps:,} steps, {tokens:,} tokens in {minutes} minutes |
| what is shipped | the mean of the tenth, eleventh, twelfth and, three times, the thirteenth, before rounding |
| trained on | {machine} |
| held-out loss | {held_out_loss} nats per learnt token, of the thirteenth training |

## Scores

Right answers to {count} prompts of each kind, at temperature 0 and 0.7 (with the checkpoint's own top_p, 0.8), from a
running server. Seeds, phrasings, people's names, words, and pairs of numbers in either order are ones that no task
of the training has (`training/draw.py`); a few of the words stand in its stories ("winter", "tower"). What fields and
functions are called is made up, or a noun that training never uses so; or one of the everyday names ("object", "user")
that training uses too, for fields and functions of any kind. What is right says `training/judge.py`.

| kind | what | target | {temperatures} |
|---|---|---|{rules}
{scores}

Of the first hundred of each kind alone, at 0 and at 0.7:
{first_hundred}.

What is told of earlier models below are hundreds by an older scorer, whose questions had a few words and names of the
training, and of the pairs of numbers a quarter in the other order.

With `reasoning_effort` low, medium and high an `analysis` of a sum has {reasoning} characters on average.

What helped where the first training fell short (tools 27%, json 41%, text 81%): thoughts that quote the definition or
the fields before they are used, so that names come by copying on; everyday words as names, since a token that training
never had the model say cannot be copied when asked; sorted words written out in the thought; more words before a
question. So tools came to 55% and json to 65%. What helped from there: a thought that goes through the question before
any call, with what each call is for and its values in the order of the parameters; names of parameters that are any
word in most documents, so that they are read and not guessed; any words at all around a field's name and its value, so
that the schema and not the wording says that an object is wanted; names that the schema says as well ("type",
"string"). What did not: noting each field with its value, in the question's order, before writing the object; that was
harder to learn than the object itself. So tools came to 73% and json to 77%, and stories at 0.7 fell to 84%.

The seventh training had the names that are asked for as names of anything, more functions to choose from, small words
in questions that mean nothing, and twice the tokens a step; and the checkpoint got a top_p of 0.9, for at 0.7 it was
the least likely tenth that spoilt stories. So tools came to 78% and json to 87%.

The eighth had two layers more, one of them with full attention; up to seven fields in an object, and often a word
that a schema says of itself ("object", "type") as the name of one; and recitals: the definitions of all functions of
a prompt written down in another order than they stand there, which is the hard part of a call, many times in one
answer. What is still wrong in tools is mostly the name of a function or parameter, copied from another definition: of
200 other questions 89% were right, with `strict` functions, whose parameters' names the server sees to, 95%. In json
it is a value that is copied from another field or spelt wrongly.

As much training again did not help: 4,600 steps more, at falling rates, with more recitals and fewer stories, brought
tools to 83% and 81%, but of 300 other questions 87% were right before and after, and stories at 0.7 fell to 81%. In
questions of the kinds that training asks as many were wrong as in those it never asks: what was missing was not
practice but room.

The ninth has it: twice the heads, and a residual stream of 224 and not 160, grown from the eighth so that nothing was
lost. What is new begins with a purpose: in the first layer the new heads see what stands five to eight places back, and
in the second they compare it (`training/far_sight.py`), for what tells one definition from another stands behind ".",
the line's end and "type". After 1,400 steps, with the rates still high, 61 of 100 recitals were right to the last token
(41% before), and 88 of 100 tools (75%). At its end tools came to 92% and 90% (of 200 other questions 92% were right)
and json to 95%; text fell to 90% and 88%, by letters of longer words that are left out or said twice.

The tenth, from there, asked for text half as often again and for recitals a quarter less often, and had names that are
words ("Three", "Where"), since a name that is one token ("Will") had never been copied as a name. So tools came to
96% and 95%, text to 95% and 94%; of 200 other questions 93% of the calls were right, and 96% of the objects.
What is wrong in objects is mostly a value: another one, or a wrong first letter.

Two short trainings began with the tenth, one that asked for objects and stories a quarter more often and one with up
to three words between a field's name and its value ("the colour has to be red"), where all wrong values had stood.
Alone each was about as good as the tenth. The mean of the weights of all three was better: of 200 other questions 96%
of calls and 96% of objects were right, of 100 objects at 0.7 still one too few. The thirteenth, of the same corpus as
the twelfth, began with that mean; alone it has the best objects (98% of the 200) and somewhat worse text. What is
shipped is half its weights and half the mean. Of 200 other questions 98% of calls, 96% of objects and 97% of texts
were right, at either temperature. It was chosen by its scores among the thirteenth and three means with it: they
differ by no more than chance, and each of the others was short of a target by one to three of a hundred. It was short
by one as well, in objects at 0.7; so the checkpoint got a top_p of 0.8, and there they are 95 of 100.

Two trainings from what is shipped were tried since and are not shipped, being no better: 1,200 steps that asked for
objects and calls more often, and 2,400 steps (21,890,418 tokens in 103 minutes) of a model grown by two layers, of
whose answers to the same 300 prompts, at either temperature, 95% were right in tools, 97% in json, 96% or 97% in text,
and of the first hundred 93 and 94 in tools, 94 in json.

## Loss

Of the thirteenth training:

![Loss over tokens]({picture})

## In one run

What is shipped came about bit by bit, in some 12 hours, while it was being found out what helps. `python -m
training.train` (revision 63f1993) makes a model of the same shape from nothing and in one run. Its corpus asks more
often for what takes long to learn, and less for what is long.
With the mixture of the trainings before, of which facts and arithmetic were 6% by tokens and calls 56%, a run from
nothing knew 68% of the facts and 82% of the sums. A run of 3,800 steps was short in arithmetic (93% and 94%), tools
(92%) and memory (89% and 87%); one of 4,800 in arithmetic (94%), tools (92%) and, by one answer of 300, json.

Where that was wrong the corpus was changed: the result of a call is said when it comes, for of two calls the second
one's had been given for both; negative differences are twice as frequent, and numbers of one digit as frequent as
others; two calls are wanted more often, and words follow that are no part of a number or a value ("work out what 3 + 4
makes"). With that, 6,800 steps reached all but tools: of 300 calls 280 and 278 were right, where 285 are wanted. What
was wrong there was of many kinds: the name of a function, or a value, copied wrongly, a function that was not meant,
the second of two calls left out. So the corpus of the run below asks for calls a quarter more often, and for products
with ×, as people write them, which the shipped model does not know. Of 300 calls 288 and 285 are right, and the run
reaches every target but one, by one answer: in talk at 0.7, 284 of 300 are right. What is wrong there mostly names the
model: "Are you Carousel?", "Hi Carousel!".

| | |
|---|---|
| training | {once_steps:,} steps, {once_tokens:,} tokens in {once_time} |
| trained on | {once_machine} |
| held-out loss | {once_held_out_loss} nats per learnt token |

{once_verdict} The same prompts:

| kind | target | {temperatures} |
|---|---|{rules}
{once_scores}

![Loss over tokens]({picture_once})

## Commands

    git checkout 63d6641
    python -m training.train --run runs/first --output runs/first/model
    git checkout b0a80ec
    python -m training.train --from runs/first/model --run runs/second --stop 1800 --output runs/second/model
    git checkout 87d7b11
    python -m training.train --from runs/second/model --run runs/third --output runs/third/model
    git checkout 7a35d89
    python -m training.train --seed 1 --from runs/third/model --run runs/a --stop 600 --output runs/a/model
    git checkout 3b955bf
    python -m training.train --seed 2 --from runs/a/model --run runs/b --stop 600 --output runs/b/model
    git checkout eb87c3d
    python -m training.train --seed 3 --from runs/b/model --run runs/c --stop 800 --output runs/c/model
    git checkout 72f2f2c
    python -m training.train --seed 4 --from runs/c/model --run runs/d --stop 800 --output runs/d/model
    git checkout 06bd6ad
    python -m training.train --seed 5 --from runs/d/model --run runs/fifth --output runs/fifth/model
    git checkout 9315635
    python -m training.train --seed 6 --from runs/fifth/model --run runs/sixth --output runs/sixth/model
    git checkout 0bd2450
    SEVENTH="--run runs/seventh --output runs/seventh/model"
    python -m training.train --seed 7 --from runs/sixth/model --processes 2 $SEVENTH
    git checkout d7104b4
    RUN="--seed 8 --from runs/seventh/model --run runs/eighth --processes 2 --documents 200000"
    python -m training.train $RUN --output runs/eighth/model --steps 5200 --stop 1800
    git checkout e144078
    python -m training.train $RUN --output runs/eighth/model --steps 4800
    git checkout 93f4a6b
    RUN="--seed 10 --from runs/eighth/model --run runs/ninth --processes 2 --documents 140000"
    python -m training.train $RUN --output runs/ninth/model --steps 3600 --stop 600
    python -m training.train $RUN --output runs/ninth/model --steps 3000 --stop 2800
    git checkout da1ba2d
    RUN="--seed 11 --from runs/ninth/model --run runs/tenth --processes 2 --documents 140000"
    python -m training.train $RUN --output runs/tenth/model --steps 3200
    git checkout 4befe18
    RUN="--seed 12 --from runs/tenth/model --run runs/eleventh --processes 2 --documents 140000"
    python -m training.train $RUN --output runs/eleventh/model --steps 1200
    git checkout 1313575
    RUN="--seed 13 --from runs/tenth/model --run runs/twelfth --processes 2 --documents 140000"
    python -m training.train $RUN --output runs/twelfth/model --steps 1200
    git checkout 87e5fcb
    MEAN="python -m training.average --like runs/tenth/model"
    $MEAN runs/tenth runs/eleventh runs/twelfth --output runs/mean
    RUN="--seed 14 --from runs/mean --run runs/embedded --processes 2 --documents 140000"
    python -m training.train $RUN --output runs/thirteenth --steps 1200
    git checkout 250d136
    $MEAN runs/tenth runs/eleventh runs/twelfth runs/embedded runs/embedded runs/embedded
    carousel serve embedded
    python -m training.score --output scores.json

The model of one run, and this card:

    git checkout 63f1993
    python -m training.train --run runs/once --output runs/once/model
    git checkout main
    carousel serve runs/once/model --served-model-name embedded
    python -m training.score --output once.json
    ONCE="--once runs/once --once-scores once.json"
    python -m training.model_card engine/embedded --run runs/embedded --scores scores.json $ONCE

License: Apache-2.0, like the project.
"""


@dataclass(frozen=True, slots=True)
class Trained:
    """The rows of a run's losses.csv, the scores of its model by training.score, and the machine that trained it."""

    log: Sequence[Mapping[str, str]]
    scored: Mapping[str, Any]
    machine: str

    @classmethod
    def read(cls, run: Path, scores: Path, machine: str) -> Self:
        with (run / "losses.csv").open() as lines:
            return cls(list(csv.DictReader(lines)), json.loads(scores.read_text(encoding="utf-8")), machine)

    def rows(self, said_of: Callable[[str], str] = lambda kind: "") -> str:
        """The scores as rows of a table. A kind's name is followed by its text in `said_of`."""
        rows = []
        for kind in TASKS:
            cells = " | ".join(f"{self.scored['scores'][kind][str(t)]:.0%}" for t in TEMPERATURES)
            rows.append(f"| {kind} | {said_of(kind)}{TARGETS[kind]:.0%} | {cells} |")
        return "\n".join(rows)

    def of_the_first(self, count: int) -> str:
        """The scores over the first questions of each kind, as part of a sentence."""
        outcomes = enumerate(self.scored["outcomes"])  # Grouped by kind and temperature.
        scores = summarise([Outcome(**each) for at, each in outcomes if at % self.scored["count"] < count])
        said = (f"{kind} " + " and ".join(f"{scores[kind][str(t)]:.0%}" for t in TEMPERATURES) for kind in TASKS)
        return fill(", ".join(said), 119)

    @property
    def minutes(self) -> int:
        return round(float(self.log[-1]["seconds"]) / 60)


def verdict(scores: Mapping[str, Mapping[str, float]]) -> str:
    """Says which kinds reach their targets at every temperature, and which do not."""
    good = [kind for kind in TASKS if min(scores[kind].values()) >= TARGETS[kind]]
    bad = [kind for kind in TASKS if kind not in good]
    reached = f"It reaches its targets in {', '.join(good)}." if good else "It reaches none of its targets yet."
    return f"{reached} It falls short in {', '.join(bad)}." if bad else reached


def draw_loss(log: Sequence[Mapping[str, str]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
    tokens = [int(line["tokens"]) / 1e6 for line in log]
    for column in ("training loss", "held-out loss"):
        axes.plot(tokens, [float(line[column]) for line in log], label=column)
    axes.set_xlabel("million tokens")
    axes.set_ylabel("nats per learnt token")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def write_model_card(directory: Path, shipped: Trained, once: Trained) -> None:
    """Writes the card and its picture. `once` is a run from first weights."""
    shape, last, end = read_shape(directory), shipped.log[-1], once.log[-1]
    text = CARD.format(
        **{name: getattr(shape, name) for name in type(shape).__dataclass_fields__},
        max_position=shape.max_position,
        verdict=verdict(shipped.scored["scores"]),
        steps=int(last["step"]),
        tokens=int(last["tokens"]),
        minutes=shipped.minutes,
        machine=shipped.machine,
        held_out_loss=last["held-out loss"],
        count=shipped.scored["count"],
        temperatures=" | ".join(f"at {t:g}" for t in TEMPERATURES),
        rules="---|" * len(TEMPERATURES),
        scores=shipped.rows(lambda kind: f"{TASKS[kind]} | "),
        first_hundred=shipped.of_the_first(100),
        reasoning=", ".join(f"{shipped.scored['reasoning'][effort]:.0f}" for effort in ("low", "medium", "high")),
        picture=PICTURE,
        once_steps=int(end["step"]),
        once_tokens=int(end["tokens"]),
        once_time="{} h {} min".format(*divmod(once.minutes, 60)),
        once_machine=once.machine,
        once_held_out_loss=end["held-out loss"],
        once_verdict=verdict(once.scored["scores"]),
        once_scores=once.rows(),
        picture_once=PICTURE_ONCE,
    )
    (directory / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    draw_loss(shipped.log, directory / PICTURE)
    draw_loss(once.log, directory / PICTURE_ONCE)


def main(
    directory: Annotated[Path, typer.Argument(help="The exported checkpoint.")],
    run: Annotated[Path, typer.Option(help="The folder of the run that made it, with losses.csv.")],
    scores: Annotated[Path, typer.Option(help="The output of training.score for it.")],
    once: Annotated[Path, typer.Option(help="The folder of a run from first weights.")],
    once_scores: Annotated[Path, typer.Option(help="The output of training.score for its model.")],
    machine: Annotated[str, typer.Option(help="What the model was trained on.")] = "one CPU thread",
    once_machine: Annotated[str, typer.Option(help="What the other model was trained on.")] = "two CPU threads",
) -> None:
    shipped = Trained.read(run, scores, machine)
    write_model_card(directory, shipped, Trained.read(once, once_scores, once_machine))


if __name__ == "__main__":
    typer.run(main)

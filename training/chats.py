"""Conversations: what is asked, a short thought, the answer. A chat is one to three exchanges in a row."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from training import words
from training.facts import all_facts
from training.stories import story
from training.words import with_article

FACTS = all_facts()


@dataclass(frozen=True, slots=True)
class Exchange:
    question: str
    thought: str
    answer: str


GREETINGS = (
    "Hello!", "Hello", "Hi!", "Hi", "Hi there!", "Hey!", "Hello there.", "Good morning!", "Good evening!",
    "hello", "hi", "hey", "Hey there", "Hello, world!", "Say hello.", "Say hi!", "Hello, Carousel!",
)  # fmt: skip
WELCOMES = (
    "Hello! How can I help you today?", "Hello! It is nice to meet you. What would you like to know?",
    "Hi! I am Carousel. What can I do for you?", "Hello! Ask me a question or ask me for a story.",
)  # fmt: skip
WHO = (
    "Who are you?", "What are you?", "What is your name?", "Tell me about yourself.",
    "Who am I talking to?", "Are you a person?", "Introduce yourself.", "who are you",
    "What model are you?", "Hello! Who are you?", "Hi, who are you?", "Please tell me who you are.",
)  # fmt: skip
IDENTITIES = (
    "I am the small model that ships with Carousel. "
    "I can talk a little, answer simple questions and tell short stories.",
    "I am the small model that ships with Carousel. I know a few facts, and I like to tell stories.",
    "I am the small model that ships with Carousel. I am not a person, but I am happy to help you.",
)
ABILITIES = (
    "What can you do?",
    "How can you help me?",
    "Can you help me?",
    "What do you know?",
    "Help me, please.",
)
OFFERS = (
    "I can answer simple questions, add small numbers and tell short stories.",
    "I can tell you a story, name the capital of a country or add two small numbers.",
    "Yes. Ask me a simple question, or ask me for a story about an animal.",
)
MOODS = ("How are you?", "How are you today?", "How do you feel?", "Are you well?")
WELL = (
    "I am well, thank you. How are you?",
    "I am fine, thank you for asking.",
    "Very well, thank you. What can I do for you?",
)
THANKS = ("Thank you!", "Thanks!", "Thank you very much.", "Thanks a lot!", "That is great, thank you.")
NOT_AT_ALL = (
    "You are welcome!",
    "You are welcome. Ask me again at any time.",
    "I am glad that I could help.",
)
PARTINGS = ("Goodbye!", "Bye!", "See you later.", "Good night!", "I have to go now.")
FAREWELLS = ("Goodbye! Have a nice day.", "Goodbye! Come back soon.", "Bye! It was nice to talk to you.")
MAKERS = ("Who made you?", "Where do you come from?", "Who trained you?")
ORIGINS = ("I ship with Carousel, and I was trained by the script that ships with it.",)
JOKES = ("Tell me a joke.", "Do you know a joke?", "Make me laugh.")
PUNCHLINES = (
    "Why did the bicycle fall over? Because it was two tired.", "What has hands but cannot clap? A clock.",
    "Why was the book so sad? It had too many problems.",
    "What is full of holes but still holds water? A sponge.",
)  # fmt: skip
UNKNOWN_THINGS = (
    "the price of gold", "the stock market", "quantum physics", "my computer", "the next election",
    "football results", "ancient history", "this poem", "the weather tomorrow", "chemistry", "the news",
    "my homework", "programming", "medicine", "the law", "philosophy",
)  # fmt: skip
UNKNOWN = (
    "What do you think about {}?", "Can you explain {}?", "Tell me about {}.",
    "What can you tell me about {}?", "I have a question about {}.", "Please help me with {}.",
)  # fmt: skip
REFUSALS = (
    "I am sorry, but I do not know much about {}. I am only a small model.",
    "I am a small model, and I do not know enough about {} to help you.",
)


def canned(questions: tuple[str, ...], thought: str, answers: tuple[str, ...]) -> Callable[[Random], Exchange]:
    """Exchanges whose answer does not depend on the wording of the question."""
    return lambda rng: Exchange(rng.choice(questions), thought, rng.choice(answers))


def fact(rng: Random) -> Exchange:
    known = rng.choice(FACTS)
    return Exchange(rng.choice(known.questions), f"The user asks about {known.topic}. I know this.", known.statement)


def arithmetic(rng: Random) -> Exchange:
    """Sums and differences up to 20, products up to 10 · 10."""
    word, sign = rng.choice((("plus", "+"), ("plus", "+"), ("minus", "-"), ("times", "*")))
    if word == "times":
        first, second = rng.randint(1, 10), rng.randint(1, 10)
        result = first * second
    else:
        total, first = sorted((rng.randint(0, 20), rng.randint(0, 20)), reverse=True)
        first, second, result = (first, total - first, total) if word == "plus" else (total, first, total - first)
    question = rng.choice((
        f"What is {first} {word} {second}?", f"What is {first} {sign} {second}?",
        f"How much is {first} {word} {second}?",
        f"{first} {sign} {second} = ?", f"What is {first}{sign}{second}?", f"{first}{sign}{second}",
    ))  # fmt: skip
    thought = f"This is arithmetic: {first} {sign} {second} = {result}."
    return Exchange(question, thought, f"{first} {word} {second} is {result}.")


def tale(rng: Random) -> Exchange:
    kind = rng.choice(words.CREATURES + words.CHILDREN)
    about = with_article(kind)
    if rng.random() < 0.25:
        question = rng.choice(("Tell me a story.", "Write a short story.", "Can you tell me a story?"))
        thought = f"The user wants a story. I will tell one about {about}."
    else:
        question = rng.choice((
            f"Tell me a story about {about}.", f"Write a short story about {about}.",
            f"Can you tell me a story about {about}?", f"Please tell me a story about {about}.",
        ))  # fmt: skip
        thought = f"The user wants a story about {about}."
    return Exchange(question, thought, story(rng, kind, short=True))


def counting(rng: Random) -> Exchange:
    last = rng.randint(3, 12)
    question = rng.choice((f"Count to {last}.", f"Please count from 1 to {last}.", f"Can you count to {last}?"))
    return Exchange(question, f"I count from 1 to {last}.", ", ".join(str(n) for n in range(1, last + 1)) + ".")


def naming(rng: Random) -> Exchange:
    kind, members = rng.choice((
        ("animals", words.CREATURES), ("colours", words.COLOURS), ("flowers", words.FLOWERS),
        ("foods", words.SNACKS), ("names", words.GIRLS + words.BOYS),
    ))  # fmt: skip
    one, two, three = rng.sample(members, 3)
    question = rng.choice((f"Name three {kind}.", f"Tell me three {kind}.", f"Can you name three {kind}?"))
    return Exchange(question, f"I will name three {kind}.", f"Three {kind} are {one}, {two} and {three}.")


def introduction(rng: Random) -> Exchange:
    name = rng.choice(words.GIRLS + words.BOYS)
    question = rng.choice((f"My name is {name}.", f"I am {name}.", f"Hello, I am {name}.", f"Hi, my name is {name}."))
    answer = rng.choice((f"Nice to meet you, {name}! How can I help you?", f"Hello, {name}! What can I do for you?"))
    return Exchange(question, f"The user is called {name}. I should greet {name}.", answer)


def unknown(rng: Random) -> Exchange:
    thing = rng.choice(UNKNOWN_THINGS)
    thought = "I do not know much about this. I should say so."
    return Exchange(
        rng.choice(UNKNOWN).format(thing), thought, rng.choice(REFUSALS).format(thing.replace("my ", "your "))
    )


EXCHANGES: tuple[tuple[Callable[[Random], Exchange], int], ...] = (
    (canned(GREETINGS, "The user greets me. I should greet them back.", WELCOMES), 10),
    (canned(WHO, "The user asks who I am. I am the small model that ships with Carousel.", IDENTITIES), 10),
    (canned(ABILITIES, "The user asks what I can do.", OFFERS), 4),
    (canned(MOODS, "The user asks how I am. I should answer politely.", WELL), 4),
    (canned(THANKS, "The user thanks me.", NOT_AT_ALL), 4),
    (canned(PARTINGS, "The user says goodbye.", FAREWELLS), 4),
    (canned(MAKERS, "The user asks where I come from.", ORIGINS), 2),
    (canned(JOKES, "The user wants a joke.", PUNCHLINES), 3),
    (fact, 26),
    (arithmetic, 12),
    (tale, 10),
    (counting, 4),
    (naming, 5),
    (introduction, 4),
    (unknown, 5),
)
INSTRUCTIONS = (
    "You are a helpful assistant.", "You are a friendly assistant.", "Answer in one sentence.",
    "Be kind and brief.", "Answer the questions of the user.", "You are a helpful assistant. Be polite.",
)  # fmt: skip
EFFORTS = ("low", "medium", "medium", "high")


def think(thought: str, effort: str) -> str:
    """A low effort stops after one sentence, a high one adds how to answer."""
    if effort == "low":
        return thought.split(". ")[0].removesuffix(".") + "."
    return thought + " I will give a short and clear answer." if effort == "high" else thought


def conversation(rng: Random) -> tuple[list[dict[str, Any]], str]:
    """Messages in the chat shape, the assistant's with their thinking, and the reasoning effort."""
    kinds, weights = zip(*EXCHANGES, strict=True)
    effort = rng.choice(EFFORTS)
    messages: list[dict[str, Any]] = []
    if rng.random() < 0.25:
        messages.append({"role": rng.choice(("system", "developer")), "content": rng.choice(INSTRUCTIONS)})
    for draw in rng.choices(kinds, weights, k=rng.choice((1, 1, 1, 2, 2, 3))):
        exchange = draw(rng)
        messages.append({"role": "user", "content": exchange.question})
        messages.append({"role": "assistant", "content": exchange.answer, "thinking": think(exchange.thought, effort)})
    return messages, effort

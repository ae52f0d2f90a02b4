"""Small talk: greetings, who the model is, what it cannot know; stories, counting, naming."""

from collections.abc import Callable

from training import words
from training.draw import Draw
from training.exchange import EFFORTS, Effort, Exchange
from training.stories import story
from training.words import with_article

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
    "Hello, who are you?", "What are you called?", "Are you a robot?", "Are you a human?", "Do you have a name?",
    "Say who you are.", "Can you tell me who you are?", "Which model is this?", "What's your name?",
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
MOODS = ("How are you?", "How are you today?", "How do you feel?", "Are you well?", "How is it going?")
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
MAKERS = ("Who made you?", "Where do you come from?", "Who trained you?", "Who built you?", "Where were you made?")
ORIGINS = ("I ship with Carousel, and I was trained by the script that ships with it.",)
JOKES = ("Tell me a joke.", "Do you know a joke?", "Make me laugh.", "Say something funny.", "A joke, please.")
PUNCHLINES = (
    "Why did the bicycle fall over? Because it was two tired.", "What has hands but cannot clap? A clock.",
    "Why was the book so sad? It had too many problems.",
    "What is full of holes but still holds water? A sponge.",
)  # fmt: skip
UNKNOWN_THINGS = (
    "the price of gold", "the stock market", "quantum physics", "my computer", "the next election",
    "football results", "ancient history", "this poem", "the weather tomorrow", "chemistry", "the news",
    "my homework", "programming", "medicine", "the law", "philosophy", "the theory of relativity", "black holes",
    "the history of Rome", "modern art", "taxes", "space travel", "my car", "electric cars", "the human brain",
    "photosynthesis", "Shakespeare", "opera", "the stock price of a company", "the lottery", "climate models",
    "my dreams", "the weather next week", "the best phone", "cooking", "chess openings", "my email", "biology",
    "the latest film", "mathematical proofs", "gravity", "insurance", "politics", "economics", "the football world cup",
)  # fmt: skip
UNKNOWN = (
    "What do you think about {}?", "Can you explain {}?", "Tell me about {}.",
    "What can you tell me about {}?", "I have a question about {}.", "Please help me with {}.",
    "Explain {} to me.", "What do you know about {}?", "How does {} work?", "I want to know all about {}.",
    "Write a report about {}.", "Give me the details of {}.", "Teach me about {}.", "Describe {}.",
    "What is new about {}?", "Please explain {}.", "Can you tell me more about {}?", "What is the truth about {}?",
    "Help me understand {}.", "Who knows most about {}?",
)  # fmt: skip
REFUSALS = (
    "I am sorry, but I do not know much about {}. I am only a small model.",
    "I am a small model, and I do not know enough about {} to help you.",
)


def thinking(thought: str, effort: Effort) -> str:
    """With low effort none, with high effort also how to answer."""
    if effort == "low":
        return ""
    return thought + " I will give a short and clear answer." if effort == "high" else thought


def canned(
    questions: tuple[str, ...], thought: str, answers: tuple[str, ...], expected: str = ""
) -> Callable[[Draw], Exchange]:
    """Exchanges whose answer does not depend on the wording of the question. Any of `expected` (a|b) will do."""

    def draw_one(draw: Draw) -> Exchange:
        effort = draw.any(EFFORTS)
        return Exchange(draw.phrase(questions), thinking(thought, effort), draw.any(answers), expected, effort)

    return draw_one


def tale(draw: Draw) -> Exchange:
    kind, effort = draw.any(words.CREATURES + words.CHILDREN), draw.any(EFFORTS)
    about = with_article(kind)
    questions = (
        f"Tell me a story about {about}.", f"Write a short story about {about}.",
        f"Can you tell me a story about {about}?", f"Please tell me a story about {about}.",
        f"I want to hear a story about {about}.", "Tell me a story.", "Write a short story.",
    )  # fmt: skip
    question = draw.phrase(questions)
    thought = f"The user wants a story. I will tell one about {about}."
    return Exchange(question, thinking(thought, effort), story(draw.rng, kind, short=True), kind, effort)


def counting(draw: Draw) -> Exchange:
    last, effort = draw.rng.randint(3, 12), draw.any(EFFORTS)
    questions = (
        f"Count to {last}.",
        f"Please count from 1 to {last}.",
        f"Can you count to {last}?",
        f"count to {last}",
    )
    counted = ", ".join(str(n) for n in range(1, last + 1)) + "."
    return Exchange(draw.any(questions), thinking(f"I count from 1 to {last}.", effort), counted, str(last), effort)


def naming(draw: Draw) -> Exchange:
    kind, members = draw.any((
        ("animals", words.CREATURES), ("colours", words.COLOURS), ("flowers", words.FLOWERS),
        ("foods", words.SNACKS), ("names", words.GIRLS + words.BOYS),
    ))  # fmt: skip
    one, two, three = draw.rng.sample(members, 3)
    effort = draw.any(EFFORTS)
    question = draw.any((f"Name three {kind}.", f"Tell me three {kind}.", f"Can you name three {kind}?"))
    answer = f"Three {kind} are {one}, {two} and {three}."
    return Exchange(question, thinking(f"I will name three {kind}.", effort), answer, kind, effort)


def unknown(draw: Draw) -> Exchange:
    thing, effort = draw.value(UNKNOWN_THINGS), draw.any(EFFORTS)
    thought = thinking("I do not know much about this. I should say so.", effort)
    answer = draw.any(REFUSALS).format(thing.replace("my ", "your "))
    return Exchange(draw.phrase(UNKNOWN).format(thing), thought, answer, "small model", effort)


GREETING = canned(GREETINGS, "The user greets me. I should greet them back.", WELCOMES, "hello|hi!")
IDENTITY = canned(WHO, "The user asks who I am. I am the small model that ships with Carousel.", IDENTITIES, "carousel")
SMALL_TALK: tuple[tuple[Callable[[Draw], Exchange], int], ...] = (
    (GREETING, 8),
    (IDENTITY, 8),
    (unknown, 12),
    (canned(ABILITIES, "The user asks what I can do.", OFFERS), 3),
    (canned(MOODS, "The user asks how I am. I should answer politely.", WELL), 3),
    (canned(THANKS, "The user thanks me.", NOT_AT_ALL), 3),
    (canned(PARTINGS, "The user says goodbye.", FAREWELLS), 3),
    (canned(MAKERS, "The user asks where I come from.", ORIGINS), 2),
    (canned(JOKES, "The user wants a joke.", PUNCHLINES), 2),
    (tale, 6),
    (counting, 3),
    (naming, 3),
)


def small_talk(draw: Draw) -> Exchange:
    kinds, weights = zip(*SMALL_TALK, strict=True)
    (kind,) = draw.rng.choices(kinds, weights)
    exchange: Exchange = kind(draw)
    return exchange


def asked_who_it_is(draw: Draw) -> Exchange:
    """What the scorer asks: a greeting, who are you, or what it cannot know."""
    return draw.any((GREETING, IDENTITY, unknown))(draw)

"""Small talk: greetings, who the model is, what it cannot know; stories, counting, naming."""

from collections.abc import Callable

from training import words
from training.draw import Draw
from training.exchange import EFFORTS, Effort, Exchange
from training.stories import story
from training.wording import phrasings
from training.words import with_article

GREETINGS = (
    "Hello!", "Hello", "Hi!", "Hi", "Hello there!", "Hey!", "Hello there.", "Good morning!", "Good evening!",
    "Hi there",
    "hello", "hi", "hey", "Hey there", "Hello Carousel", "Say hello to me.", "Hello, world!", "Good day!", "Greetings!",
    "Hi Carousel!", "Hello, Carousel!", "Good afternoon!", "Say hi!", "Please say hello.", "Hey Carousel",
    "Hello again!",
    "Hi again.", "Hello, my friend!", "Hello, nice to meet you.", "Good morning, Carousel!", "Hello you!",
    "Say hi to me.",
    "Can you say hello?", "Nice to meet you!", "Say hello.", "Good morning", "Good evening", "Hi, nice to meet you!",
    "Hey, hello!", "Hi, my friend!", "Hello, small model!", "A good day to you!", "Hello, hello!",
    "Hello dear Carousel", "Hey, my friend!", "Greetings, Carousel!", "Good day, Carousel!", "Hello, how nice!",
)  # fmt: skip
PRACTISED_GREETINGS = (
    "Well hello, Carousel!", "Carousel, hello!", "Hello to you, Carousel!", "Good evening, Carousel!", "Hey you!",
    "Good afternoon, Carousel!", "Hi all!", "Hi you!", "Hey, good morning!", "Hey, good day!", "Welcome, Carousel!",
)  # fmt: skip
"""Most greetings that are kept out name the model, or begin with "Hi" or "Hey": these are only trained on."""
WELCOMES = (
    "Hello! How can I help you today?", "Hello! It is nice to meet you. What would you like to know?",
    "Hi! I am Carousel. What can I do for you?", "Hello! Ask me a question or ask me for a story.",
)  # fmt: skip
WHO = phrasings(
    "Who are you?", "What are you?", "Who am I talking to?", "Are you a person?", "who are you", "What model are you?",
    "Hello! Who are you?", "Hi, who are you?", "Are you a human?", "Hello, who are you?", "What are you called?",
    "Are you a robot?", "Do you have a name?", "Which model is this?", "Which model are you?", "Is this a robot?",
    "What model is this?", "Am I talking to a person?", "Are you a human or a robot?", "Am I talking to a robot?",
    "Are you a model?", "What kind of model are you?", "So who are you?", "Who is this?", "Who is talking to me?",
    "Are you real?", "What is this model?", "Who do I talk to?", "Are you a machine?", "Are you Carousel?",
    "Are you the model?", "Is this Carousel?", "Is your name Carousel?", "You are who?", "Are you called Carousel?",
    "Who is there?", "Who is speaking?", "With whom am I talking?", "Who is answering me?", "Who am I speaking to?",
    noun=("your name", "who you are", "what you are"),
    verb=("introduce yourself", "tell me about yourself", "say who you are"),
)  # fmt: skip
PRACTISED_WHO = (
    "Is that Carousel?", "Is it you, Carousel?", "Is Carousel your name?", "Do they call you Carousel?",
    "Carousel, who are you?", "Does Carousel speak to me?", "Who is Carousel?", "who is this", "what are you",
)  # fmt: skip
IDENTITIES = (
    "I am the small model that ships with Carousel. "
    "I can talk a little, answer simple questions and tell short stories.",
    "I am the small model that ships with Carousel. I know a few facts, and I like to tell stories.",
    "I am the small model that ships with Carousel. I am not a person, but I am happy to help you.",
)
ABILITIES = phrasings(
    "What can you do?", "How can you help me?", "Can you help me?", "What do you know?", "What can you help me with?",
    "Help me, please.", "What are you good at?", "What can I ask you?", "Can you do something for me?",
    "What can you do for me?", noun=("what you can do", "what you are good at"),
)  # fmt: skip
OFFERS = (
    "I can answer simple questions, add small numbers and tell short stories.",
    "I can tell you a story, name the capital of a country or add two small numbers.",
    "Yes. Ask me a simple question, or ask me for a story about an animal.",
)
MOODS = (
    "How are you?", "How are you today?", "How do you feel?", "Are you well?", "How do you feel today?",
    "How is it going?",
    "how are you", "How are you doing?", "Are you fine?", "How are you now?",
)  # fmt: skip
WELL = (
    "I am well, thank you. How are you?",
    "I am fine, thank you for asking.",
    "Very well, thank you. What can I do for you?",
)
THANKS = (
    "Thank you!", "Thanks!", "Thank you very much.", "Thanks a lot!", "Thank you so much!", "That is great, thank you.",
    "thanks", "That was good, thank you.", "Great, thanks!", "Thank you for your help.",
)  # fmt: skip
NOT_AT_ALL = (
    "You are welcome!",
    "You are welcome. Ask me again at any time.",
    "I am glad that I could help.",
)
PARTINGS = (
    "Goodbye!", "Bye!", "See you later.", "Good night!", "Bye, see you later!", "I have to go now.", "bye", "goodbye",
    "See you!", "Goodbye, Carousel!",
)  # fmt: skip
FAREWELLS = ("Goodbye! Have a nice day.", "Goodbye! Come back soon.", "Bye! It was nice to talk to you.")
MAKERS = phrasings(
    "Who made you?", "Where do you come from?", "Who trained you?", "Who built you?", "Where were you made?",
    "Where were you trained?", "Who has made you?", "How were you made?", "How were you trained?",
    "Who has trained you?",
    noun=("who made you", "where you come from"),
)  # fmt: skip
ORIGINS = ("I ship with Carousel, and I was trained by the script that ships with it.",)
JOKES = phrasings(
    "Do you know a joke?",
    "Say something funny.",
    "Make me laugh.",
    "A joke, please.",
    "Tell me something funny.",
    noun=("a joke", "a good joke"),
)
PUNCHLINES = (
    "Why did the bicycle fall over? Because it was two tired.", "What has hands but cannot clap? A clock.",
    "Why was the book so sad? It had too many problems.",
    "What is full of holes but still holds water? A sponge.",
)  # fmt: skip
STORY_WISHES = phrasings(
    "I want to hear a story about {}.",
    "Do you know a story about {}?",
    noun=("a story about {}", "a short story about {}"),
    verb=("tell me a story about {}", "write a short story about {}"),
)
COUNT_WISHES = phrasings(verb=("count to {}", "count from 1 to {}", "count up to {}"))
NAME_WISHES = phrasings(noun=("three {}", "the names of three {}"), verb=("name three {}", "name me three {}"))
UNKNOWN_THINGS = (
    "the price of gold", "the stock market", "quantum physics", "my computer", "the next election",
    "football results", "ancient history", "this poem", "the weather tomorrow", "chemistry", "the news",
    "my homework", "programming", "medicine", "the law", "philosophy", "the theory of relativity", "black holes",
    "the history of Rome", "modern art", "taxes", "space travel", "my car", "electric cars", "the human brain",
    "photosynthesis", "Shakespeare", "opera", "the stock price of a company", "the lottery", "climate models",
    "my dreams", "the weather next week", "the best phone", "cooking", "chess openings", "my email", "biology",
    "the latest film", "mathematical proofs", "gravity", "insurance", "politics", "economics", "the football world cup",
    "my train", "the rent", "the moon landing", "quantum computers", "tennis", "the price of oil", "my bank", "atoms",
    "the stars", "my health", "vaccines", "the brain", "genes", "evolution", "the climate", "earthquakes", "rockets",
    "the ocean floor", "deep learning", "bitcoin", "my garden", "French wine", "the piano", "jazz", "the best hotel",
    "my phone", "flights", "the traffic", "train tickets", "the weather in May", "my boss", "my exam", "algebra",
    "calculus", "poetry", "old castles", "the Romans", "the pyramids", "dinosaurs", "volcanoes", "the human heart",
    "sleep", "vitamins", "yoga", "running shoes", "cycling", "swimming", "the Olympic games", "chess", "card games",
    "video games", "new books", "the cinema", "theatre", "painting", "sculpture", "architecture", "bridges", "engines",
    "solar power", "wind power", "batteries", "the internet", "computer viruses", "passwords", "robots", "planes",
    "ships", "trade", "inflation", "interest rates", "pensions", "my contract", "the constitution", "human rights",
    "elections", "the prime minister", "the king", "the war", "peace talks", "religion", "ethics", "logic", "language",
    "grammar", "Latin", "dialects", "knitting", "baking bread", "cheese", "spices", "farming", "bees", "my dog",
    "the flu", "football", "the next match", "football players", "chess players", "film stars", "stock prices",
    "climate change", "tax law", "family law", "news", "the news today", "the results of the race", "the opening hours",
)  # fmt: skip
UNKNOWN = phrasings(
    "What do you think about {}?", "What can you tell me about {}?", "I have a question about {}.", "How does {} work?",
    "What do you know about {}?", "I want to know all about {}.", "Tell me about {}.", "What is new about {}?",
    "Who knows most about {}?", "Do you know all about {}?", "Give me the details of {}.", "What about {}?",
    "Why is {} like that?", "Where can I read about {}?", "What should I know about {}?",
    noun=("the truth about {}", "all about {}", "something about {}", "more about {}"),
    verb=("explain {}", "explain {} to me", "describe {}", "teach me about {}", "help me with {}", "tell me about {}",
          "help me understand {}", "write a report about {}"),
)  # fmt: skip
REFUSALS = (
    "I am sorry, but I do not know much about {}. I am only a small model.",
    "I am a small model, and I do not know enough about {} to help you.",
)


def thinking(thought: str, effort: Effort) -> str:
    """No thought with low effort; with high effort also how to answer."""
    if effort == "low":
        return ""
    return thought + " I will give a short and clear answer." if effort == "high" else thought


def canned(
    questions: tuple[str, ...],
    thought: str,
    answers: tuple[str, ...],
    expected: str = "",
    practised: tuple[str, ...] = (),
) -> Callable[[Draw], Exchange]:
    """Exchanges whose answer does not depend on the wording of the question. Any of `expected` (a|b) will do.
    Questions that are `practised` are only trained on."""

    def draw_one(draw: Draw) -> Exchange:
        effort = draw.any(EFFORTS)
        question = draw.phrase(questions, practised)
        return Exchange(question, thinking(thought, effort), draw.any(answers), expected, effort)

    return draw_one


def tale(draw: Draw) -> Exchange:
    kind, effort = draw.any(words.CREATURES + words.CHILDREN), draw.any(EFFORTS)
    about = with_article(kind)
    question = draw.phrase(STORY_WISHES).format(about)
    thought = f"The user wants a story. I will tell one about {about}."
    return Exchange(question, thinking(thought, effort), story(draw.rng, kind, short=True), kind, effort)


def counting(draw: Draw) -> Exchange:
    last, effort = draw.rng.randint(3, 12), draw.any(EFFORTS)
    counted = ", ".join(str(n) for n in range(1, last + 1)) + "."
    return Exchange(
        draw.phrase(COUNT_WISHES).format(last),
        thinking(f"I count from 1 to {last}.", effort),
        counted,
        str(last),
        effort,
    )


def naming(draw: Draw) -> Exchange:
    kind, members = draw.any((
        ("animals", words.CREATURES), ("colours", words.COLOURS), ("flowers", words.FLOWERS),
        ("foods", words.SNACKS), ("names", words.GIRLS + words.BOYS),
    ))  # fmt: skip
    one, two, three = draw.rng.sample(members, 3)
    effort = draw.any(EFFORTS)
    question = draw.phrase(NAME_WISHES).format(kind)
    answer = f"Three {kind} are {one}, {two} and {three}."
    return Exchange(question, thinking(f"I will name three {kind}.", effort), answer, kind, effort)


def unknown(draw: Draw) -> Exchange:
    thing, effort = draw.value(UNKNOWN_THINGS), draw.any(EFFORTS)
    thought = thinking("I do not know much about this. I should say so.", effort)
    answer = draw.any(REFUSALS).format(thing.replace("my ", "your "))
    return Exchange(draw.phrase(UNKNOWN).format(thing), thought, answer, "not know", effort)


GREETING = canned(
    GREETINGS,
    "The user greets me. I should greet them back.",
    WELCOMES,
    "hello|hi!",
    PRACTISED_GREETINGS,
)
IDENTITY = canned(
    WHO,
    "The user asks who I am. I am the small model that ships with Carousel.",
    IDENTITIES,
    "carousel",
    PRACTISED_WHO,
)
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
    """What the scorer asks: a greeting, who the model is, or something that it cannot know."""
    return draw.any((GREETING, IDENTITY, unknown))(draw)

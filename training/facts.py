"""What the model is taught to know: a few hundred plain facts, and the questions they answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training.words import sentence_case, with_article

CAPITALS = {
    "Argentina": "Buenos Aires", "Australia": "Canberra", "Austria": "Vienna", "Belgium": "Brussels",
    "Brazil": "Brasilia", "Canada": "Ottawa", "Chile": "Santiago", "China": "Beijing", "Cuba": "Havana",
    "Denmark": "Copenhagen", "Egypt": "Cairo", "England": "London", "Finland": "Helsinki",
    "France": "Paris", "Germany": "Berlin", "Greece": "Athens", "Hungary": "Budapest",
    "Iceland": "Reykjavik", "India": "New Delhi", "Ireland": "Dublin", "Italy": "Rome", "Japan": "Tokyo",
    "Kenya": "Nairobi", "Mexico": "Mexico City", "Norway": "Oslo", "Peru": "Lima", "Poland": "Warsaw",
    "Portugal": "Lisbon", "Russia": "Moscow", "South Korea": "Seoul", "Spain": "Madrid",
    "Sweden": "Stockholm", "Switzerland": "Bern", "Thailand": "Bangkok", "Turkey": "Ankara",
    "Ukraine": "Kyiv", "the United States": "Washington",
}  # fmt: skip
SOUNDS = {
    "bee": "buzzes", "bird": "sings", "cat": "meows", "cow": "moos", "dog": "barks", "donkey": "brays",
    "duck": "quacks", "frog": "croaks", "horse": "neighs", "lion": "roars", "owl": "hoots", "pig": "oinks",
    "sheep": "bleats", "snake": "hisses", "wolf": "howls",
}  # fmt: skip
YOUNG = {
    "bear": "cub", "cat": "kitten", "cow": "calf", "deer": "fawn", "dog": "puppy", "duck": "duckling",
    "frog": "tadpole", "goat": "kid", "goose": "gosling", "hen": "chick", "horse": "foal",
    "kangaroo": "joey", "lion": "cub", "pig": "piglet", "sheep": "lamb", "swan": "cygnet",
}  # fmt: skip
LEGS = {
    "ant": 6, "bee": 6, "bird": 2, "cat": 4, "cow": 4, "crab": 10, "dog": 4, "duck": 2, "horse": 4,
    "person": 2, "sheep": 4, "snake": "no", "spider": 8,
}  # fmt: skip
COLOUR_OF = {
    "a banana": "yellow", "a carrot": "orange", "a cherry": "red", "a frog": "green", "a lemon": "yellow",
    "a plum": "purple", "a ripe tomato": "red", "a swan": "white", "an elephant": "grey", "blood": "red",
    "chocolate": "brown", "coal": "black", "grass": "green", "milk": "white", "snow": "white",
    "the clear sky": "blue", "the night": "dark", "the sea": "blue", "the sun": "yellow",
}  # fmt: skip
OPPOSITES = {
    "big": "small", "black": "white", "clean": "dirty", "cold": "hot", "dark": "light", "day": "night",
    "dry": "wet", "early": "late", "easy": "hard", "empty": "full", "fast": "slow", "good": "bad",
    "happy": "sad", "high": "low", "left": "right", "long": "short", "loud": "quiet", "new": "old",
    "open": "closed", "rich": "poor", "strong": "weak", "thick": "thin", "up": "down", "warm": "cool",
    "young": "old",
}  # fmt: skip
USES = {
    "a bed": "to sleep", "a book": "to read", "a broom": "to sweep the floor",
    "a camera": "to take pictures", "a clock": "to tell the time", "a cup": "to drink",
    "a hammer": "to hit nails", "a key": "to open a lock", "a kettle": "to boil water", "a knife": "to cut",
    "a lamp": "to make light", "a map": "to find the way", "a needle": "to sew", "a pen": "to write",
    "a ruler": "to measure", "a spoon": "to eat soup", "an oven": "to bake",
    "an umbrella": "to stay dry in the rain", "a pair of scissors": "to cut paper", "soap": "to wash",
}  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
WORK = {
    "a baker": "bakes bread", "a builder": "builds houses", "a cook": "makes food",
    "a doctor": "helps sick people", "a driver": "drives a car or a bus", "a farmer": "grows food",
    "a firefighter": "puts out fires", "a gardener": "takes care of plants", "a judge": "decides in court",
    "a painter": "paints pictures", "a pilot": "flies planes", "a sailor": "sails on ships",
    "a singer": "sings songs", "a teacher": "teaches children", "a writer": "writes books",
}  # fmt: skip
SINGLE = (
    ("What is water made of?", "Water is made of hydrogen and oxygen."),
    ("How many days are in a week?", "There are seven days in a week."),
    ("How many months are in a year?", "There are twelve months in a year."),
    ("How many hours are in a day?", "There are twenty-four hours in a day."),
    ("How many minutes are in an hour?", "There are sixty minutes in an hour."),
    ("What is the largest ocean?", "The Pacific is the largest ocean."),
    ("What is the largest planet?", "Jupiter is the largest planet that goes around the sun."),
    ("What goes around the earth?", "The moon goes around the earth."),
    ("What does the earth go around?", "The earth goes around the sun."),
    ("What do bees make?", "Bees make honey."),
    ("What do plants need to grow?", "Plants need light, water and air to grow."),
    ("Why is the sky blue?", "The sky is blue because the air scatters blue light more than red light."),
    ("At what temperature does water freeze?", "Water freezes at zero degrees Celsius."),
    ("At what temperature does water boil?", "Water boils at one hundred degrees Celsius."),
    ("What is ice?", "Ice is frozen water."),
    ("What are the four seasons?", "The four seasons are spring, summer, autumn and winter."),
    ("Which season is the coldest?", "Winter is the coldest season."),
    ("Which season is the warmest?", "Summer is the warmest season."),
    ("Where does the sun rise?", "The sun rises in the east."),
    ("Where does the sun set?", "The sun sets in the west."),
    ("What is bread made of?", "Bread is made of flour, water, salt and yeast."),
    ("What is cheese made of?", "Cheese is made of milk."),
    ("Where do fish live?", "Fish live in water."),
    ("What do cows eat?", "Cows eat grass."),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """`topic` names what a question is about; `statement` is both the lesson and the answer."""

    topic: str
    questions: tuple[str, ...]
    statement: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """How every pair of a table becomes a Fact.

    Slots: {key} and {value} as they stand, {a_key} and {a_value} with an article, {Key} and {A_key} to begin
    a sentence.
    """

    pairs: Mapping[str, object]
    topic: str
    questions: tuple[str, ...]
    statement: str

    def facts(self) -> Iterator[Fact]:
        for key, value in self.pairs.items():
            a_key, a_value = with_article(key), with_article(str(value))
            slots = {"key": key, "value": value, "a_key": a_key, "a_value": a_value}
            slots |= {"Key": sentence_case(key), "A_key": sentence_case(a_key)}
            questions = tuple(question.format_map(slots) for question in self.questions)
            yield Fact(self.topic.format_map(slots), questions, self.statement.format_map(slots))


def following(names: tuple[str, ...]) -> dict[str, str]:
    """Each name and the one after it; the last is followed by the first."""
    return dict(zip(names, names[1:] + names[:1], strict=True))


PATTERNS = (
    Pattern(
        CAPITALS,
        "the capital of {key}",
        (
            "What is the capital of {key}?",
            "Which city is the capital of {key}?",
            "Tell me the capital of {key}.",
            "What's the capital of {key}?",
        ),
        "The capital of {key} is {value}.",
    ),
    Pattern(
        SOUNDS,
        "the sound of {a_key}",
        ("What sound does {a_key} make?", "What does {a_key} do?"),
        "{A_key} {value}.",
    ),
    Pattern(
        YOUNG,
        "a young {key}",
        ("What is a young {key} called?", "What do you call a baby {key}?"),
        "A young {key} is called {a_value}.",
    ),
    Pattern(LEGS, "the legs of {a_key}", ("How many legs does {a_key} have?",), "{A_key} has {value} legs."),
    Pattern(
        COLOUR_OF,
        "the colour of {key}",
        ("What colour is {key}?", "What is the colour of {key}?", "What color is {key}?"),
        "{Key} is {value}.",
    ),
    Pattern(
        OPPOSITES,
        "the opposite of {key}",
        ("What is the opposite of {key}?", "Tell me the opposite of {key}."),
        "The opposite of {key} is {value}.",
    ),
    Pattern(
        USES,
        "the use of {key}",
        ("What is {key} for?", "What do people use {key} for?"),
        "People use {key} {value}.",
    ),
    Pattern(WORK, "the work of {key}", ("What does {key} do?",), "{Key} {value}."),
    Pattern(
        following(DAYS),
        "the day after {key}",
        ("Which day comes after {key}?", "What day comes after {key}?"),
        "{value} comes after {key}.",
    ),
    Pattern(
        following(MONTHS),
        "the month after {key}",
        ("Which month comes after {key}?", "What month comes after {key}?"),
        "{value} comes after {key}.",
    ),
)


def all_facts() -> tuple[Fact, ...]:
    """Every fact, always in the same order."""
    from_tables = [fact for pattern in PATTERNS for fact in pattern.facts()]
    single = [Fact("nature and everyday life", (question,), statement) for question, statement in SINGLE]
    return tuple(from_tables + single)

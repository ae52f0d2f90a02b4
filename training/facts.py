"""What the model is taught to know: a few hundred plain facts, each with ways to state it, ask for it and answer."""

from dataclasses import dataclass

from training.words import sentence_case, with_article

CAPITALS = {
    "Argentina": "Buenos Aires", "Australia": "Canberra", "Austria": "Vienna", "Belgium": "Brussels",
    "Brazil": "Brasilia", "Canada": "Ottawa", "Chile": "Santiago", "China": "Beijing", "Cuba": "Havana",
    "Denmark": "Copenhagen", "Egypt": "Cairo", "England": "London", "Finland": "Helsinki", "France": "Paris",
    "Germany": "Berlin", "Greece": "Athens", "Hungary": "Budapest", "Iceland": "Reykjavik", "India": "New Delhi",
    "Ireland": "Dublin", "Italy": "Rome", "Japan": "Tokyo", "Kenya": "Nairobi", "Mexico": "Mexico City",
    "Norway": "Oslo", "Peru": "Lima", "Poland": "Warsaw", "Portugal": "Lisbon", "Russia": "Moscow",
    "South Korea": "Seoul", "Spain": "Madrid", "Sweden": "Stockholm", "Switzerland": "Bern", "Thailand": "Bangkok",
    "Turkey": "Ankara", "Ukraine": "Kyiv", "the United States": "Washington",
}  # fmt: skip
SOUNDS = {
    "bee": "buzzes", "bird": "sings", "cat": "meows", "cow": "moos", "dog": "barks", "donkey": "brays",
    "duck": "quacks", "frog": "croaks", "horse": "neighs", "lion": "roars", "owl": "hoots", "pig": "oinks",
    "sheep": "bleats", "snake": "hisses", "wolf": "howls",
}  # fmt: skip
YOUNG = {
    "bear": "cub", "cat": "kitten", "cow": "calf", "deer": "fawn", "dog": "puppy", "duck": "duckling", "frog": "tadpole",
    "goat": "kid", "goose": "gosling", "hen": "chick", "horse": "foal", "kangaroo": "joey", "lion": "cub", "pig": "piglet",
    "sheep": "lamb", "swan": "cygnet",
}  # fmt: skip
LEGS = {
    "ant": 6, "bee": 6, "bird": 2, "cat": 4, "cow": 4, "crab": 10, "dog": 4, "duck": 2, "horse": 4, "person": 2,
    "sheep": 4, "snake": 0, "spider": 8,
}  # fmt: skip
COLOUR_OF = {
    "a banana": "yellow", "a carrot": "orange", "a cherry": "red", "a frog": "green", "a lemon": "yellow",
    "a plum": "purple", "a ripe tomato": "red", "a swan": "white", "an elephant": "grey", "blood": "red",
    "chocolate": "brown", "coal": "black", "grass": "green", "milk": "white", "snow": "white", "the clear sky": "blue",
    "the night": "dark", "the sea": "blue", "the sun": "yellow",
}  # fmt: skip
OPPOSITES = {
    "big": "small", "black": "white", "clean": "dirty", "cold": "hot", "dark": "light", "day": "night", "dry": "wet",
    "early": "late", "easy": "hard", "empty": "full", "fast": "slow", "good": "bad", "happy": "sad", "high": "low",
    "left": "right", "long": "short", "loud": "quiet", "new": "old", "open": "closed", "rich": "poor", "strong": "weak",
    "thick": "thin", "up": "down", "warm": "cool", "young": "old",
}  # fmt: skip
USES = {
    "a bed": "to sleep", "a book": "to read", "a broom": "to sweep the floor", "a camera": "to take pictures",
    "a clock": "to tell the time", "a cup": "to drink", "a hammer": "to hit nails", "a key": "to open a lock",
    "a kettle": "to boil water", "a knife": "to cut", "a lamp": "to make light", "a map": "to find the way",
    "a needle": "to sew", "a pen": "to write", "a ruler": "to measure", "a spoon": "to eat soup", "an oven": "to bake",
    "an umbrella": "to stay dry in the rain", "scissors": "to cut paper", "soap": "to wash",
}  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
WORK = {
    "a baker": "bakes bread", "a builder": "builds houses", "a cook": "makes food", "a doctor": "helps sick people",
    "a driver": "drives a car or a bus", "a farmer": "grows food", "a firefighter": "puts out fires",
    "a gardener": "takes care of plants", "a judge": "decides in court", "a painter": "paints pictures",
    "a pilot": "flies planes", "a sailor": "sails on ships", "a singer": "sings songs", "a teacher": "teaches children",
    "a writer": "writes books",
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


def all_facts() -> tuple[Fact, ...]:
    """Every fact, always in the same order."""
    facts = [
        Fact(
            f"the capital of {country}",
            (f"What is the capital of {country}?", f"Which city is the capital of {country}?",
             f"Tell me the capital of {country}."),
            f"The capital of {country} is {city}.",
        )
        for country, city in CAPITALS.items()
    ]  # fmt: skip
    for animal, sound in SOUNDS.items():
        questions = (f"What sound does {with_article(animal)} make?", f"What does {with_article(animal)} do?")
        facts.append(Fact(f"the sound of {with_article(animal)}", questions, f"{sentence_case(with_article(animal))} {sound}."))
    for animal, young in YOUNG.items():
        questions = (f"What is a young {animal} called?", f"What do you call a baby {animal}?")
        facts.append(Fact(f"a young {animal}", questions, f"A young {animal} is called {with_article(young)}."))
    for animal, legs in LEGS.items():
        one = with_article(animal)
        statement = f"{sentence_case(one)} has {legs or 'no'} legs."
        facts.append(Fact(f"the legs of {one}", (f"How many legs does {one} have?",), statement))
    for thing, colour in COLOUR_OF.items():
        questions = (f"What colour is {thing}?", f"What is the colour of {thing}?", f"What color is {thing}?")
        facts.append(Fact(f"the colour of {thing}", questions, f"{sentence_case(thing)} is {colour}."))
    for word, other in OPPOSITES.items():
        questions = (f"What is the opposite of {word}?", f"Tell me the opposite of {word}.")
        facts.append(Fact(f"the opposite of {word}", questions, f"The opposite of {word} is {other}."))
    for tool, use in USES.items():
        verb = "are" if tool == "scissors" else "is"
        questions = (f"What {verb} {tool} for?", f"What do people use {tool} for?")
        facts.append(Fact(f"the use of {tool}", questions, f"People use {tool} {use}."))
    for person, does in WORK.items():
        facts.append(Fact(f"the work of {person}", (f"What does {person} do?",), f"{sentence_case(person)} {does}."))
    for names, kind in ((DAYS, "day"), (MONTHS, "month")):
        for name, following in zip(names, names[1:] + names[:1], strict=True):
            questions = (f"Which {kind} comes after {name}?", f"What {kind} comes after {name}?")
            facts.append(Fact(f"the {kind} after {name}", questions, f"{following} comes after {name}."))
    facts += [Fact("nature and everyday life", (question,), statement) for question, statement in SINGLE]
    return tuple(facts)

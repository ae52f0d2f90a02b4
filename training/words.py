"""The vocabulary that stories and chats draw from."""

GIRLS = (
    "Anna", "Bella", "Clara", "Daisy", "Ella", "Emma", "Grace", "Hanna", "Ivy", "Julia", "Kate", "Lily",
    "Lucy", "Maya", "Mia", "Nina", "Olive", "Rosa", "Ruby", "Sara", "Sophie", "Tilly", "Zoe",
)  # fmt: skip
BOYS = (
    "Adam", "Ben", "Carl", "Dan", "Eli", "Felix", "Finn", "Hugo", "Jack", "Leo", "Liam", "Max", "Nico",
    "Noah", "Oscar", "Otto", "Paul", "Peter", "Sam", "Theo", "Tim", "Tom", "Will",
)  # fmt: skip

CREATURES = (
    "bear", "cat", "dog", "duck", "elephant", "fox", "frog", "goat", "hedgehog", "horse", "kitten", "lamb",
    "mole", "monkey", "mouse", "otter", "owl", "penguin", "pony", "puppy", "rabbit", "robin", "squirrel",
    "turtle",
)  # fmt: skip
CHILDREN = ("boy", "girl")

KIND_TRAITS = (
    "brave", "careful", "cheerful", "clever", "curious", "friendly", "gentle", "happy", "honest", "kind",
    "patient", "polite", "quiet", "shy", "small", "young",
)  # fmt: skip

PLACES = (
    ("in", "the forest"), ("in", "the garden"), ("in", "the park"), ("in", "the meadow"),
    ("in", "the valley"), ("in", "the village"), ("near", "the river"), ("near", "the lake"),
    ("near", "the sea"), ("near", "the pond"), ("on", "the farm"), ("on", "the hill"), ("on", "the beach"),
    ("by", "the old mill"), ("by", "the bridge"),
)  # fmt: skip
HOMES = (
    "a little house", "a cosy cottage", "a small wooden hut", "a yellow house", "an old tower",
    "a warm home", "a house with a red roof", "a house with a green door",
)  # fmt: skip

THINGS = (
    "ball", "basket", "bell", "boat", "book", "box", "button", "cap", "coin", "drum", "feather", "flute",
    "hat", "key", "kite", "lamp", "mitten", "necklace", "ring", "scarf", "shell", "spoon", "stone", "top",
    "toy car",
)  # fmt: skip
COLOURS = (
    "black", "blue", "brown", "golden", "green", "grey", "orange", "pink", "purple", "red", "silver",
    "white", "yellow",
)  # fmt: skip
SIZES = ("big", "little", "small", "tiny", "old", "new", "shiny", "pretty", "soft")

FOODS = (
    "an apple", "a pear", "a carrot", "a slice of bread", "a piece of cake", "a bowl of soup", "a cookie",
    "a plum", "a sandwich", "some berries", "some cheese", "some honey", "some nuts", "a pancake",
)  # fmt: skip
SNACKS = (
    "apples",
    "berries",
    "bread",
    "carrots",
    "cookies",
    "honey",
    "nuts",
    "pancakes",
    "pears",
    "soup",
    "warm milk",
)

TREES = ("apple tree", "oak", "pine tree", "cherry tree", "willow", "tall tree")
FLOWERS = ("daisies", "poppies", "roses", "sunflowers", "tulips", "violets")
GAMES = (
    "hide and seek",
    "tag",
    "with a ball",
    "with the kite",
    "by the water",
    "in the leaves",
    "in the snow",
)

WEATHER = (
    "The sun was shining and the sky was blue.", "It was a warm and sunny day.",
    "It was a cold and windy day.", "A soft rain was falling.", "The air was fresh and clean.",
    "White clouds moved slowly across the sky.", "The birds were singing in the trees.",
    "The leaves were turning red and gold.", "Snow lay on the ground.",
    "The grass was still wet from the night.",
)  # fmt: skip
TIMES = (
    "One day", "One morning", "One afternoon", "One evening", "One sunny day", "One rainy day",
    "One winter day", "One spring morning", "One summer day", "One autumn day",
)  # fmt: skip
GLAD = ("happy", "glad", "proud", "cheerful", "very happy", "so happy", "full of joy")
SAD = ("sad", "worried", "upset", "unhappy", "very sad", "a little lost")


def with_article(noun: str) -> str:
    """`a` or `an` before a noun phrase.

    >>> with_article("old hat"), with_article("red hat")
    ('an old hat', 'a red hat')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def sentence_case(text: str) -> str:
    """The first letter made a capital; the rest untouched."""
    return text[:1].upper() + text[1:]

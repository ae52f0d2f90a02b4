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
    """Capitalises the first letter and leaves the rest unchanged."""
    return text[:1].upper() + text[1:]


STRANGERS = (
    "Abel", "Agnes", "Alan", "Alma", "Amir", "Anton", "Arlo", "Astrid", "Basil", "Beth", "Boris", "Bruno", "Carmen",
    "Cecil", "Cleo", "Cora", "Dario", "Diana", "Edgar", "Edith", "Elena", "Emil", "Esther", "Fatima", "Fiona",
    "Frank", "Freya", "Georg", "Gloria", "Gustav", "Hannes", "Hazel", "Helga", "Henry", "Hilda", "Igor", "Ines",
    "Iris", "Ivan", "Jasmin", "Joel", "Jonas", "Karim", "Karl", "Kira", "Lara", "Lars", "Leila", "Lena", "Linus",
    "Louis", "Luna", "Mara", "Marco", "Marta", "Mateo", "Mila", "Milo", "Mona", "Nadia", "Naomi", "Nils", "Nora",
    "Olga", "Omar", "Pablo", "Pia", "Quinn", "Rafael", "Ralf", "Rita", "Robin", "Roman", "Ronja", "Samir", "Selma",
    "Sven", "Tara", "Tessa", "Thea", "Tilda", "Tobias", "Ursula", "Vera", "Victor", "Viola", "Walter", "Wanda",
    "Yara", "Yusuf", "Zara", "Zeno",
)  # fmt: skip
"""Names that no story uses."""
NAMES = (*GIRLS, *BOYS, *STRANGERS)
NOUNS = (
    "acorn", "anchor", "ankle", "apron", "arrow", "badge", "bamboo", "banana", "barrel", "beetle", "bench", "biscuit",
    "blanket", "bottle", "branch", "brick", "bridge", "bucket", "butter", "cabin", "cactus", "camel", "candle",
    "canoe", "carpet", "castle", "cellar", "chain", "chalk", "cherry", "chimney", "circle", "clay", "cliff", "cloud",
    "coffee", "comet", "copper", "coral", "cotton", "cousin", "crane", "crown", "curtain", "dagger", "desert",
    "diamond", "dragon", "eagle", "elbow", "engine", "falcon", "feast", "fence", "ferry", "finger", "flame", "flag",
    "forge", "fossil", "garlic", "ginger", "glacier", "globe", "glove", "goblet", "grape", "guitar", "hammock",
    "harbor", "harp", "helmet", "herring", "honey", "hotel", "igloo", "iron", "island", "ivory", "jacket", "jelly",
    "jewel", "jungle", "kettle", "kitchen", "ladder", "lantern", "lemon", "lettuce", "lizard", "locket", "magnet",
    "mango", "marble", "market", "melon", "mirror", "mountain", "muffin", "museum", "napkin", "needle", "nickel",
    "nutmeg", "oasis", "ocean", "olive", "onion", "orbit", "orchard", "oyster", "paddle", "palace", "paper", "parrot",
    "pebble", "pencil", "pepper", "petal", "piano", "pillow", "pirate", "planet", "plum", "pocket", "potato", "powder",
    "prism", "pumpkin", "puzzle", "quilt", "rabbit", "radio", "raft", "raisin", "ribbon", "river", "rocket", "rope",
    "saddle", "salad", "sandal", "satin", "saucer", "school", "shadow", "shelf", "shovel", "silver", "sofa", "spark",
    "spice", "sponge", "stable", "stamp", "statue", "straw", "sugar", "summit", "sunset", "table", "tailor", "temple",
    "tent", "thread", "thunder", "ticket", "timber", "tomato", "torch", "towel", "tower", "trumpet", "tulip", "tunnel",
    "turnip", "umbrella", "valley", "vase", "velvet", "village", "violin", "volcano", "waffle", "wagon", "walnut",
    "whale", "wheel", "whistle", "window", "winter", "wizard", "wool", "yogurt", "zebra", "zipper",
)  # fmt: skip
PLAIN = (
    "active", "age", "amount", "answer", "article", "assistant", "black", "blue", "body", "booking", "but", "check",
    "city", "clear", "climate", "clock", "cloudy", "color", "colour", "content", "cost", "count", "data", "definition",
    "destination", "dictionary", "dinar", "distance", "dollar", "end", "entry", "euro", "false", "fetch", "find",
    "foggy", "forecast", "franc", "from", "get", "goodbye", "green", "guest", "hello", "home", "hour", "how",
    "inventory", "item", "keywords", "labels", "length", "load", "local", "look", "mail", "meaning", "member",
    "message", "name", "note", "old", "open", "order", "origin", "paid", "paint", "path", "people", "person", "phone",
    "place", "price", "product", "quantity", "query", "rainy", "read", "receiver", "red", "report", "reservation",
    "result", "route", "search", "seats", "shade", "show", "size", "snowy", "source", "start", "stock", "stormy",
    "string", "sunny", "supply", "tags", "target", "telephone", "term", "text", "thanks", "thing", "time", "to", "town",
    "items", "type", "up", "way", "weather", "white", "who", "windy", "word", "year", "years",
)  # fmt: skip
"""Everyday words, most of them a single token with and without a space before it. Any may name a field."""
LABELS = (
    "age_in_years", "answer", "array", "boolean", "card", "contact", "customer", "data", "dinner", "employee", "enum",
    "expression", "first", "goods", "guests", "how_old", "integer", "items", "json", "kilometers", "letter", "lexicon",
    "list", "location", "number", "object", "order", "person", "properties", "ready", "record", "required", "result",
    "schema", "second", "storage", "string", "time_now", "to_city", "tone", "total", "type", "user", "value",
    "weather_now", "where", "words",
)  # fmt: skip
"""More such words: of schemas, and names asked for. The model can copy only tokens that it has written in training."""
EVERYDAY = (*PLAIN, *CREATURES, *COLOURS, *SIZES, *KIND_TRAITS, *THINGS[:-1], *FLOWERS)
"""Words that may name a field or a function, beside invented words."""
CAPITALISED = (
    "Add", "Are", "Can", "Could", "Do", "Fill", "Find", "Give", "Happy", "Help", "How", "Is", "Let", "Long", "Look",
    "Maybe", "New", "Next", "None", "Now", "One", "Please", "Quick", "Say", "See", "Show", "Tell", "The", "This",
    "Three", "Try", "Well", "What", "Where", "Which", "Who", "Why", "Will", "With", "Would", "Yes", "You",
)  # fmt: skip
"""Words that begin a question and so are tokens, among them one that is also a name."""
WHOLE = (*PLAIN, *LABELS, *CAPITALISED)
"""Words that are tokens: the model can repeat only tokens that it has written in training."""

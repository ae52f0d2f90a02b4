"""The functions that tool tasks are about: what each is named, described and asked for."""

from dataclasses import dataclass

from training.wording import phrasings


@dataclass(frozen=True, slots=True)
class Function:
    """What a function is about, in all the ways it may be named, described, asked for and answered.

    `parameters` maps a slot of the questions to its possible names and its kind of value. Slots may stand in the
    questions and in the result, where {r} is what comes back. Questions that are `practised` are only trained on.
    """

    nouns: tuple[str, ...]
    purpose: str
    parameters: dict[str, tuple[tuple[str, ...], str]]
    questions: tuple[str, ...]
    result: str
    results: str
    practised: tuple[str, ...] = ()


FUNCTIONS = (
    Function(
        ("weather", "forecast", "weather_report", "climate", "weather_now"), "the weather of a city",
        {"a": (("city", "place", "location", "town", "where"), "city")},
        phrasings(
            "How is the weather in {a}?", "What is the weather like in {a}?", "Is the weather good in {a}?",
            "weather in {a}", "How will the weather be in {a}?", "Is it cold in {a}?",
            noun=("the weather in {a}", "how the weather is in {a}"), verb=("look up the weather in {a}",),
        ),
        "The weather in {a} is {r}.", "weather",
    ),
    Function(
        ("time", "clock", "local_time", "hour", "time_now"), "the time in a city",
        {"a": (("city", "place", "location", "town", "where"), "city")},
        phrasings(
            "What time is it in {a}?", "How late is it in {a}?", "time in {a}", "{a}: what time is it?",
            "What time is it now in {a}?",
            noun=("the time in {a}", "what time it is in {a}"), verb=("look up the time in {a}",),
        ),
        "The time in {a} is {r}.", "time",
    ),
    Function(
        ("price", "cost", "product_price", "item_price", "value"), "the price of a product",
        {"a": (("product", "item", "article", "name", "goods"), "word")},
        phrasings(
            "What does the {a} cost?", "How much is the {a}?", "How much does the {a} cost?", "price of the {a}",
            "How much do I pay for the {a}?",
            noun=("the price of the {a}", "what the {a} costs"), verb=("look up the price of the {a}",),
        ),
        "The price of the {a} is {r}.", "number",
        practised=phrasings(verb=("find out how much one pays for the {a}",)),
    ),
    Function(
        ("stock", "inventory", "amount", "supply", "storage"), "how many of a product are in stock",
        {"a": (("product", "item", "article", "name", "goods"), "word")},
        phrasings(
            "How many {a} do we have in stock?", "How many {a} are in stock?", "Do we have {a} in stock?",
            "stock of {a}", "How many are there in stock of {a}?",
            noun=("the stock of {a}", "how many {a} are in stock"), verb=("look up how many {a} are in stock",),
        ),
        "We have {r} of {a} in stock.", "number",
    ),
    Function(
        ("phone", "phone_number", "contact", "telephone", "number"), "the phone number of a person",
        {"a": (("person", "name", "who", "contact", "user"), "name")},
        phrasings(
            "How can I call {a}?", "phone number of {a}", "{a}: what is the phone number?",
            "Which phone number has {a}?",
            "What number do I call for {a}?",
            noun=("the phone number of {a}", "{a}'s phone number"), verb=("look up the phone number of {a}",),
        ),
        "The phone number of {a} is {r}.", "number",
    ),
    Function(
        ("age", "person_age", "years", "user_age", "how_old"), "the age of a person",
        {"a": (("person", "name", "who", "contact", "user"), "name")},
        phrasings(
            "How old is {a}?", "age of {a}", "{a}: how old?", "Which age has {a}?", "Do you know how old {a} is now?",
            noun=("the age of {a}", "how old {a} is"), verb=("find out how old {a} is",),
        ),
        "{a} is {r} years old.", "number",
    ),
    Function(
        ("meaning", "definition", "dictionary", "word_meaning", "lexicon"), "the meaning of a word",
        {"a": (("word", "term", "text", "entry", "expression"), "word")},
        phrasings(
            "What does {a} mean?", "meaning of {a}", "{a}: what does it mean?", "Which meaning has {a}?",
            "What do people mean by {a}?",
            noun=("the meaning of {a}", "what {a} means"), verb=("define {a}", "look up the meaning of {a}"),
        ),
        "{a} means {r}.", "word",
        practised=phrasings(verb=("explain what somebody may mean by {a}",)),
    ),
    Function(
        ("distance", "route_length", "way", "path", "kilometers"), "the distance between two cities",
        {"a": (("start", "origin", "source", "from_city", "first"), "city"),
         "b": (("end", "target", "destination", "to_city", "second"), "city")},
        phrasings(
            "How far is it from {a} to {b}?", "distance from {a} to {b}", "How long is the way from {a} to {b}?",
            "How many kilometers are there from {a} to {b}?", "How far is {a} from {b}?",
            noun=("the distance from {a} to {b}", "how far it is from {a} to {b}"),
            verb=("look up the distance from {a} to {b}",),
        ),
        "It is {r} kilometers from {a} to {b}.", "number",
    ),
    Function(
        ("table", "booking", "reservation", "seats", "dinner"), "book a table for a number of people",
        {"a": (("name", "guest", "person", "who", "customer"), "name"),
         "b": (("people", "seats", "count", "size", "guests"), "count")},
        phrasings(
            "{a} wants a table for {b} people.", "table for {b} people for {a}", "{a} needs a table for {b} people.",
            "A table for {b} people for {a}.", "Is there a table for {b} people for {a}?",
            verb=("book a table for {b} people for {a}", "reserve a table for {b} people for {a}"),
        ),
        "The table for {a} has number {r}.", "number",
    ),
    Function(
        ("message", "note", "mail", "text_message", "letter"), "send a message to a person",
        {"a": (("person", "receiver", "to", "name", "contact"), "name"),
         "b": (("text", "message", "content", "body", "words"), "word")},
        phrasings(
            "message {b} to {a}", "Tell {a} the word {b}.", "{a} should get the message {b}.",
            "Let {a} have the message {b}.",
            "I have a message for {a}: {b}.",
            verb=("send the message {b} to {a}", "write {b} to {a}", "send {b} to {a}"),
        ),
        "The message to {a} has number {r}.", "number",
    ),
)  # fmt: skip

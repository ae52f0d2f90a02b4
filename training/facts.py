"""What the model is taught to know: the capital, continent and currency of a hundred countries."""

from collections import Counter

from training.countries import COUNTRIES, Country
from training.draw import Draw
from training.exchange import EFFORTS, Effort, Exchange

CAPITAL = (
    "What is the capital of {country}?", "Which city is the capital of {country}?", "Name the capital of {country}.",
    "What's the capital of {country}?", "Tell me the capital of {country}.", "{country}: what is the capital?",
    "Do you know the capital of {country}?", "What is the capital city of {country}?", "capital of {country}",
    "I want to know the capital of {country}.", "Which is the capital city of {country}?",
    "Please tell me the capital of {country}.", "What city is the capital of {country}?",
    "The capital of {country} is which city?", "Can you name the capital of {country}?",
)  # fmt: skip
COUNTRY = (
    "Which country has the capital {capital}?", "{capital} is the capital of which country?",
    "Of which country is {capital} the capital?", "What country is {capital} the capital of?",
    "Which country's capital is {capital}?", "Name the country with the capital {capital}.",
    "Tell me which country has {capital} as its capital.", "{capital}: the capital of which country?",
    "The city of {capital} is the capital of what country?", "Which country is {capital} the capital of?",
    "{capital} is the capital of what country?", "What is the country with the capital {capital}?",
)  # fmt: skip
CONTINENT = (
    "On which continent is {country}?", "Which continent is {country} on?", "Where in the world is {country}?",
    "What continent is {country} in?", "Tell me the continent of {country}.", "Name the continent of {country}.",
    "Which continent does {country} belong to?", "{country}: which continent?", "continent of {country}",
    "To which continent does {country} belong?", "What is the continent of {country}?",
    "Do you know on which continent {country} is?", "In which part of the world is {country}?",
    "Please tell me the continent of {country}.", "Can you name the continent of {country}?",
)  # fmt: skip
CURRENCY = (
    "What is the currency of {country}?", "Which currency does {country} use?",
    "What money do people use in {country}?",
    "What's the currency of {country}?", "Tell me the currency of {country}.", "Name the currency of {country}.",
    "With what money do you pay in {country}?", "{country}: what is the currency?", "currency of {country}",
    "What currency is used in {country}?", "Which money is used in {country}?", "How do people pay in {country}?",
    "Do you know the currency of {country}?", "Please tell me the currency of {country}.",
    "Can you name the currency of {country}?",
)  # fmt: skip

assert max(Counter(country.capital for country in COUNTRIES).values()) == 1, "a capital leads back to one country"


def statements(country: Country) -> dict[str, tuple[str, str]]:
    """For each topic, what is said, and the word that matters."""
    return {
        "capital": (f"The capital of {country.name} is {country.capital}.", country.capital),
        "country": (f"{country.capital} is the capital of {country.name}.", country.name),
        "continent": (f"{country.name} is in {country.continent}.", country.continent),
        "currency": (f"The currency of {country.name} is the {country.currency}.", country.currency),
    }


QUESTIONS = {"capital": CAPITAL, "country": COUNTRY, "continent": CONTINENT, "currency": CURRENCY}


def thought_about(topic: str, country: Country, effort: Effort) -> str:
    asked = country.capital if topic == "country" else country.name
    said, word = statements(country)[topic]
    if effort == "low":
        return word + "."
    if effort == "medium":
        return f"The {topic} of {asked}: {word}."
    return f"The user asks about the {topic} of {asked}. {said} I answer in one sentence."


def fact(draw: Draw) -> Exchange:
    country, topic, effort = draw.any(COUNTRIES), draw.any(tuple(QUESTIONS)), draw.any(EFFORTS)
    question = draw.phrase(QUESTIONS[topic]).format(country=country.name, capital=country.capital)
    said, word = statements(country)[topic]
    return Exchange(question, thought_about(topic, country, effort), said, expected=word, effort=effort)


def lesson(draw: Draw) -> str:
    """All there is to know about a country, as plain text."""
    country = draw.any(COUNTRIES)
    said = [statement for statement, _ in statements(country).values()]
    draw.rng.shuffle(said)
    return " ".join(said)

"""The facts that the model learns: the capital, continent and currency of a hundred countries."""

from collections import Counter

from training.countries import COUNTRIES, Country
from training.draw import Draw
from training.exchange import EFFORTS, Effort, Exchange
from training.wording import phrasings

CAPITAL = phrasings(
    "Which city is the capital of {country}?", "{country}: what is the capital?",
    "What city is the capital of {country}?",
    "The capital of {country} is which city?", "Which is the capital city of {country}?",
    "What is the name of the capital of {country}?", "{country} has which capital?", "Which capital has {country}?",
    "Which city is the capital city of {country}?", "From which city is {country} led?",
    "Which city leads {country}?", "From what city do they lead {country}?", "Which city is {country} led from?",
    "What city is {country} led from?", "Which city has {country} as its capital?",
    noun=("the capital of {country}", "the capital city of {country}", "{country}'s capital"),
)  # fmt: skip
COUNTRY = phrasings(
    "Which country has the capital {capital}?", "{capital} is the capital of which country?",
    "Of which country is {capital} the capital?", "What country is {capital} the capital of?",
    "The capital {capital} is in which country?", "{capital}: the capital of which country?",
    "The city of {capital} is the capital of what country?", "Which country is {capital} the capital of?",
    "{capital} is the capital of what country?", "In which country is {capital} the capital?",
    "Which country is led from {capital}?", "What country has {capital} as its capital?",
    noun=("the country with the capital {capital}", "the country that has {capital} as its capital",
          "the country whose capital is {capital}"),
)  # fmt: skip
CONTINENT = phrasings(
    "On which continent is {country}?", "Which continent is {country} on?", "Where in the world is {country}?",
    "What continent is {country} in?", "Which continent does {country} belong to?", "{country}: which continent?",
    "To which continent does {country} belong?", "On what continent do I find {country}?",
    "In which part of the world is {country}?", "{country} is on which continent?", "Is {country} in Asia or where?",
    "{country} belongs to which continent?", "In what part of the world is {country}?",
    "{country} is in which continent?", "{country} is part of which continent?",
    "Of which continent is {country} part?",
    noun=("the continent of {country}", "the continent that {country} is on", "{country}'s continent"),
)  # fmt: skip
CURRENCY = phrasings(
    "Which currency does {country} use?", "What money do people use in {country}?",
    "With what money do you pay in {country}?", "{country}: what is the currency?",
    "What currency is used in {country}?",
    "Which money is used in {country}?", "How do people pay in {country}?", "What do people pay with in {country}?",
    "Which currency is used in {country}?", "In {country}, which currency do people use?",
    "What is the money in {country} called?", "In {country}, what money do people use?",
    "What money is used in {country}?", "What do people in {country} pay with?",
    "In {country}, what do people pay with?", "What is the currency in {country} called?",
    noun=("the currency of {country}", "the money of {country}", "{country}'s currency"),
)  # fmt: skip

assert max(Counter(country.capital for country in COUNTRIES).values()) == 1, "a capital leads back to one country"


def statements(country: Country) -> dict[str, tuple[str, str]]:
    """For each topic, a sentence and the word that it is about."""
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
    """All facts about a country, as plain text."""
    country = draw.any(COUNTRIES)
    said = [statement for statement, _ in statements(country).values()]
    draw.rng.shuffle(said)
    return " ".join(said)

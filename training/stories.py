"""Short stories: draws a cast, then tells a plot beat by beat, each beat one of several sentences.

`draw_cast` fills the slots of a beat: {hero} and {friend} are names, {kind} and {friend_kind} say what they
are ("a shy owl"), {he}, {him}, {his} are the hero's pronouns ({He}, {His} at the start of a sentence), {at} {place}
belong together, and the rest are things and moods.
"""

from random import Random

from training import words
from training.words import sentence_case, with_article

Beat = tuple[str, ...]

OPENING: Beat = (
    "Once upon a time, there was {kind} named {hero}.",
    "Once upon a time, {kind} named {hero} lived {at} {place}.",
    "Once upon a time, there lived {kind} {at} {place}. {His} name was {hero}.",
    "Long ago, {kind} named {hero} lived in {home}.",
    "There was once {kind} who lived {at} {place}. {His} name was {hero}.",
    "{hero} was {kind}. {He} lived in {home} {at} {place}.",
    "{hero} was {kind} who loved {snacks}.",
)
SETTING: Beat = (
    "{He} liked to play {games}.",
    "Every day {he} went for a walk and looked at the {flowers}.",
    "{He} had a good friend named {friend}.",
    "{His} best friend was {friend_kind} named {friend}.",
    "{He} loved to eat {snacks} under the {tree}.",
    "{He} was always {trait} and {other_trait}.",
)
ENDING: Beat = (
    "From that day on, {hero} and {friend} were the best of friends.",
    "They all lived happily ever after.",
    "Then they went home and ate {snacks} together.",
    "That night, {hero} fell asleep with a smile.",
    "It was the best day of the year.",
    "{hero} never forgot that day.",
    "And so the day ended well for everyone.",
)

LOST: tuple[Beat, ...] = (
    ("{time}, {hero} could not find {his} {thing}.", "{time}, {hero} lost {his} {thing} {at} {place}."),
    (
        "{He} looked under the bed and behind the door, but it was not there.",
        "{He} looked everywhere, but {he} could not find it.",
    ),
    ("{hero} was {sad}.", "{He} sat down under the {tree} and was {sad}."),
    (
        '"What is wrong?" asked {friend}. "I lost my {thing}," said {hero}.',
        'Then {friend} came by. "Why are you so sad?" {friend_he} asked. "My {thing} is gone," said {hero}.',
    ),
    (
        '"I will help you," said {friend}. They looked for it together.',
        '"Do not worry," said {friend}. "We will find it together."',
    ),
    (
        "They walked to {place} and saw something between the {flowers}.",
        "They looked under the {tree} and moved the leaves away.",
    ),
    ("It was the {thing}! {hero} was {glad}.", "There it was! {hero} was {glad} to have the {thing} back."),
    ('"Thank you, {friend}," said {hero}.', "{hero} gave {friend} a big hug and said thank you."),
)
SHARING: tuple[Beat, ...] = (
    (
        "{time}, {hero} had {food}.",
        "{time}, {his} mother gave {hero} {food}.",
        "{time}, {hero} found {food} on the table.",
    ),
    (
        "{He} walked to {place} to eat it in the sun.",
        "{He} sat down under the {tree} and wanted to eat it.",
    ),
    (
        "Then {he} saw {friend}, {friend_kind}, who looked very hungry.",
        "{friend}, {friend_kind}, came by and looked very hungry.",
    ),
    (
        '"I have nothing to eat today," said {friend}.',
        '"That looks so good," said {friend} in a quiet voice.',
    ),
    (
        "{hero} thought for a moment. There was enough for two.",
        "At first {hero} wanted to keep it all. Then {he} felt sorry for {friend}.",
    ),
    ('"Let us share it," said {hero}.', '"Here, you can have half," said {hero} with a smile.'),
    (
        "They ate together and talked until the sun went down.",
        "They ate it together, and it tasted even better.",
    ),
    ("{hero} learned that it feels good to share.", "{friend} was {glad}, and {hero} was {glad} too."),
)
STORM: tuple[Beat, ...] = (
    ("{time}, {hero} went for a walk to {place}.", "{time}, {hero} and {friend} went out to play."),
    ("Soon dark clouds came and the wind began to blow.", "Suddenly the sky grew dark and it began to rain."),
    ("{hero} was a little afraid of the loud thunder.", "The rain was cold and {hero} was soon wet."),
    ("{He} ran to the {tree}, but the rain came through the leaves.", "{He} looked for a dry place to wait."),
    (
        'Then a voice called, "Come in, it is warm here!" It was {friend}.',
        "Then {he} saw a light in a window. {friend} opened the door.",
    ),
    ("They sat by the fire and ate {snacks}.", "{friend} gave {him} a blanket and a cup of hot tea."),
    (
        "They told each other stories until the rain stopped.",
        "They listened to the rain and were not afraid any more.",
    ),
    ("When they looked outside, there was a rainbow over {place}.", "At last the sun came out again."),
)
GARDEN: tuple[Beat, ...] = (
    ("{time}, {hero} found a small seed {at} {place}.", "{time}, {friend} gave {hero} a tiny seed."),
    (
        "{He} put it into the ground and gave it some water.",
        "{He} made a hole in the ground and put the seed in it.",
    ),
    (
        "Every morning {he} looked, but nothing happened.",
        "{He} waited one day, and two days, and three days.",
    ),
    (
        '"Maybe it is only sleeping," said {friend}.',
        '"You must be patient," said {friend}. "Good things take time."',
    ),
    ("So {hero} waited and gave it water every day.", "{hero} was patient and waited."),
    (
        "Then one morning there was a little green leaf.",
        "At last a small green plant came out of the ground.",
    ),
    ("It grew and grew until it was taller than {hero}.", "Soon there were {flowers} everywhere."),
    ("{hero} was {glad} and showed it to everyone.", "{hero} was {glad} that {he} had not given up."),
)
FEAR: tuple[Beat, ...] = (
    ("{hero} was afraid of the dark.", "{hero} did not like the night, because it was so dark."),
    (
        "{time}, the lamp went out and {he} could not see anything.",
        "{time}, {he} came home late and the moon was not there.",
    ),
    ("{He} heard a strange noise outside.", "Something moved behind the {tree}."),
    ('"Who is there?" asked {hero} in a small voice.', "{hero} held {his} {thing} very tight."),
    ('"It is only me," said {friend}.', "It was only {friend}, who was looking for the way home."),
    (
        '"I am afraid too," said {friend}, "but together we are brave."',
        '"Look up," said {friend}. "The stars are there for us."',
    ),
    (
        "They looked at the stars and counted them until they were tired.",
        "They held hands and walked home together.",
    ),
    ("After that, {hero} was not afraid of the dark any more.", "{hero} felt {glad} and brave."),
)
BUILDING: tuple[Beat, ...] = (
    ("{time}, {hero} wanted to build a house for the birds.", "{time}, {hero} wanted to make a boat."),
    ("{He} took some wood and began to work.", "{He} found some wood {at} {place} and carried it home."),
    (
        "But it was hard, and the wood fell down again and again.",
        "But it did not work. The first try was too small.",
    ),
    ('"I cannot do it," said {hero}. {He} was {sad}.', "{hero} wanted to give up."),
    (
        '"Try once more," said {friend}. "I will hold the wood for you."',
        "Then {friend} came and showed {him} what to do.",
    ),
    ("They worked all day.", "They worked together until evening."),
    ("In the end it was strong and {beautiful}.", "When it was ready, they painted it {colour}."),
    ("{hero} was {glad} that {he} had tried again.", "Everyone came to see it and said it was wonderful."),
)
GIFT: tuple[Beat, ...] = (
    (
        "It was the birthday of {friend}, {friend_kind}.",
        "{friend} had a birthday, and {hero} wanted to bring a gift.",
    ),
    ("{hero} had no money, but {he} had an idea.", "{hero} thought about it for a long time."),
    ("{He} went to {place} and picked some {flowers}.", "{He} made {a_thing} with {his} own hands."),
    (
        "On the way {he} met an old woman who carried a heavy bag.",
        "On the way it began to rain, but {he} did not turn back.",
    ),
    ("{He} helped her, and she gave {him} {food}.", "A kind farmer gave {him} {food} for the party."),
    ('"Happy birthday!" called {hero} when {he} came to the door.', '"This is for you," said {hero}.'),
    (
        "{friend} smiled and said it was the best gift of all.",
        "{friend} was {glad} and danced around the room.",
    ),
    ("They ate cake and played {games}.", "They sang songs until it was late."),
)
APOLOGY: tuple[Beat, ...] = (
    (
        "{time}, {hero} played with the {thing} that belonged to {friend}.",
        "{time}, {friend} gave {hero} {a_thing} to play with.",
    ),
    ("By accident, {he} dropped it and it broke.", "{hero} was not careful, and it fell into the water."),
    ("{hero} was {sad} and did not know what to do.", "At first {hero} wanted to hide and say nothing."),
    ("But {he} knew that it is good to tell the truth.", "Then {he} thought about {his} friend."),
    (
        '"I am sorry," said {hero}. "I broke your {thing}."',
        "{He} went to {friend} and told {him_friend} everything.",
    ),
    ('"Thank you for telling me," said {friend}.', "{friend} was quiet for a moment and then smiled."),
    (
        '"We can mend it together," said {friend}.',
        '"A friend is more important than {a_thing}," said {friend}.',
    ),
    ("{hero} felt much better.", "{hero} was {glad} that {he} had been honest."),
)
PLOTS = (LOST, SHARING, STORM, GARDEN, FEAR, BUILDING, GIFT, APOLOGY)


def draw_cast(rng: Random, kind: str | None = None) -> dict[str, str]:
    """The slots of one story. `kind` is what the hero is (a word of CREATURES or CHILDREN)."""
    hero_kind = kind or rng.choice(words.CREATURES + words.CHILDREN * 4)
    girl = {"girl": True, "boy": False}.get(hero_kind, rng.random() < 0.5)
    friend_girl = rng.random() < 0.5
    hero = rng.choice(words.GIRLS if girl else words.BOYS)
    friend = rng.choice([name for name in (words.GIRLS if friend_girl else words.BOYS) if name != hero])
    trait, other_trait = rng.sample(words.KIND_TRAITS, 2)
    at, place = rng.choice(words.PLACES)
    thing = rng.choice(words.THINGS)
    colour = rng.choice(words.COLOURS)
    described = rng.choice((f"{colour} {thing}", f"{rng.choice(words.SIZES)} {thing}", thing))
    friend_kind = rng.choice([creature for creature in words.CREATURES if creature != hero_kind])
    cast = {
        "hero": hero,
        "he": "she" if girl else "he",
        "him": "her" if girl else "him",
        "his": "her" if girl else "his",
        "kind": with_article(f"{rng.choice(('little', trait, other_trait))} {hero_kind}"),
        "friend": friend,
        "friend_he": "she" if friend_girl else "he",
        "him_friend": "her" if friend_girl else "him",
        "friend_kind": with_article(rng.choice((friend_kind, f"{rng.choice(words.KIND_TRAITS)} {friend_kind}"))),
        "at": at,
        "place": place,
        "home": rng.choice(words.HOMES),
        "trait": trait,
        "other_trait": other_trait,
        "thing": described,
        "a_thing": with_article(described),
        "food": rng.choice(words.FOODS),
        "snacks": rng.choice(words.SNACKS),
        "tree": rng.choice(words.TREES),
        "flowers": rng.choice(words.FLOWERS),
        "games": rng.choice(words.GAMES),
        "time": rng.choice(words.TIMES),
        "glad": rng.choice(words.GLAD),
        "sad": rng.choice(words.SAD),
        "colour": colour,
        "beautiful": rng.choice(("beautiful", "warm", "dry", "bright")),
    }
    return cast | {slot.title(): sentence_case(cast[slot]) for slot in ("he", "his")}


def story(rng: Random, kind: str | None = None, *, short: bool = False) -> str:
    """One story in one or two paragraphs; a short story leaves out beats."""
    cast = draw_cast(rng, kind)
    plot = rng.choice(PLOTS)
    before = [OPENING] if short else [OPENING, SETTING]
    told = [rng.choice(beat).format_map(cast) for beat in before]
    if not short and rng.random() < 0.5:
        told.append(rng.choice(words.WEATHER))
    break_at = len(told)
    told += [rng.choice(beat).format_map(cast) for beat in plot]
    if rng.random() < 0.7:
        told.append(rng.choice(ENDING).format_map(cast))
    if short:
        return " ".join(told)
    return " ".join(told[:break_at]) + rng.choice(("\n\n", " ")) + " ".join(told[break_at:])

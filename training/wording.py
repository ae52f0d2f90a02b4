"""Many ways to ask for one thing: phrases are put into common frames, and questions into a conversation.

A small model takes a new sentence for whatever it has seen most of its words in. So every frame occurs with every kind
of task, and only the thing asked for tells the tasks apart, not the wording.
"""

from training.draw import Draw
from training.words import EVERYDAY

NOUN_FRAMES = (
    "What is {}?", "Tell me {}.", "Can you tell me {}?", "Do you know {}?", "Please tell me {}.", "What's {}?",
    "I want to know {}.", "Give me {}.", "{}", "Please give me {}.", "I need {}.", "Could you tell me {}?",
    "I would like to know {}.", "{}?", "Can you give me {}?", "Name {}.", "Show me {}.", "What would be {}?",
    "I am looking for {}.", "Could you give me {}, please?", "Say {}.", "Find {}.", "May I ask for {}?",
)  # fmt: skip
VERB_FRAMES = (
    "{}.", "Please {}.", "Can you {}?", "{}", "Could you {}?", "I want you to {}.", "{}, please.", "Now {}.",
    "Would you {}?", "I need you to {}.", "Please {} for me.", "Can you {} for me?", "Your task is to {}.",
    "Will you please {}?", "Try to {}.", "I would like you to {}.", "Let us see you {}.", "Help me {}.",
)  # fmt: skip
BEFORE = (
    "Hi! ", "Hello! ", "Hey, ", "Quick question: ", "I have a question. ", "One more thing. ", "Next question: ",
    "OK. ", "So, ", "Carousel, ", "Good morning. ", "Thank you. ", "Now this: ", "Hello there. ", "Here is a task. ",
    "I need your help. ", "Listen: ", "Well, ", "My question is this. ", "Dear Carousel, ",
    "My dear friend, ", "Dear model, ", "Now, ", "Good evening, Carousel. ", "Please listen. ",
    "Carousel! ", "Hi Carousel, ", "Hey Carousel! ", "A small task: ", "And now: ",
    "Dear friend, ", "Hello Carousel. ", "I want to ask you this: ", "I have a task for you. ", "Good day. ",
    "Help me. ", "Friend, ", "Hello, Carousel, ", "Here is my question. ", "Tell me, Carousel: ",
)  # fmt: skip
AFTER = (
    " Thank you.", " Thanks!", " Please.", " I need it now.", " Thank you very much.", " Be quick, please.",
    " I want to know.", " Please help me.", " It is for my homework.", " Thanks a lot.",
    " That is all.", " I thank you.", " Thank you so much.", " Many thanks, Carousel.",
)  # fmt: skip

SMALL_WORDS = (
    "about", "after", "all", "also", "always", "an", "and the", "any", "are", "as", "at", "be", "been",
    "before", "but", "by", "can", "can be", "could", "did", "do", "does", "each", "every", "from", "gets",
    "goes with", "had", "has", "have", "he", "her", "here", "him", "his", "if", "in", "into", "is like", "it", "just",
    "like", "makes", "may", "me", "might be", "more", "must", "my own", "new", "next", "no", "not", "now", "of",
    "off", "on", "one", "only", "or", "our", "out", "over", "own", "please", "said", "same", "she", "so", "some",
    "still", "such a", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
    "too", "two", "under", "up to", "very", "was the", "we", "were", "what", "when", "where", "which", "who",
    "whose", "will be", "with a", "would be", "yes", "you", "your own",
)  # fmt: skip
FILLERS = (*EVERYDAY, *SMALL_WORDS)
"""Words that may be anywhere in a question: their meaning says nothing about what is asked for."""


def phrasings(*direct: str, noun: tuple[str, ...] = (), verb: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Whole questions as they are, then every noun phrase and verb phrase in every one of its frames.

    >>> phrasings("How late is it?", noun=("the time",))[:3]
    ('How late is it?', 'What is the time?', 'Tell me the time.')
    """
    nouns = [frame.format(phrase) for phrase in noun for frame in NOUN_FRAMES]
    verbs = [frame.format(phrase) for phrase in verb for frame in VERB_FRAMES]
    return (*direct, *(text[0].upper() + text[1:] if text[0] != "{" else text for text in (*nouns, *verbs)))


def with_fillers(draw: Draw, question: str) -> str:
    """Puts meaningless small words between the words of a question with slots, or before them.

    "How old is {a}?" may become "How old two is about {a}?"
    """
    words = question.split(" ")
    for _ in range(draw.any((1, 1, 2, 3))):
        words.insert(draw.rng.randrange(len(words)), draw.any(SMALL_WORDS))
    return " ".join(words)


def in_conversation(draw: Draw, question: str) -> str:
    """Sometimes adds words before or after a question, or drops its mark: more often in training than in scoring."""
    if not draw.held_out and draw.chance(0.1):
        said = " ".join(draw.any(FILLERS) for _ in range(draw.any((1, 2, 3))))
        question = f"{said[0].upper()}{said[1:]}{draw.any(('. ', ', ', ': ', '! '))}{question}"
    elif draw.chance(0.12 if draw.held_out else 0.3):
        question = draw.phrase(BEFORE) + question
    if draw.chance(0.08 if draw.held_out else 0.16) and question[-1] in ".?!":
        question += draw.phrase(AFTER)
    elif draw.chance(0.08):
        question = question.removesuffix(".").removesuffix("?")
    return question

"""Definitions said by heart: what a call needs of a prompt, asked for by itself and many times in one answer.

Functions with like purposes and like names stand beside each other. Which of them goes on is to be told from more than
the last word, and that is the hard part of a call.
"""

from training.draw import Draw
from training.exchange import Exchange
from training.tool_tasks import offers, quoted


def recital(draw: Draw) -> Exchange:
    """Two to five functions, and the definitions of all of them asked for in another order."""
    offered = offers(draw, draw.rng.randint(2, 5))
    tools = tuple(each.tool(draw) for each in offered)
    order = draw.rng.sample(range(len(offered)), len(offered))
    purposes = ", then ".join(offered[i].function.purpose for i in order)
    return Exchange(
        f"{draw.any(('Quote', 'Recite', 'Repeat the definition of', 'Show me'))}: {purposes}.",
        "\n".join(quoted(tools[i]) for i in order),
        ", ".join(offered[i].name for i in order) + ".",
        effort="low",
        tools=tools,
    )

"""Reciting definitions: the copying that a call needs, asked for on its own and many times in one answer.

Functions with similar purposes and names are side by side. To continue the right one, the model must look at more than
the last word, and that is the hard part of a call.
"""

from training.draw import Draw
from training.exchange import Exchange
from training.tool_tasks import offers, quoted


def recital(draw: Draw) -> Exchange:
    """Offers two to five functions and asks for all their definitions in another order."""
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

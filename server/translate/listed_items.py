"""`/v1/responses/{id}/input_items`: from the items that an answer was given to a list of them."""

from collections.abc import Sequence

from engine.errors import RequestError
from server.schemas.input_items import FunctionResult, Item, PastFunctionCall, PastMessage, PastReasoning
from server.schemas.listed_items import InputItemList, InputText, ItemsQuery, ListedItem, ListedMessage, ListedResult
from server.schemas.output_items import FunctionCallItem, ReasoningItem, ReasoningPart, TextPart
from server.schemas.response_request import ENCRYPTED_REASONING
from server.translate.carried import carried
from server.translate.output_items import new_id
from server.translate.response_request import reasoning


def with_name(item: Item) -> Item:
    """The item; if it came without a name, with a new one."""
    return item if item.id else item.model_copy(update={"id": new_id(item.type)})


def item_list(items: Sequence[Item], asked: ItemsQuery) -> InputItemList:
    """Those of `items`, which have names, that are asked for. Raises RequestError for an `after` that names none."""
    ordered = items if asked.order == "asc" else items[::-1]
    begin = 0
    if asked.after:
        behind = [at for at, item in enumerate(ordered, start=1) if item.id == asked.after]
        if not behind:
            raise RequestError(f"after: no item {asked.after[:200]!r} is among them", param="after")
        begin = behind[-1]  # Of several of that name the last: who asks on from there comes to an end.
    end = begin + asked.limit
    data = [listed(item, carry=ENCRYPTED_REASONING in asked.include) for item in ordered[begin:end]]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return InputItemList(object="list", data=data, first_id=first, last_id=last, has_more=end < len(ordered))


def listed(item: Item, *, carry: bool) -> ListedItem:
    """An item as a list has it; reasoning with its text in the form that is carried, too, if so."""
    name, status = item.id or "", item.status or "completed"
    match item:
        case PastMessage():
            said = (
                TextPart(type="output_text", text=item.content, annotations=[], logprobs=[])
                if item.role == "assistant"
                else InputText(type="input_text", text=item.content)
            )
            return ListedMessage(type="message", id=name, status=status, role=item.role, content=[said])
        case PastReasoning():
            text = reasoning(item)
            thought = [ReasoningPart(type="reasoning_text", text=text)] if text else []
            made = ReasoningItem(type="reasoning", id=name, status=status, summary=[], content=thought)
            if carry:
                made.encrypted_content = carried(text)
            return made
        case PastFunctionCall():
            call = FunctionCallItem(
                type="function_call",
                id=name,
                status=status,
                call_id=item.call_id,
                name=item.name,
                arguments=item.arguments,
            )
            if item.namespace is not None:
                call.namespace = item.namespace
            return call
        case FunctionResult():
            return ListedResult(
                type="function_call_output", id=name, status=status, call_id=item.call_id, output=item.output
            )

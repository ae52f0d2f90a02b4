"""docs/pictures/way.svg: a token's path from a request's text to a piece of its answer."""

from docs.make.drawing import BLUE, GREY, ORANGE, arrow, box, frame, picture, text


def way_picture() -> str:
    return picture(
        940,
        430,
        frame(150, 20, 770, 120, "server"),
        frame(150, 180, 770, 230, "engine, a process of its own"),
        box(16, 55, 100, 60, "client"),
        box(170, 45, 120, 36, "route, schema"),
        box(340, 45, 160, 36, "chat template, tokens"),
        box(550, 45, 150, 36, "admission"),
        box(170, 94, 120, 36, "events (SSE)"),
        box(340, 94, 160, 36, "harmony, stop, text"),
        box(750, 68, 150, 36, "pipe (msgpack)"),
        arrow((116, 70), (168, 64)),
        arrow((290, 63), (338, 63)),
        arrow((500, 63), (548, 63)),
        arrow((700, 63), (748, 80)),
        arrow((750, 96), (502, 112)),
        arrow((340, 112), (292, 112)),
        arrow((170, 112), (118, 104)),
        box(750, 215, 150, 50, "scheduler\nplan: integers only"),
        box(550, 215, 150, 50, "runner\nbatch of chunks"),
        box(170, 205, 330, 190, "", fill="white"),
        text(335, 220, "model, layer by layer", weight=600),
        box(190, 238, 140, 50, "sliding layer\nring of 128 slots", fill=BLUE),
        box(345, 238, 135, 50, "full layer\npages", fill=GREY),
        box(190, 300, 290, 34, "router, four experts (MXFP4)"),
        box(190, 346, 290, 34, "last norm, logits"),
        box(550, 345, 150, 50, "sampler\nmask, penalties, top-p", fill=ORANGE),
        box(750, 345, 150, 50, "settle\nnew token, or the end"),
        arrow((825, 104), (825, 213)),
        arrow((750, 240), (702, 240)),
        arrow((550, 240), (502, 240)),
        arrow((502, 370), (548, 370)),
        arrow((700, 370), (748, 370)),
        arrow((800, 345), (800, 267)),
        text(790, 306, "next step", size=12, anchor="end"),
        arrow((900, 370), (912, 370), (912, 86), (902, 86)),
    )

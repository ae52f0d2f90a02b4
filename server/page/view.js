/** Turns on the page. What the model writes is Markdown, without HTML and without pictures: nothing is fetched for it. */

import { keepingTheEnd } from "./scroll.js";

const markdown = globalThis.markdownit({ html: false, linkify: true }).disable("image");
markdown.renderer.rules.link_open = (tokens, at, options, env, renderer) => {
  tokens[at].attrSet("target", "_blank");
  tokens[at].attrSet("rel", "noopener noreferrer");
  return renderer.renderToken(tokens, at, options);
};
markdown.core.ruler.push("alignment", ({ tokens }) => {
  for (const token of tokens) {
    const style = token.attrGet("style"); // Of a table's cells. The page's policy allows none within elements.
    if (style !== null) token.attrs = [["class", style.replace("text-align:", "to-")]];
  }
});

function made(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

export function userView(turn, { edit }) {
  const element = made("user-turn");
  element.querySelector(".text").textContent = turn.content;
  element.querySelector(".edit").onclick = edit;
  return element;
}

/** An answer's place on the page: `show` it as often as it has grown, then `end` with the turn it has become. */
export class AnswerView {
  #shown = "";
  #thought = "";
  #folded = null;
  #frame = null;

  constructor({ again }) {
    this.element = made("assistant-turn");
    this.#part(".answer").ariaBusy = "true";
    this.#part("footer .again").onclick = again;
  }

  /** Draws at the browser's pace, however fast tokens come. */
  show(answer) {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      keepingTheEnd(() => this.#draw(answer, answer.content === ""));
    });
  }

  end(turn) {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    this.#draw(turn, false);
    this.#part(".answer").ariaBusy = "false";
    this.#note(turn);
    this.#part(".figures").textContent = turn.figures;
    const copy = this.#part(".copy");
    copy.hidden = !navigator.clipboard || !turn.content; // A browser gives it to pages of this machine and to TLS alone.
    copy.onclick = () => navigator.clipboard.writeText(turn.content);
    this.#part("footer").hidden = false;
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }

  #draw({ reasoning, thought, content }, thinking) {
    const details = this.#part(".reasoning");
    details.hidden = reasoning === "";
    if (reasoning !== this.#thought) details.querySelector("p").textContent = reasoning; // Else what is selected stays so.
    this.#thought = reasoning;
    details.querySelector("summary").textContent =
      thought === null ? (thinking ? "Thinking …" : "Thought") : `Thought for ${(thought / 1000).toFixed(1)} s`;
    const folded = content !== "";
    if (folded !== this.#folded) details.open = !folded; // Once: after that it is whoever looks at it who decides.
    this.#folded = folded;
    if (content === this.#shown) return;
    this.#shown = content;
    this.#part(".answer").innerHTML = markdown.render(content); // Safe: `html: false` escapes all that is not its own.
  }

  #note({ note, failed }) {
    const element = this.#part(".note");
    element.hidden = note === null;
    element.textContent = note ?? "";
    element.classList.toggle("error", failed);
    element.role = failed ? "alert" : null;
  }
}

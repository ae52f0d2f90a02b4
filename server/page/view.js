/** Turns on the page. */

import { GrowingText } from "./markdown.js";
import { keepingTheEnd } from "./scroll.js";

const COPIED_MILLISECONDS = 2000;

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
  #answer;
  #thoughts = new Text();
  #folded = null;
  #frame = null;

  constructor({ again }) {
    this.element = made("assistant-turn");
    this.#answer = new GrowingText(this.#part(".answer"));
    this.#part(".reasoning p").append(this.#thoughts);
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
    this.#note(turn);
    this.#part(".figures").textContent = turn.figures;
    const copy = this.#part(".copy");
    copy.hidden = !navigator.clipboard || !turn.content; // A browser gives it to pages of this machine and to TLS alone.
    copy.onclick = async () => {
      await navigator.clipboard.writeText(turn.content);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), COPIED_MILLISECONDS);
    };
    this.#part("footer").hidden = false;
  }

  /** The answer as it reads without its marks. */
  get text() {
    return this.#part(".answer").textContent;
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }

  #draw({ reasoning, thought, content }, thinking) {
    const details = this.#part(".reasoning");
    details.hidden = reasoning === "";
    this.#thoughts.appendData(reasoning.slice(this.#thoughts.length)); // What is selected stays so.
    details.querySelector("summary").textContent =
      thought === null ? (thinking ? "Thinking …" : "Thought") : `Thought for ${(thought / 1000).toFixed(1)} s`;
    const folded = content !== "";
    if (folded !== this.#folded) details.open = !folded; // Once: after that it is whoever looks at it who decides.
    this.#folded = folded;
    this.#answer.draw(content);
  }

  #note({ note, failed }) {
    const element = this.#part(".note");
    element.hidden = note === null;
    element.textContent = note ?? "";
    element.classList.toggle("error", failed);
  }
}

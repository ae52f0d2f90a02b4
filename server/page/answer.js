/** An answer as it grows: a turn of the conversation that can be stored, and how fast it came. */

const MEASURABLE_SECONDS = 0.1;

/**
 * A turn is `{role, content}`; an answer's also has its `reasoning`, the milliseconds that was `thought`, `figures`, and,
 * if it did not end by itself, a `note` that says why, and whether it `failed`.
 */
export class Answer {
  #began = performance.now();
  #first = null;
  #last = null;
  #answering = null;
  #usage = null;
  #finish = null;

  reasoning = "";
  content = "";

  /** Takes a chunk of the stream. */
  add(chunk) {
    this.#usage = chunk.usage ?? this.#usage;
    for (const { delta, finish_reason } of chunk.choices) {
      this.#finish = finish_reason ?? this.#finish;
      if (!delta.reasoning && !delta.content) continue;
      this.#last = performance.now();
      this.#first ??= this.#last;
      if (delta.content) this.#answering ??= this.#last;
      this.reasoning += delta.reasoning ?? "";
      this.content += delta.content ?? "";
    }
  }

  get empty() {
    return this.reasoning === "" && this.content === "";
  }

  /** Milliseconds from the first thought to the answer itself; null before that has begun. */
  get thought() {
    return this.#answering === null ? null : this.#answering - this.#first;
  }

  /** The turn, once it is over; `error` says what ended it, if anything did. */
  turn(error = null) {
    return {
      role: "assistant",
      content: this.content,
      reasoning: this.reasoning,
      thought: this.thought,
      figures: this.#figures(),
      note: error?.message ?? this.#ending(),
      failed: error !== null,
    };
  }

  #ending() {
    if (this.#finish === "length") return "Cut off: there was no room for more.";
    if (this.#finish === "tool_calls") return "It called a function, and this page gives it none.";
    return this.#finish === null ? "Stopped." : null;
  }

  #figures() {
    if (this.#usage === null || this.#first === null) return "";
    const { completion_tokens: written, prompt_tokens: read, prompt_tokens_details: details } = this.#usage;
    const seconds = (this.#last - this.#first) / 1000;
    const rate = (written - 1) / seconds;
    const number = (value) => value.toLocaleString("en");
    const parts = [`${number(written)} tokens`];
    if (seconds > MEASURABLE_SECONDS) parts.push(`${rate < 10 ? rate.toFixed(1) : number(Math.round(rate))} a second`);
    parts.push(`the first after ${((this.#first - this.#began) / 1000).toFixed(2)} s`);
    parts.push(`${number(read)} read${details.cached_tokens ? `, ${number(details.cached_tokens)} of them kept from before` : ""}`);
    return parts.join(" · ");
  }
}

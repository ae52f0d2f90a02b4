/** What the model writes: Markdown, without HTML and without pictures. Nothing is fetched for it. */

export const markdown = globalThis.markdownit({ html: false, linkify: true }).disable("image");
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

const OPEN = 2; // Blocks that may yet change: a line that goes on can become one with the block above it.
const LINE_ENDS = /(?<=\n|\r(?!\n))/;

/** A text that grows in an element of its own. What is finished of it is neither read nor drawn again. */
export class GrowingText {
  #element;
  #drawn = []; // The HTML of every block.
  #finished = { blocks: 0, characters: 0 };

  constructor(element) {
    this.#element = element;
  }

  /** Draws `text`, whose beginning is what was drawn before, as if it were drawn alone. */
  draw(text) {
    const { blocks: before, characters } = this.#finished;
    const unfinished = text.slice(characters);
    const env = {};
    const blocks = blocksOf(unfinished, env);
    if (env.references && before > 0) {
      this.#finished = { blocks: 0, characters: 0 }; // The address of a link, which any block may name.
      this.draw(text);
      return;
    }
    const html = blocks.map((tokens) => markdown.renderer.render(tokens, markdown.options, env));
    this.#replace([...this.#drawn.slice(0, before), ...html]);
    const closed = blocks.length - OPEN;
    if (closed <= 0 || env.references) return;
    const lines = unfinished.split(LINE_ENDS).slice(0, blocks[closed][0].map[0]);
    this.#finished = { blocks: before + closed, characters: characters + lines.join("").length };
  }

  /** Blocks that are what they were stay, and so does what is selected in them. */
  #replace(blocks) {
    let same = this.#finished.blocks;
    while (same < this.#drawn.length && this.#drawn[same] === blocks[same]) same++;
    const { childNodes } = this.#element;
    while (childNodes.length > 2 * same) this.#element.lastChild.remove(); // A block is an element and a line's end.
    this.#element.insertAdjacentHTML("beforeend", blocks.slice(same).join("")); // Safe: `html: false` escapes the rest.
    this.#drawn = blocks;
  }
}

/** The tokens of each block that is in no other one. */
function blocksOf(text, env) {
  const blocks = [];
  for (const token of markdown.parse(text, env)) {
    if (token.level === 0 && token.nesting >= 0) blocks.push([]);
    blocks.at(-1).push(token);
  }
  return blocks;
}

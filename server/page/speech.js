/** What a screen reader says by itself. */

const HEARD_MILLISECONDS = 7000;

const spoken = document.getElementById("spoken");
const [said, changing] = document.getElementById("state").children;

let forgetting = null;

/** Has `text` read out. It is soon gone: it stands elsewhere on the page, and would be found twice. */
export function say(text) {
  clearTimeout(forgetting);
  spoken.textContent = text;
  forgetting = setTimeout(() => (spoken.textContent = ""), HEARD_MILLISECONDS);
}

/** Shows how the server is. `text` is read out when it is another one, `detail`, which may change by the second, is not. */
export function showState(text, detail = "") {
  if (said.textContent !== text) said.textContent = text;
  changing.textContent = detail;
}

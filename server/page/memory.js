/** What the page remembers: settings for good, the conversation and the key until its tab is closed. */

const SETTINGS = ["localStorage", "carousel.settings"];
const KEY = ["sessionStorage", "carousel.key"];
const CONVERSATION = ["sessionStorage", "carousel.conversation"];

export function recallSettings() {
  return { ...recall(SETTINGS), key: recall(KEY) ?? "" };
}

export function rememberSettings({ key, ...others }) {
  remember(SETTINGS, others);
  remember(KEY, key);
}

export function recallTurns() {
  const turns = recall(CONVERSATION);
  return Array.isArray(turns) && turns.every(isTurn) ? turns : [];
}

function isTurn(turn) {
  return typeof turn?.content === "string" && (turn.role === "user" || typeof turn.reasoning === "string");
}

export function rememberTurns(turns) {
  remember(CONVERSATION, turns);
}

/** Nothing, also where the browser allows no storage or the text in it is not ours. */
function recall([storage, name]) {
  try {
    return JSON.parse(globalThis[storage].getItem(name));
  } catch {
    return null;
  }
}

/** Storage that is full keeps what it has. */
function remember([storage, name], value) {
  try {
    globalThis[storage].setItem(name, JSON.stringify(value));
  } catch {
    return;
  }
}

/** What the page remembers: settings for good, the conversation and the key until its tab is closed. */

const SETTINGS = "carousel.settings";
const KEY = "carousel.key";
const CONVERSATION = "carousel.conversation";

export function recallSettings() {
  return { ...recall(localStorage, SETTINGS, {}), key: recall(sessionStorage, KEY, "") };
}

export function rememberSettings({ key, ...others }) {
  remember(localStorage, SETTINGS, others);
  remember(sessionStorage, KEY, key);
}

export function recallTurns() {
  return recall(sessionStorage, CONVERSATION, []);
}

export function rememberTurns(turns) {
  remember(sessionStorage, CONVERSATION, turns);
}

function recall(storage, name, otherwise) {
  const text = storage.getItem(name);
  return text === null ? otherwise : JSON.parse(text);
}

/** Storage that is full keeps what it has. */
function remember(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
  } catch (error) {
    console.warn(error);
  }
}

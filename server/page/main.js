/** The page: waits for the engine, then asks what is typed and shows what comes. */

import { Answer } from "./answer.js";
import { recallTurns, rememberTurns } from "./memory.js";
import { keepingTheEnd, scrollToEnd } from "./scroll.js";
import { ServerError, models, readiness, streamChat } from "./server.js";
import { openSettings, request, settings, showSettings } from "./settings.js";
import { say, showState } from "./speech.js";
import { AnswerView, userView } from "./view.js";

const POLL_MILLISECONDS = 1000;
const NEWS = [0, 401, 404, 503]; // An answer's status that says that the server is not what it was.
const COMPOSING = 229; // What Safari says of the key that ends a composition.

const part = (id) => document.getElementById(id);
const [model, turnsPlace, welcome] = ["model", "turns", "welcome"].map(part);
const [composer, question, send, stop] = ["composer", "question", "send", "stop"].map(part);

// With a finger there is a keyboard on the screen: it comes when it is asked for, and its Enter makes a line.
const atAKeyboard = matchMedia("(hover: hover) and (pointer: fine)").matches;

let turns = recallTurns();
let edited = null; // What an edit took away: the turns, and what had been typed.
let asking = null; // The request under way: what aborts it, and its answer.
let ready = false;
let connecting = false;

function focusQuestion() {
  if (atAKeyboard) question.focus();
}

/** What the style's `field-sizing` does, in browsers without it. */
function fitQuestion() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight + question.offsetHeight - question.clientHeight}px`;
}

function refresh() {
  const busy = asking !== null;
  document.body.classList.toggle("busy", busy);
  send.hidden = busy;
  stop.hidden = !busy;
  question.disabled = !ready;
  send.disabled = !ready || question.value.trim() === "";
  if (!CSS.supports("field-sizing", "content")) fitQuestion();
  welcome.hidden = !ready || turns.length > 0;
  for (const again of turnsPlace.querySelectorAll(".again")) again.disabled = !ready;
}

/** Waits until the engine generates, and learns what it serves. Asks for a key where one is needed. */
async function connect() {
  if (connecting) return;
  [connecting, ready] = [true, false];
  refresh();
  while (!(await isOver())) await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  connecting = false;
  refresh();
  if (ready && document.activeElement === document.body) focusQuestion();
}

/** Whether waiting has come to an end: the engine is ready, or somebody has to type a key. */
async function isOver() {
  const { key } = settings();
  try {
    const { status, progress, message } = await readiness();
    if (status === "ready") return (ready = showModels(await models(key)));
    const why = message ? `: ${message}` : "";
    if (status === "loading") showState("Loading", `, ${Math.floor(progress * 100)}%${why}`);
    else showState(status + why);
  } catch (error) {
    showState(error.status === 401 ? (key ? "This API key is refused" : "Needs an API key") : error.message);
    if (error.status !== 401 || key !== settings().key) return false;
    showSettings(true, "key");
    return true;
  }
  return false;
}

/** Returns false if the engine has stopped generating in between. */
function showModels(served) {
  const length = served[0].max_model_len;
  if (length === null) return false;
  const before = model.value;
  model.replaceChildren(...served.map(({ id }) => new Option(id)));
  if (served.some(({ id }) => id === before)) model.value = before;
  model.hidden = false;
  showState(`${length.toLocaleString("en")} tokens of context`);
  return true;
}

/** Shows every turn anew. */
function showTurns() {
  turnsPlace.replaceChildren(
    ...turns.map((turn, index) => {
      if (turn.role === "user") return questionView(index);
      const view = answerView(index);
      view.end(turn);
      return view.element;
    }),
  );
}

function questionView(index) {
  return userView(turns[index], { edit: () => edit(index) });
}

function answerView(index) {
  return new AnswerView({ again: () => askAgain(index) });
}

function keep(kept) {
  turns = kept;
  rememberTurns(turns);
}

/** What stood there stays remembered until something is asked in its place; Escape brings it back. */
function edit(index) {
  leave();
  edited ??= { turns, draft: question.value };
  question.value = turns[index].content;
  turns = turns.slice(0, index);
  showTurns();
  refresh();
  question.focus();
}

function undoEdit() {
  if (edited === null) return;
  [turns, question.value, edited] = [edited.turns, edited.draft, null];
  showTurns();
  refresh();
}

/** What stood there stays remembered until there is something in its place. */
function askAgain(index) {
  leave();
  edited = null;
  turns = turns.slice(0, index);
  showTurns();
  answer();
}

/** Ends the request under way, if there is one, and forgets its answer. */
function leave() {
  asking?.controller.abort();
  asking = null;
}

async function answer() {
  const mine = (asking = { controller: new AbortController(), answer: new Answer() });
  const { controller, answer: written } = mine;
  const view = answerView(turns.length);
  turnsPlace.append(view.element);
  scrollToEnd();
  say("Answering …");
  refresh();
  focusQuestion();
  let failure = null;
  try {
    for await (const chunk of streamChat(request(model.value, turns), settings().key, controller.signal)) {
      written.add(chunk);
      view.show(written);
    }
  } catch (error) {
    if (error.name !== "AbortError") failure = error;
  }
  if (asking !== mine) return; // Somebody has gone on without this answer.
  asking = null;
  const turn = written.turn(failure);
  keepingTheEnd(() => view.end(turn));
  say(turn.note ?? view.text);
  turns = [...turns, turn];
  if (!written.empty) rememberTurns(turns);
  refresh();
  if (failure !== null && !(failure instanceof ServerError)) throw failure;
  if (failure !== null && NEWS.includes(failure.status)) connect();
}

function ask(text) {
  if (!ready || asking !== null || text.trim() === "") return;
  [question.value, edited] = ["", null];
  keep([...turns, { role: "user", content: text }]);
  turnsPlace.append(questionView(turns.length - 1));
  answer();
}

function isComposing(event) {
  return event.isComposing || event.keyCode === COMPOSING;
}

composer.onsubmit = (event) => {
  event.preventDefault();
  ask(question.value);
};
question.oninput = refresh;
question.onkeydown = (event) => {
  if (event.key !== "Enter" || !atAKeyboard || event.shiftKey || isComposing(event)) return;
  event.preventDefault();
  ask(question.value);
};
document.onkeydown = (event) => {
  if (event.key !== "Escape" || isComposing(event)) return;
  if (asking !== null) stop.click();
  else if (event.target === question) undoEdit();
};
stop.onclick = ({ detail: clicks }) => {
  if (clicks < 2) asking?.controller.abort(); // The second click of two on Send, in whose place this is, means nothing.
  focusQuestion();
};
window.addEventListener("pagehide", () => {
  if (asking === null || asking.answer.empty) return;
  asking.controller.abort();
  rememberTurns([...turns, asking.answer.turn()]); // At once: what comes of the abortion may come too late.
});
part("new").onclick = () => {
  leave();
  edited = null;
  keep([]);
  showTurns();
  refresh();
  focusQuestion();
};
for (const example of welcome.querySelectorAll("button")) example.onclick = () => ask(example.textContent);

openSettings(() => {
  if (!ready) connect();
});
showTurns();
if (turns.at(-1)?.role === "user") {
  const view = answerView(turns.length); // Its page went before a word of it had come.
  view.end(new Answer().turn());
  turnsPlace.append(view.element);
}
connect();

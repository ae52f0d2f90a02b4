/** The page: waits for the engine, then asks what is typed and shows what comes. */

import { Answer } from "./answer.js";
import { recallTurns, rememberTurns } from "./memory.js";
import { ServerError, models, readiness, streamChat } from "./server.js";
import { openSettings, request, settings, showSettings } from "./settings.js";
import { AnswerView, userView } from "./view.js";

const POLL_MILLISECONDS = 1000;
const NEAR_PIXELS = 80;

const part = (id) => document.getElementById(id);
const [model, state, turnsPlace, welcome] = ["model", "state", "turns", "welcome"].map(part);
const [composer, question, send, stop] = ["composer", "question", "send", "stop"].map(part);

let turns = recallTurns();
let asking = null; // The AbortController of the request under way.
let ready = false;
let connecting = false;

function refresh() {
  const busy = asking !== null;
  document.body.classList.toggle("busy", busy);
  send.hidden = busy;
  stop.hidden = !busy;
  question.disabled = !ready;
  send.disabled = !ready || question.value.trim() === "";
  welcome.hidden = !ready || turns.length > 0;
}

/** Waits until the engine generates, and learns what it serves. Asks for a key where one is needed. */
async function connect() {
  if (connecting) return;
  [connecting, ready] = [true, false];
  refresh();
  while (!(await isOver())) await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  connecting = false;
  refresh();
  if (ready) question.focus();
}

/** Whether waiting has come to an end: the engine is ready, or somebody has to type a key. */
async function isOver() {
  try {
    const { status, progress, message } = await readiness();
    ready = status === "ready";
    if (ready) await learnWhatIsServed();
    else state.textContent = status === "loading" ? `Loading, ${Math.floor(progress * 100)}%` : message || status;
    return ready;
  } catch (error) {
    ready = false;
    state.textContent = error.status === 401 ? "Needs an API key" : error.message;
    if (error.status === 401) showSettings(true, "key");
    return error.status === 401;
  }
}

async function learnWhatIsServed() {
  const served = await models(settings().key);
  const before = model.value;
  model.replaceChildren(...served.map(({ id }) => new Option(id)));
  if (served.some(({ id }) => id === before)) model.value = before;
  model.hidden = false;
  state.textContent = `${served[0].max_model_len.toLocaleString("en")} tokens of context`;
}

/** Shows every turn anew. */
function showTurns() {
  turnsPlace.replaceChildren(
    ...turns.map((turn, index) => {
      if (turn.role === "user") return userView(turn, { edit: () => edit(index) });
      const view = new AnswerView({ again: () => askAgain(index) });
      view.end(turn);
      return view.element;
    }),
  );
}

function keep(kept) {
  turns = kept;
  rememberTurns(turns);
}

function edit(index) {
  leave();
  question.value = turns[index].content;
  keep(turns.slice(0, index));
  showTurns();
  refresh();
  question.focus();
}

function askAgain(index) {
  leave();
  keep(turns.slice(0, index));
  showTurns();
  answer();
}

/** Ends the request under way, if there is one, and forgets its answer. */
function leave() {
  asking?.abort();
  asking = null;
}

async function answer() {
  const mine = (asking = new AbortController());
  const growing = new Answer();
  const index = turns.length;
  const view = new AnswerView({ again: () => askAgain(index) });
  turnsPlace.append(view.element);
  view.element.scrollIntoView({ block: "end" });
  refresh();
  let failure = null;
  try {
    for await (const chunk of streamChat(request(model.value, turns), settings().key, mine.signal)) {
      const follows = isAtEnd();
      growing.add(chunk);
      view.show(growing);
      if (follows) requestAnimationFrame(scrollToEnd);
    }
  } catch (error) {
    if (error.name !== "AbortError") failure = error;
  }
  if (asking !== mine) return; // Somebody has gone on without this answer.
  asking = null;
  const follows = isAtEnd();
  const turn = growing.turn(failure);
  view.end(turn);
  keep([...turns, turn]);
  if (follows) scrollToEnd();
  refresh();
  if (failure !== null && !(failure instanceof ServerError)) throw failure;
  if (failure !== null && [0, 401, 503].includes(failure.status)) connect();
}

function isAtEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < NEAR_PIXELS;
}

function scrollToEnd() {
  window.scrollTo({ top: document.documentElement.scrollHeight });
}

function ask(text) {
  if (!ready || asking !== null || text.trim() === "") return;
  question.value = "";
  keep([...turns, { role: "user", content: text }]);
  showTurns();
  answer();
}

composer.onsubmit = (event) => {
  event.preventDefault();
  ask(question.value);
};
question.oninput = refresh;
question.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask(question.value);
};
stop.onclick = () => asking?.abort();
part("new").onclick = () => {
  leave();
  keep([]);
  showTurns();
  refresh();
  question.focus();
};
for (const example of welcome.querySelectorAll("button")) example.onclick = () => ask(example.textContent);

openSettings(() => {
  if (!ready) connect();
});
showTurns();
connect();

/** The settings' form: what requests are made with. */

import { recallSettings, rememberSettings } from "./memory.js";

const form = document.getElementById("settings");
const toggle = document.getElementById("show-settings");

/** Fills the form with what is remembered; `changed` is called whenever somebody has changed it. */
export function openSettings(changed) {
  for (const [name, value] of Object.entries(recallSettings())) if (form.elements[name]) form.elements[name].value = value;
  toggle.onclick = () => showSettings(form.hidden);
  form.onsubmit = (event) => event.preventDefault();
  form.onchange = () => {
    rememberSettings(settings());
    changed();
  };
}

export function showSettings(shown, focused = null) {
  form.hidden = !shown;
  toggle.setAttribute("aria-expanded", String(shown));
  if (focused !== null) form.elements[focused].focus();
}

export function settings() {
  const given = Object.fromEntries(new FormData(form));
  return { ...given, key: given.key.trim() };
}

/** A request to answer `turns`. What is left empty is the model's or the server's to decide. */
export function request(model, turns) {
  const { instructions, effort, temperature, longest } = settings();
  const messages = turns.filter(({ content }) => content).map(({ role, content }) => ({ role, content }));
  return {
    model,
    messages: instructions ? [{ role: "developer", content: instructions }, ...messages] : messages,
    reasoning_effort: effort,
    ...(temperature === "" ? {} : { temperature: Number(temperature) }),
    ...(longest === "" ? {} : { max_completion_tokens: Number(longest) }),
  };
}

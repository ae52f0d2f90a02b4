/** Asks the server that this page is from. Paths are relative, so that the page works behind a prefix. */

/** What the server said went wrong. `status` is HTTP's; 0 where nobody answered, or an answer broke off. */
export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Where the engine stands: `{status, progress, message}`. */
export async function readiness() {
  const response = await reach("ready", {});
  const said = await response.json().catch(() => ({}));
  if (said.status === undefined) throw new ServerError(statusOf(response), response.status);
  return said;
}

/** The names that the model is served under, with its `max_model_len`. */
export async function models(key) {
  const response = await ask("v1/models", key, {});
  return (await response.json()).data;
}

/** The chunks of a chat's answer. Ending the loop, or `signal`, ends the request. */
export async function* streamChat(body, key, signal) {
  const response = await ask("v1/chat/completions", key, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(chunk.error.message);
    yield chunk;
  }
  throw new ServerError("The connection was lost before the answer was complete.");
}

/** The data of a stream's server-sent events, each of which is one line here; what else there is are comments. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  try {
    for (;;) {
      const { done, value } = await read(reader);
      if (done) return;
      const lines = (unread + value).split("\n");
      unread = lines.pop();
      for (const line of lines) if (line.startsWith("data: ")) yield line.slice("data: ".length).trimEnd();
    }
  } finally {
    reader.cancel().catch(() => {}); // What has failed already cannot be cancelled.
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw error.name === "AbortError" ? error : new ServerError("The connection was lost.");
  }
}

async function ask(path, key, options) {
  if (/[^!-~]/.test(key)) throw new ServerError("The API key has characters that no key has.", 401);
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await reach(path, { ...options, headers });
  if (response.ok) return response;
  throw new ServerError(await refusal(response), response.status);
}

async function reach(path, options) {
  try {
    return await fetch(path, { ...options, cache: "no-store" });
  } catch (error) {
    throw error.name === "AbortError" ? error : new ServerError("The server cannot be reached.");
  }
}

/** What an error's body says; a proxy's need not be JSON. */
async function refusal(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return statusOf(response);
  }
}

function statusOf(response) {
  return `The server answered with status ${response.status}.`;
}

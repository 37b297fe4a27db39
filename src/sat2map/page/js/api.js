// Requests to the service: API key, problem details, retries.

import { texts } from "./texts.js";

const KEY = "sat2map-key";

/** Whether the service asked for an API key, and was given one. */
export function hasKey() {
  return Boolean(sessionStorage.getItem(KEY));
}

/** A problem detail (RFC 9457) as an error. */
export class ProblemError extends Error {
  constructor(problem, retryAfter) {
    super(problem.detail);
    this.title = problem.title;
    this.status = problem.status;
    this.type = problem.type;
    this.retryAfter = retryAfter;
  }
}

/** Fetch from the service; throw a ProblemError unless it succeeds. */
export async function ask(address, options = {}) {
  const headers = new Headers(options.headers);
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let answer;
  try {
    answer = await fetch(address, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ProblemError({ title: texts.offline, status: 0, detail: texts.offlineDetail });
  }
  if (answer.ok) return answer;
  if (answer.status === 401) {
    if (key === sessionStorage.getItem(KEY)) await askForKey(Boolean(key)); // else another was given meanwhile
    return ask(address, options);
  }
  let problem;
  try {
    problem = await answer.json();
  } catch {
    problem = { title: texts.badAnswer, status: answer.status, detail: texts.badAnswerDetail(answer.status) };
  }
  throw new ProblemError(problem, Number(answer.headers.get("Retry-After")) || 0);
}

/** Fetch; while the service is busy, wait as long as it says, unless `signal` aborts, and try again. */
export async function askPatiently(address, options = {}, times = 4, signal = options.signal) {
  for (let left = times; ; left -= 1) {
    try {
      return await ask(address, options);
    } catch (error) {
      if (error.status !== 503 || left === 0) throw error;
      const waiting = element("busy-text");
      if (waiting) waiting.textContent = texts.busyWaiting;
      await pause(Math.min(error.retryAfter || 1, 5) * 1000 * (0.7 + 0.6 * Math.random()), signal);
    }
  }
}

/** Follow server-sent events; unlike EventSource, with the API key. */
export async function* follow(address, signal) {
  const answer = await ask(address, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      if (fields.data) yield { event: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

/** Show an error in the page's alert, with a button for `retry` if there is one. */
export function complain(error, retry) {
  element("alert-title").textContent = error.title || texts.unknownError;
  element("alert-detail").textContent = sentence(error.title ? error.message : texts.pageError);
  element("alert").hidden = false;
  const more = element("alert-more");
  if (more) {
    more.hidden = !error.type;
    more.href = `.${error.type ?? ""}`; // beside this page, wherever a proxy puts it
  }
  const again = element("alert-retry");
  if (again) {
    again.hidden = !retry;
    again.onclick = retry ?? null;
  }
  if (!error.title) console.error(error);
}

/** Return a message with a capital letter and a full stop. */
export function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1).replace(/([^.!?])$/, "$1.");
}

export function element(id) {
  return document.getElementById(id);
}

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    };
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop);
  });
}

let asking;

/** Show the form for the API key, and wait until one is given. */
function askForKey(wasWrong) {
  asking ??= new Promise((resolve) => {
    const form = element("key-form");
    form.hidden = false;
    if (wasWrong) complain({ title: texts.keyWrong, message: texts.keyWrongDetail });
    element("key").focus();
    form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        sessionStorage.setItem(KEY, element("key").value.trim());
        element("key").value = "";
        form.hidden = true;
        element("alert").hidden = true;
        asking = undefined;
        resolve();
      },
      { once: true },
    );
  });
  return asking;
}

element("alert-close").addEventListener("click", () => {
  element("alert").hidden = true;
});

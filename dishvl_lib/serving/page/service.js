// Requests to the service: the token is asked for once, a busy service is asked again.

import { has, word } from "./words.js";

const TOKEN = "dishvl.token";
const TRIES = 3;

const dialog = document.getElementById("asking");
const field = document.getElementById("token");

// A sentence for the operator; the service's own says what exactly is wrong.
export class Problem extends Error {
  constructor(code, message, requestId) {
    const known = code === "too_large" ? word("tooLarge") : has(code) ? word(code) : "";
    const parts = [known, message].filter((part) => part);
    const id = requestId ? ` (${word("request")} ${requestId})` : "";
    super(parts.join(": ") + id);
    this.code = code;
  }
}

// The service's answer as an object; null for one without content. Throws a Problem.
export async function ask(method, path, body, type) {
  for (let attempt = 1; ; attempt++) {
    const response = await send(method, path, body, type);
    if (response.status === 401) {
      await askForToken();
      continue;
    }
    if (response.status === 503 && attempt < TRIES) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      await new Promise((done) => setTimeout(done, seconds * 1000));
      continue;
    }
    if (response.status === 204) return null;
    const answer = await response.json();
    if (response.ok) return answer;
    throw new Problem(answer.error.code, answer.error.message, answer.error.request_id);
  }
}

async function send(method, path, body, type) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (type) headers["Content-Type"] = type;
  try {
    return await fetch(path, { method, body, headers });
  } catch {
    throw new Problem("unreachable", "", "");
  }
}

let asking = null; // one dialog for all requests that wait for the token

function askForToken() {
  asking ??= new Promise((done) => {
    // One that was given and is refused is wrong.
    document.getElementById("refused").hidden = !sessionStorage.getItem(TOKEN);
    dialog.showModal();
    dialog.oncancel = (event) => event.preventDefault();
    const finish = () => {
      if (!field.value) return;
      sessionStorage.setItem(TOKEN, field.value.trim());
      field.value = "";
      asking = null;
      dialog.close();
      done();
    };
    document.getElementById("enter").onclick = finish;
    field.onkeydown = (event) => {
      if (event.key === "Enter") finish();
    };
  });
  return asking;
}

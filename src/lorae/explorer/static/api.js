// Requests to the server that gave this page, and to no other.

const status = document.getElementById("status");
const main = document.getElementById("content");
let open = 0;

export function report(text) {
  status.textContent = text;
  status.hidden = !text;
}

function count(change) {
  open += change;
  main.setAttribute("aria-busy", open > 0 ? "true" : "false");
}

async function request(path, options) {
  count(1);
  try {
    const response = await fetch(path, options).catch(() => {
      throw new Error("The explorer does not answer. Is it still running?");
    });
    const content = await response.json().catch(() => {
      throw new Error("The explorer gave no readable answer.");
    });
    if (!response.ok) throw new Error(`Refused: ${content.error}.`);
    return content;
  } finally {
    count(-1);
  }
}

export function get(name, query = {}) {
  return request(`api/${name}?${new URLSearchParams(query)}`);
}

export function post(name, content) {
  return request(`api/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  });
}

export function postPicture(blob, drawn) {
  return request(`api/picture${drawn ? "?drawn=yes" : ""}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: blob,
  });
}

// Return a function that runs an asynchronous task one call at a time; of the calls that wait, only the last is run.
export function latest(task) {
  let busy = false;
  let waiting = null;
  return async function call(...given) {
    if (busy) {
      waiting = given;
      return;
    }
    busy = true;
    count(1);
    try {
      await task(...given);
      report("");
    } catch (error) {
      report(error.message);
    }
    busy = false;
    if (waiting !== null) {
      const next = waiting;
      waiting = null;
      call(...next);
    }
    count(-1);
  };
}

// The login session of the page: its CSRF token, and the dialog that asks for a token
// when the session has ended. What is on the screen stays.

/** The relative address of the root: a proxy may serve everything below a prefix. */
export const root = document.documentElement.dataset.root;

const meta = document.querySelector("meta[name=csrf-token]");
const tabs = new BroadcastChannel(`shellstream ${new URL(root, location.href).pathname}`);

/** What every request of a script sends: it also keeps browsers from asking for a password. */
export const csrf = () => ({ "Shellstream-CSRF": meta.content });

/** @type {Promise<void> | null} */
let asking = null;

/** Ask for a token; resolves when there is a session again, here or in another tab. */
export function login() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

async function ask() {
  // Another tab may have logged in while a request was on its way.
  if (await refresh()) return;
  const dialog = document.createElement("dialog");
  dialog.className = "login";
  const form = document.createElement("form");
  const title = text("h2", "Log in again");
  title.id = "login-title";
  dialog.setAttribute("aria-labelledby", title.id);
  const input = document.createElement("input");
  Object.assign(input, { type: "password", required: true, autocomplete: "current-password" });
  const label = text("label", "Token");
  label.append(input);
  const wrong = text("p", "");
  wrong.className = "error";
  wrong.setAttribute("role", "alert");
  form.append(title, text("p", "Your session has ended. What is on the screen stays."));
  form.append(label, wrong, text("button", "Log in"));
  dialog.append(form);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((resolve) => {
    const done = (/** @type {MessageEvent} */ event) => event.data === "login" && resolve();
    tabs.addEventListener("message", done);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      wrong.textContent = await send(input.value);
      if (wrong.textContent) return input.select();
      tabs.removeEventListener("message", done);
      tabs.postMessage("login");
      resolve();
    });
  });
  await refresh();
  dialog.close();
  dialog.remove();
}

/** Send a token; returns why it was refused. */
async function send(token) {
  try {
    const answer = await fetch(`${root}login`, {
      method: "POST",
      body: new URLSearchParams({ token }),
      headers: { Accept: "application/json", ...csrf() },
      redirect: "manual",
    });
    if (answer.type === "opaqueredirect") return "";
    return (await answer.json()).detail.split(";")[0];
  } catch {
    return "the daemon cannot be reached; try again";
  }
}

/** Take the CSRF token of the session, if there is one. @returns {Promise<boolean>} */
async function refresh() {
  const headers = { Accept: "application/json", ...csrf() };
  const answer = await fetch(root, { headers });
  if (!answer.ok) return false;
  meta.content = (await answer.json()).csrf_token ?? "";
  for (const field of document.querySelectorAll("input[name=csrf-token]")) {
    field.value = meta.content;
  }
  return true;
}

function text(name, content) {
  const element = document.createElement(name);
  element.textContent = content;
  return element;
}

document.getElementById("logout")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  await fetch(`${root}logout`, { method: "POST", headers: csrf(), redirect: "manual" });
  tabs.postMessage("logout");
  location.assign(`${root}login`);
});

tabs.addEventListener("message", (event) => {
  // Somebody who logs out wants nothing left on the screen.
  if (event.data === "logout") location.reload();
});

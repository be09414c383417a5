// The forms of the commands: a refusal is shown beside its field, and no value is lost.
import { Problem, request } from "./api.js";
import { root } from "./session.js";

for (const form of document.querySelectorAll("form[data-command]")) {
  form.noValidate = true; // the daemon says what is wrong, in the same words everywhere
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start(form);
  });
  if ("stdin" in form.dataset) addBox(form, "Send input while it runs", "send-input", true);
  if ("tty" in form.dataset) {
    // To type there, use the command line: what asks for input gets it on the run's page.
    addBox(form, "Run on a terminal", "on-terminal", !("stdin" in form.dataset));
  }
}

// A link to a command unfolds its form.
let linked = null;
try {
  linked = document.getElementById(decodeURIComponent(location.hash.slice(1)));
} catch (error) {
  if (!(error instanceof URIError)) throw error; // somebody typed a % there
}
if (linked?.matches("details")) linked.open = true;

// What is typed is found at once, among the commands that are listed.
const found = document.querySelector("#find input");
found?.addEventListener("input", () => {
  const text = found.value.toLowerCase();
  for (const each of document.querySelectorAll("#commands .entry, #commands details")) {
    const names = each.querySelector("summary") ?? each;
    each.hidden = !names.textContent.toLowerCase().includes(text);
  }
  for (const heading of document.querySelectorAll("#commands h3")) heading.hidden = text !== "";
});

function addBox(form, words, name, checked) {
  const label = document.createElement("label");
  const box = Object.assign(document.createElement("input"), { type: "checkbox", name, checked });
  label.append(box, Object.assign(document.createElement("span"), { textContent: words }));
  form.querySelector("p.error[role=alert]").before(label);
}

async function start(form) {
  const button = form.querySelector("button[type=submit]");
  if (button.disabled) return;
  clear(form);
  button.disabled = true;
  try {
    if (form.dataset.confirm && !(await confirmed(form))) {
      button.disabled = false;
      button.focus();
      return;
    }
    const headers = { "Idempotency-Key": crypto.randomUUID?.() ?? `${Math.random()}${Date.now()}` };
    const answer = await request("runs", { json: wanted(form), headers });
    location.assign(`${root}runs/${(await answer.json()).id}`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    show(form, error);
  } finally {
    button.disabled = false;
  }
}

/** What a form asks for, as POST /runs takes it. */
function wanted(form) {
  const params = {};
  for (const field of form.elements) {
    if (!field.name || field.name.includes("-")) continue; // ours, not the command's
    if (field.type === "checkbox") params[field.name] = field.checked;
    else if (field.type === "radio" && !field.checked) continue;
    else if (field.value || !field.required) params[field.name] = field.value;
  }
  const json = { command: form.dataset.command, params, on_disconnect: "keep" };
  if (form.elements["send-input"]?.checked) json.stdin = true;
  if (form.elements["on-terminal"]?.checked) json.tty = true;
  return json;
}

/** Ask the question of a command, once its values are right. @returns {Promise<boolean>} */
async function confirmed(form) {
  try {
    // Without the answer to the question nothing is started.
    const body = new URLSearchParams(wanted(form).params);
    await request(`?start=${encodeURIComponent(form.dataset.command)}`, { method: "POST", body });
  } catch (error) {
    const asked = error instanceof Problem && error.parameters.length === 1 && error.parameters[0].name === "is-confirmed";
    if (!asked) throw error;
  }
  const dialog = document.createElement("dialog");
  const question = document.createElement("p");
  question.textContent = form.dataset.confirm;
  question.id = "question";
  dialog.setAttribute("aria-labelledby", question.id);
  const choices = document.createElement("form");
  choices.method = "dialog";
  const [yes, no] = ["Run", "Cancel"].map((words) => {
    const button = document.createElement("button");
    return Object.assign(button, { textContent: words, value: words });
  });
  no.className = "quiet";
  no.autofocus = true; // a key that is pressed twice starts nothing
  choices.append(question, yes, no);
  dialog.append(choices);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === yes.value);
    });
  });
}

function clear(form) {
  for (const error of form.querySelectorAll(".error")) error.textContent = "";
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

/** @param {Problem} problem */
function show(form, problem) {
  const others = [];
  let first = null;
  for (const { name, detail } of problem.parameters) {
    const error = document.getElementById(`${form.dataset.command}-${name}-error`);
    const fields = [...form.elements].filter((each) => each.name === name);
    if (!error || !fields.length) {
      others.push(`${name}: ${detail}`);
      continue;
    }
    // What it takes stands there already.
    error.textContent = detail.replace(/^is required \(.*$/s, "is required");
    for (const field of fields) field.setAttribute("aria-invalid", "true");
    first ??= fields[0];
  }
  const message = problem.parameters.length
    ? others.join("; ") || "The run was not started: see the fields above."
    : problem.message;
  form.querySelector("p.error[role=alert]").textContent = message;
  first?.focus();
}

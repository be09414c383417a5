// What the reader can do with a run: cancel, signal, run again, give it input.

import { request } from "./api.js";
import { button, copy, make, toggle } from "./dom.js";
import { root } from "./session.js";

const SIGNALS = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "STOP", "CONT", "WINCH", "KILL"];
const encoder = new TextEncoder();
/** What a run shows in the place of a secret. */
const SECRET = "***";
/** What a command that asks for a secret writes. */
const ASKS_SECRET = /pass(word|phrase|code)|\bPIN\b|secret|token|passwor[td]|kennwort|contraseña|mot de passe/i;

export class Controls {
  constructor({ main, actions, panel, output, path, guarded, tell, refresh, setNotify }) {
    Object.assign(this, { main, panel, output, path, guarded, tell, refresh });
    this.run = null;
    this.stdin = null;
    this.cancel = button("Cancel", guarded(() => this.#post("cancel", {})), { className: "quiet danger" });
    this.again = button("Run again", guarded(() => this.#again()));
    actions.prepend(this.cancel, this.again);
    const names = make("select", { "aria-label": "Signal" }, ...SIGNALS.map((each) => new Option(each)));
    const send = button("Send signal", guarded(() => this.#post("signal", { signal: names.value })));
    this.signals = make("div", { className: "row" }, names, send);
    this.notify = toggle("Notify me at the end", guarded(async (on) => {
      if (on && await Notification.requestPermission() !== "granted") {
        tell("The browser does not allow notifications from this page.");
        return;
      }
      setNotify(on);
    }));
    panel.append(this.signals, this.notify, ...this.#commands());
  }

  /** Show what fits the run as it stands. */
  show(run) {
    this.run = run;
    const ended = run.ended !== null;
    this.cancel.hidden = ended;
    this.signals.hidden = ended || run.state !== "running";
    this.again.hidden = !ended;
    this.notify.hidden = ended || !("Notification" in window && isSecureContext);
    const open = run.stdin?.open && !run.tty && !ended;
    if (open && this.stdin === null) this.stdin = this.#input();
    if (this.stdin !== null) this.stdin.hidden = !open;
    this.fill(run);
  }

  /** What cannot reach the daemon cannot be pressed. */
  connected(is) {
    for (const each of [this.cancel, this.again, this.signals.lastChild]) each.disabled = !is;
  }

  /** The line without an end, which may ask for a secret. */
  prompted(words) {
    this.secret?.(ASKS_SECRET.test(words.slice(-100)));
  }

  async #post(action, json) {
    await request(`${this.path}/${action}`, { json });
    await this.refresh();
  }

  /** The same again; where something must be asked first, the start page asks. */
  async #again() {
    const { command, params, stdin, tty } = this.run;
    const known = await (await request(`commands/${encodeURIComponent(command)}`)).json();
    const secret = Object.values(known.parameters.properties).some((each) => each.writeOnly);
    if (secret || known.confirm) {
      location.assign(`${root}?again=${this.run.id}#command-${encodeURIComponent(command)}`);
      return;
    }
    const json = { command, params, stdin: stdin !== null, tty: tty ?? false };
    const { id } = await (await request("runs", { json })).json();
    location.assign(id);
  }

  #input() {
    const field = make("input", { type: "text", autocomplete: "off", spellcheck: false, "aria-label": "Input for the run", placeholder: "Input" });
    const hide = toggle("Hide", (on) => {
      field.type = on ? "password" : "text";
    });
    hide.title = "Hide what is typed";
    let asked = false;
    this.secret = (now) => {
      if (now === asked) return;
      asked = now;
      if (now !== (field.type === "password")) hide.click();
    };
    const send = async (text, eof) => {
      await request(`${this.path}/stdin?eof=${eof}`, { method: "POST", body: encoder.encode(text) });
      if (eof) await this.refresh();
    };
    // What is sent is shown before the command can answer it.
    const submit = this.guarded(async (event) => {
      event.preventDefault();
      const { value, type } = field;
      const line = this.output.echo(type === "password" ? "•••" : value);
      field.value = "";
      try {
        await send(`${value}\n`, false);
      } catch (error) {
        field.value = value;
        this.output.retract(line);
        throw error;
      }
    });
    const form = make("form", { className: "stdin", on: { submit } },
      field,
      hide,
      make("button", {}, "Send"),
      button("End", this.guarded(() => send("", true)), { "aria-label": "End input" }),
    );
    this.main.append(form);
    return form;
  }

  /** The same by command line. */
  #commands() {
    const made = ["Watch it with curl", "Watch it with shellstream", "Start it with curl", "Start it with shellstream"].map((words) => {
      const code = make("code", { tabIndex: 0 });
      const take = button("Copy", this.guarded(async () => {
        await copy(code.textContent);
        this.tell("The command is copied.");
      }), { "aria-label": `Copy: ${words}` });
      return { code, element: make("div", { className: "command" }, make("span", { className: "soft" }, words), code, take) };
    });
    this.fill = (run) => {
      for (const [at, line] of commands(run).entries()) {
        made[at].code.textContent = line;
        made[at].element.hidden = line === "";
      }
    };
    return made.map(({ element }) => element);
  }
}

/** A word as a POSIX shell takes it. */
const quote = (word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** A parameter as a word. The shell refuses the line until somebody has set a secret. */
const given = ([name, value]) => value === SECRET
  ? `"${name}=\${SECRET_${name.toUpperCase()}:?set it first, it is a secret}"`
  : quote(`${name}=${value}`);

/** What a terminal elsewhere runs to watch a run, and to start one like it; "" if nothing does. */
function commands({ id, command, params, stdin, tty }) {
  const base = new URL(root, location.href).href.replace(/\/$/, "");
  const words = Object.entries(params).map(given);
  const login = document.querySelector("meta[name=csrf-token]").content ? `-H "Authorization: Bearer $SHELLSTREAM_TOKEN" ` : "";
  const url = quote(`${base}/stream/${command}`);
  const data = words.map((each) => ` --data-urlencode ${each}`).join("") || " -X POST";
  // The client reads no input from a terminal, unless the command has one.
  const from = stdin && !tty ? "cat | " : "";
  return [
    `curl -N ${login}${quote(`${base}/runs/${id}/output`)}`,
    `SHELLSTREAM_URL=${quote(base)} shellstream attach ${id}`,
    stdin || tty ? "" : `curl -N ${login}${url}${data}`,
    `${from}SHELLSTREAM_URL=${quote(base)} shellstream run ${[...(tty ? ["--tty"] : []), quote(command), ...words].join(" ")}`,
  ];
}

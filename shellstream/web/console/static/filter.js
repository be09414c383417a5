// Which runs a list shows: GET /runs chooses in the same way.

/**
 * @typedef {{id: string, command: string, params: Object<string, string>, principal: string,
 *   state: string, code: number | null}} Run
 * @typedef {{text: string, command: string, show: string}} Choice
 */

const ENDED = (run) => run.state !== "queued" && run.state !== "running";
const SUCCEEDED = (run) => run.state === "exited" && run.code === 0;

/** Whether a list shows a run. @param {Run} run @param {Choice} choice */
export function matches(run, { text, command, show }) {
  if (command && run.command !== command) return false;
  if (show === "success" && !SUCCEEDED(run)) return false;
  if (show === "failure" && !(ENDED(run) && !SUCCEEDED(run))) return false;
  if ((show === "running" || show === "queued") && run.state !== show) return false;
  const wanted = text.toLowerCase();
  const texts = [run.command, run.principal, ...Object.values(run.params)];
  if (wanted.includes("=")) texts.push(...Object.entries(run.params).map((each) => each.join("=")));
  return texts.some((each) => each.toLowerCase().includes(wanted));
}

/** The query of GET /runs for the runs of a choice. @param {Choice} choice */
export function query({ text, command, show }) {
  const fields = new URLSearchParams();
  if (text) fields.set("text", text);
  if (command) fields.set("command", command);
  if (show === "success" || show === "failure") fields.set("outcome", show);
  else if (show) fields.set("state", show);
  return fields.toString();
}
